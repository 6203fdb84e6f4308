"""The exceptions: each docstring is its help page, a failing example and the same one mended.

Every message has one form, so that it can be read at a glance and searched for::

    [where] got ..., needs ... (file:line). why. remedy

``message`` builds it. All exceptions are ``ChainruleError``s; each is also the built-in exception
that a Python programmer expects (``ShapeError`` is a ``ValueError``), so handlers work as they are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "ChainruleError",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "DivisionError",
    "DtypeError",
    "FailedError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "NameNotFoundError",
    "NonFiniteError",
    "ReadOnlyError",
    "ShapeError",
    "UsageError",
    "did_you_mean",
    "located",
    "message",
    "nearest",
    "not_found",
]


def message(
    where: str, got: str, needs: str = "", *, line: str = "", why: str = "", remedy: str = ""
) -> str:
    """Build an error text in the one form that all of them have.

    >>> message(
    ...     "fc1/Linear", "f32[1,400]", "576 features", line="net.py:25", remedy="Flatten first"
    ... )
    '[fc1/Linear] got f32[1,400], needs 576 features (net.py:25). Flatten first.'
    """
    text = f"[{where}] got {got}"
    if needs:
        text += f", needs {needs}"
    if line:
        text += f" ({line})"
    for sentence in (why, remedy):
        if sentence:
            text = f"{text.rstrip('.')}. {sentence}"
    return text if text.endswith((".", "?", "!")) else text + "."


_FIRST_SENTENCE = re.compile(r"^\[(?P<where>[^\]]*)\] (?P<claim>.*?)\.(?= |$)")


def located(error: Exception, scope: str, line: str) -> Exception:
    """The error again with a scope and a line in its text, without frames that keep arrays alive.

    >>> located(ShapeError("[add] got [2] and [3], needs equal sizes."), "fc1", "net.py:7").args[0]
    '[fc1/add] got [2] and [3], needs equal sizes (net.py:7).'
    """
    text = str(error)
    if line and line not in text:
        where = f"{scope}/" if scope else ""
        text = _FIRST_SENTENCE.sub(rf"[{where}\g<where>] \g<claim> ({line}).", text)
        text = text if line in text else f"[{scope or 'program'}] {text} ({line})."
    try:
        again = type(error)(text)
        again.__dict__.update(error.__dict__)
        return again
    except Exception:  # an exception class that is made in another way
        return error.with_traceback(None)


class ChainruleError(Exception):
    """Base class of everything that Chainrule raises on purpose."""


class ShapeError(ChainruleError, ValueError):
    """Shapes do not fit together.

    Fails: ``cr.ones(2, 3) @ cr.ones(2, 3)``.  Mended: ``cr.ones(2, 3) @ cr.ones(2, 3).T``.
    """

    an_input: str | None = None  # words of the text that the network may replace by sizes that fit


class DtypeError(ChainruleError, TypeError):
    """A value of the wrong type of number, or of a type that Chainrule does not have.

    Fails: ``cr.tensor([1j])``.  Mended: ``cr.tensor([1.0])``.
    """


class DivisionError(ChainruleError, ZeroDivisionError):
    """A whole number divided by zero.

    Fails: ``cr.tensor(1) // 0``.  Mended: ``cr.tensor(1.0) // 0``, which is ∞.
    """


class IndexRangeError(ChainruleError, IndexError):
    """An index or a label lies outside its axis.

    Fails: ``F.cross_entropy(cr.zeros(1, 10), cr.tensor([10]))``.  Mended: labels from 0 to 9.
    """


class GradientError(ChainruleError, RuntimeError):
    """A derivative was asked for that does not exist (any more).

    Fails: ``loss.backward(); loss.backward()``.
    Mended: ``loss.backward(retain_graph=True); loss.backward()``.
    """


class FailedError(ChainruleError, RuntimeError):
    """A value could not be computed because something it depends on failed earlier.

    Fails: reading ``loss`` after its step met a bad label.  Mended: record the step again.
    """


class NonFiniteError(ChainruleError, ArithmeticError):
    """A value became NaN or infinite; the message names the operation where it arose.

    Fails: a training that takes ``log`` of 0.  Mended: ``x.clamp(min=1e-12).log()``.
    """

    tape: object = None  # Trainer's: what ``cr.record()`` kept of the step


class GraphError(ChainruleError, RuntimeError):
    """A graph breaks its own rules: found by ``Graph.verify()``, or a value was asked for twice."""


class ReadOnlyError(ChainruleError, ValueError):
    """A write to a snapshot.  Fails: ``t.numpy()[0] = 1``.  Mended: ``t.numpy().copy()[0] = 1``."""


class NameNotFoundError(ChainruleError, AttributeError):
    """A name that Chainrule does not have; the message gives the nearest one that it has.

    Fails: ``cr.nn.Conv2D``.  Mended: ``cr.nn.Conv2d``.
    """


def not_found(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """The error for a name that a module does not have, with the nearest one that it has.

    >>> not_found("chainrule.nn", "Conv2D", ["Conv2d", "Linear"]).args[0]
    'chainrule.nn has no Conv2D; nearest Conv2d'
    """
    if name.startswith("__"):  # Python asks for these itself
        return AttributeError(name)
    there = nearest(name, names)
    return NameNotFoundError(f"{module} has no {name}{f'; nearest {there}' if there else ''}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that is meant, if one of ``names`` is like it; else nothing.

    >>> nearest("lent", ["lenet", "xor"]), nearest("resnet-152", ["xor"])
    ('lenet', '')
    """
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)), "")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The remedy for a misspelt name.

    >>> did_you_mean("lent", ["lenet", "xor"])
    'Did you mean lenet?'
    """
    there = nearest(name, names)
    return f"Did you mean {there}?" if there else ""


class DeviceError(ChainruleError, RuntimeError):
    """A device that is not here.  Fails: ``cr.device("cuda")``.  Mended: ``cr.device("cpu")``."""


class DataError(ChainruleError, ValueError):
    """A data file or picture is missing, damaged or not what its name says."""


class CheckpointError(ChainruleError, RuntimeError):
    """A checkpoint is damaged, or belongs to another model.

    Fails: loading LeNet's weights into an MLP.  Mended: load them into the model that saved them.
    """


class UsageError(ChainruleError, ValueError):
    """An argument that makes no sense, such as a negative learning rate."""
