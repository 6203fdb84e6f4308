"""The first number that is not finite: which operation made it, of which inputs.

NaN and infinity spread: a loss of NaN says nothing about where it arose.  A `Watch` looks at every
value as it is computed.  `detect_anomaly` raises at the first one, before anything that was written
after it stands; a `Watch` with ``follow=True`` raises nothing and finds the origin of a given value
afterwards, which is how a training looks for it in a step that it repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import numpy as np

from chainrule.errors import NonFiniteError, message
from chainrule.graph import Node
from chainrule.storage import Recorded, recorder

__all__ = ["Finding", "Watch", "detect_anomaly", "set_detect_anomaly"]

MOST_INPUTS = 3  # whose ranges are told
MOST_SAMPLES = 8

REMEDIES = {
    "log": "log needs numbers above 0: x.clamp(min=1e-12).log()",
    "log1p": "log1p needs numbers above -1",
    "sqrt": "sqrt needs numbers from 0 on, and its slope at 0 is infinite: (x + 1e-12).sqrt()",
    "rsqrt": "rsqrt needs numbers above 0: (x + 1e-12).rsqrt()",
    "div": "Is a divisor 0? x / (y + 1e-12)",
    "reciprocal": "Is it 0? (x + 1e-12).reciprocal()",
    "exp": "exp overflows above 88: log_softmax, or logits instead of probabilities",
    "pow": "A root of a number below 0, or an overflow?",
}
TOO_LARGE = "The numbers grew too large: a lower learning rate, or clipped gradients"


@dataclass
class Finding:
    """A value with NaN or infinity: what made it, and of what."""

    name: str  # features/conv1/Conv2d/log
    op: str
    type: str
    where: str  # the line that recorded it
    count: str  # "3 NaN" or "all 10 infinite"
    rows: list[int] = field(default_factory=list)  # along axis 0
    length: int = 0  # of axis 0
    inputs: list[str] = field(default_factory=list)  # their types and ranges
    signal_of: str = ""  # for an error signal: the operation that it was sent back through
    source: bool = False  # a leaf: data, a parameter or a number
    update: bool = False  # by an optimizer
    sequence: int = 0
    made_of: list[Any] = field(default_factory=list)  # the inputs that are not finite themselves

    def text(self, when: str = "", batch: int = 0, numbers: Sequence[int] = ()) -> str:
        """The message, in the one form of all errors.

        when: "step 12 of epoch 2".  batch: how many samples it has; numbers: those in the data set.
        """
        got = f"{self.count} in {self.type}" + (f" in {when}" if when else "")
        name = f"backward of {self.signal_of}" if self.signal_of else self.name
        why = [self._samples(batch, numbers)]
        if self.inputs:
            why.append(f"Input{'s' if len(self.inputs) > 1 else ''}: {'; '.join(self.inputs)}")
        told = ". ".join(part for part in why if part)
        return message(name, got, "finite numbers", line=self.where, why=told, remedy=self.remedy())

    def _samples(self, batch: int, numbers: Sequence[int]) -> str:
        if not self.rows or len(self.rows) == self.length or (batch and batch != self.length):
            return ""
        few = self.rows[:MOST_SAMPLES]
        more = f" and {len(self.rows) - len(few)} more" if len(self.rows) > len(few) else ""
        word = "Sample" if batch else "Row"
        text = f"{word}{'s' if len(self.rows) > 1 else ''} {', '.join(map(str, few))}{more}"
        if batch:
            text += " of the batch"
        if batch and len(numbers) == batch:
            text += f" ({', '.join(str(numbers[row]) for row in few)}{more} of the data)"
        return text

    def remedy(self) -> str:
        """What usually helps."""
        if self.source:
            return "It came in like that: look at the data" if self.op == "data" else ""
        if self.update:
            return TOO_LARGE
        return REMEDIES.get(self.op, "" if "NaN" in self.count else TOO_LARGE)


@dataclass(frozen=True)
class _Sent:
    """Nodes that a backward recorded in a row: up to which, the derivative of what, to a leaf?"""

    last: int
    reader: Recorded | None = None
    to_leaf: bool = False


class Watch:
    """Looks at every value that this thread computes in a ``with`` block.

    It is a tap as well, to know which nodes are error signals, and of what.
    """

    def __init__(self, follow: bool = False) -> None:
        self.follow = follow
        self.findings: dict[Node, Finding] = {}  # of all values, if it follows
        self.first: Finding | None = None  # that was raised for
        self._sent: list[_Sent] = []  # what the latest backward recorded, in order
        self._updates: WeakSet[Recorded] = WeakSet()  # what an optimizer recorded

    def __enter__(self) -> Watch:
        rec = recorder()
        self._before, rec.watch = rec.watch, self
        rec.taps.append(self)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        rec = recorder()
        if kind is None:
            rec.compute()  # what was recorded here is looked at here
        rec.watch = self._before
        rec.taps[:] = [tap for tap in rec.taps if tap is not self]

    # ------------------------------------------------------------ looking

    def saw_value(self, node: Recorded, inputs: list[np.ndarray], value: np.ndarray) -> None:
        """A node has been computed; raises NonFiniteError unless it follows."""
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return
        made_of = [
            source
            for source, array in zip(node.inputs, inputs, strict=True)
            if array.dtype.kind == "f" and not np.isfinite(array).all()
        ]
        if self.follow:
            for source, array in zip(node.inputs, inputs, strict=True):
                if source in made_of and source not in self.findings:
                    self.findings[source] = _leaf_finding(source, array, node)
            self.findings[node] = self._finding(node, inputs, value, made_of)
            return
        if made_of and not np.isnan(value).any():  # a mask of -inf is somebody's wish
            return
        bad = [
            (source, array)
            for source, array in zip(node.inputs, inputs, strict=True)
            if source in made_of and np.isnan(array).any()
        ]
        self.first = (
            _leaf_finding(*bad[0], node) if bad else self._finding(node, inputs, value, made_of)
        )
        raise NonFiniteError(self.first.text())

    def _finding(
        self, node: Recorded, inputs: list[np.ndarray], value: np.ndarray, made_of: list[Any]
    ) -> Finding:
        found = _described(node, value)
        found.inputs = [
            _range(source, array) for source, array in zip(node.inputs, inputs, strict=True)
        ][:MOST_INPUTS]
        found.made_of, found.update = made_of, node in self._updates
        sent = next((sent for sent in self._sent if node.sequence <= sent.last), None)
        if sent is not None and sent.reader is not None:  # else a forward node, or an update
            found.signal_of = _path(sent.reader)
            found.where = f"{sent.reader.where}, backward at {found.where}"
            found.op = sent.reader.op.name
        if found.update or (sent is not None and sent.to_leaf):
            found.rows = []  # a parameter has no samples
        return found

    def origin(self, culprits: Iterable[Node]) -> Finding | None:
        """The earliest that the culprits are made of, and that is made of finite numbers itself."""
        found, stack = set(), [node for node in culprits if node in self.findings]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack += self.findings[node].made_of
        findings = [self.findings[node] for node in found]
        first = [finding for finding in findings if not finding.made_of] or findings
        return min(first, key=lambda finding: finding.sequence, default=None)

    # ------------------------------------------------------------ a tap

    def saw_backward(self, signals: Any) -> None:
        """A backward has been recorded: whose derivatives its nodes are."""
        if not signals.order:
            return
        # The nodes of one vjp are recorded in a row, and the last of them is an addend.
        sent = [_Sent(signals.order[0].sequence)]  # the loss: all up to it is forward
        for node in signals.order:
            to_leaf = node.leaf is not None
            for addend, reader in zip(
                signals.addends[node], signals.readers.get(node, []), strict=False
            ):
                sent.append(_Sent(addend._node.sequence, reader, to_leaf))
            sent.append(_Sent(signals.total[node]._node.sequence, node, to_leaf))
        self._sent = sorted(sent, key=lambda entry: entry.last)

    def saw(self, node: Recorded) -> None:
        """A node was recorded."""
        rec = node.recorder
        if rec.undisturbed and not rec.sending_back:
            self._updates.add(node)

    def saw_name(self, node: Recorded) -> None:
        """A tensor was given a name."""

    def saw_call(self, path: str, output: Any) -> None:
        """A module has returned."""

    def saw_step(self) -> None:
        """A step has ended."""


class detect_anomaly(Watch):  # noqa: N801  PyTorch's name
    """Raise NonFiniteError at the first operation that makes NaN, or infinity of finite numbers.

    For a ``with`` block around any part of a training; every value is looked at, so it is slow.
    Infinities that come from infinite inputs pass: a mask may be made of them.

    >>> import chainrule as cr
    >>> with detect_anomaly():
    ...     cr.tensor([1.0, 0.0]).log().sum().item()
    Traceback (most recent call last):
    chainrule.errors.NonFiniteError: [log] got 1 infinite in f32[2], needs finite numbers ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan = check_nan

    def __enter__(self) -> Watch:
        return super().__enter__() if self.check_nan else self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.check_nan:
            super().__exit__(kind, error, trace)


def set_detect_anomaly(mode: bool, check_nan: bool = True) -> None:
    """Switch ``detect_anomaly`` on or off, from here on, for this thread."""
    watch = recorder().watch
    if isinstance(watch, detect_anomaly):
        watch.__exit__(None, None, None)
    if mode:
        detect_anomaly(check_nan).__enter__()


# ------------------------------------------------------------ words


def _path(node: Node) -> str:
    return f"{node.scope}/{node.op.name}" if node.scope else node.op.name


def _described(node: Recorded, value: np.ndarray) -> Finding:
    found = Finding(_path(node), node.op.name, node.type, node.where, _count(value))
    found.sequence = node.sequence
    if value.ndim:
        found.length = len(value)
        bad = ~np.isfinite(value)
        found.rows = np.flatnonzero(bad.any(axis=tuple(range(1, value.ndim)))).tolist()
    return found


def _leaf_finding(source: Any, value: np.ndarray, reader: Recorded) -> Finding:
    """A value that was not finite when it came in, to be read by ``reader``."""
    found = _described(source, value)
    found.where = reader.where
    found.name, found.source = source.name or source.op.name, True
    return found


def _count(value: np.ndarray) -> str:
    nan = int(np.isnan(value).sum())
    infinite = int(np.isinf(value).sum())
    parts = [f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "infinite")) if n]
    return ("all " if nan + infinite == value.size > 1 else "") + " and ".join(parts)


def _range(source: Any, value: np.ndarray) -> str:
    """``weight f32[3,2] from -1.2 to 3``, with the count of what is not finite."""
    text = f"{source.name} {source.type}" if source.name else source.type
    if value.dtype.kind != "f" or not value.size:
        return text
    finite = value[np.isfinite(value)]
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        text += f" = {low:.4g}" if low == high else f" from {low:.4g} to {high:.4g}"
    return text if finite.size == value.size else f"{text}, {_count(value)}"
