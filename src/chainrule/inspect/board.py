"""What stands on the board: which values get a row, what each row says, and in which order.

A value gets a row if it has a name, is read twice, or is more than a piece of its reader's formula
(``w·x`` in ``w·x + b``).  Reshaping is no row: the numbers stay, only their places change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.backprop import ErrorSignals, error_signals
from chainrule.errors import GradientError, message
from chainrule.graph import topological_order
from chainrule.inspect.arrays import array_text, is_small
from chainrule.inspect.formulas import NEGATIVE, SEE_THROUGH, SUBSCRIPT, Writer, Written
from chainrule.ops import leaf
from chainrule.storage import Hold, Recorded, recorder
from chainrule.tensor import Tensor

__all__ = ["Addend", "Board", "Variable", "bar_of"]


def pretty(name: str) -> str:
    """W1 is written W₁."""
    found = re.fullmatch(r"([^\W\d_]+)(\d+)", name)
    return found[1] + found[2].translate(SUBSCRIPT) if found else name


def bar_of(name: str) -> str:
    """The name of the error signal: v -> v̄, W₁ -> W̄₁, fc.weight -> fc.w̄eight."""
    path, dot, last = name.rpartition(".")
    return unicodedata.normalize("NFC", f"{path}{dot}{last[:1]}\u0304{last[1:]}")


@dataclass
class Addend:
    """What one reader adds to an error signal."""

    reader: Variable
    formula: str
    numbers: str | None
    value: np.ndarray


@dataclass
class Variable:
    """A value with a row. ``core`` computes it; ``face`` is the same in the shape that is read."""

    core: Recorded
    face: Recorded
    name: str
    value: np.ndarray
    formula: str = ""
    numbers: str | None = None
    bar: np.ndarray | None = None
    addends: list[Addend] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Whether it entered from outside."""
        return not self.formula

    @property
    def bar_name(self) -> str:
        """v̄"""
        return bar_of(self.name)


class Board:
    """The rows of a graph: ``variables`` in forward order, ``backward`` from the loss back."""

    def __init__(self, loss: Recorded, names: dict[Recorded, str], digits: int) -> None:
        self.loss, self.names, self.digits = loss, names, digits
        order: list[Any] = sorted(topological_order([loss]), key=_recorded)
        self.inputs: dict[Any, tuple[Any, ...]] = {node: node.inputs for node in order}
        self._held = [Hold(node) for node in order]
        self.signals = self._signals()
        recorder().compute()
        self.readers: dict[Any, list[Any]] = {node: [] for node in order}
        for node in order:
            for source in self.inputs[node]:
                self.readers[source].append(node)
        self.values: dict[Any, np.ndarray] = {}
        self.of: dict[Any, Variable] = {}  # node -> the variable that it shows
        self.variables: list[Variable] = []
        self._arrange(order)
        for variable in self.variables:
            self._write_forward(variable)
            if variable.face in self.signals.total:
                variable.bar = self.signals.total[variable.face]._value()
        for variable in self.variables:
            self._write_backward(variable)
        self._held.clear()

    # ------------------------------------------------------------ values and error signals

    def _signals(self) -> ErrorSignals:
        if not self.loss.needs_grad:
            return ErrorSignals()
        seed = recorder().leaf(leaf.number, np.ones((), self.loss.dtype.numpy), self.loss.dtype)
        from_loss = Tensor._of(seed)
        if self.loss.shape:
            from_loss = from_loss.expand(self.loss.shape)
        signals = error_signals({self.loss: from_loss}, retain_graph=True, quiet=True)
        addends = [addend._node for some in signals.addends.values() for addend in some]
        for node in topological_order(addends):
            self.inputs.setdefault(node, node.inputs)
            if not node.inputs:
                self._held.append(Hold(node))  # type: ignore[arg-type]
        return signals

    def value(self, node: Any) -> np.ndarray:
        """A node's value; one that was freed meanwhile is computed again, only to be shown."""
        if node not in self.values:
            if node.value is None and not self.inputs[node]:
                got = (
                    f"a loss whose {node.op.name} {node.type} was let go after it had been computed"
                )
                remedy = "Explain the loss before it is read, or keep that tensor in a variable"
                raise GradientError(message("explain", got, line=node.where, remedy=remedy))
            if node.value is None:
                parts = [np.ascontiguousarray(self.value(part)) for part in self.inputs[node]]
                parts = [
                    part.reshape(source.shape)
                    for part, source in zip(parts, self.inputs[node], strict=True)
                ]
                with np.errstate(all="ignore"):
                    self.values[node] = np.asarray(node.op.reference(*parts, **node.meta))
            else:
                self.values[node] = node.result()
        return self.values[node]

    # ------------------------------------------------------------ which values get a row

    def _arrange(self, order: list[Any]) -> None:
        taken = set(self.names.values())
        count = 0
        for node in order:
            if node.op is leaf.number and node not in self.names:
                continue
            if not self._follow(node) and not self._is_piece(node):
                called = self._called(node)
                lone = not self.inputs[node] and not node.shape and not node.needs_grad
                if called is None and lone:
                    continue  # a plain number
                if called is None:
                    count += 1
                    while f"v{count}" in taken:
                        count += 1
                    called = f"v{count}"
                variable = Variable(node, node, pretty(called), np.empty(0))
                self.of[node] = variable
                self.variables.append(variable)
        for variable in self.variables:
            variable.value = self.value(variable.face)

    def _follow(self, node: Any) -> bool:
        """Whether a node only shows the variable before it, in another shape."""
        parts = self.inputs[node]
        if node.op.name not in SEE_THROUGH or not parts:
            return False
        source = self.of.get(parts[0])
        if source is None:
            return node not in self.names
        alone = len(self.readers[parts[0]]) == 1 and source.face is parts[0]
        takes = alone and bool(self.inputs[source.core]) and node.op.name != "expand"
        if takes and (source.core.op.name in ("matmul", "slice", "gather") or node in self.names):
            source.face = node
        elif node in self.names:
            return False
        self.of[node] = source
        return True

    def _called(self, node: Any) -> str | None:
        """The name of a node, or of the only one that shows it in another shape."""
        while node not in self.names:
            readers = self.readers[node]
            if len(readers) != 1 or readers[0].op.name not in ("reshape", "cast"):
                return None
            if not self.inputs[node]:
                return None
            node = readers[0]
        return self.names[node]

    def _reader(self, node: Any) -> tuple[Any, Any] | None:
        """The only node that reads it, and through which node, past changes of shape."""
        while True:
            readers = self.readers[node]
            if len(readers) != 1 or (
                readers[0] in self.names and readers[0].op.name in SEE_THROUGH
            ):
                return None
            if readers[0].op.name not in SEE_THROUGH:
                return readers[0], node
            node = readers[0]

    def _is_piece(self, node: Any) -> bool:
        """Whether a node is written inside its reader's formula."""
        parts = self.inputs[node]
        if not parts or node is self.loss or self._called(node) is not None:
            return False
        found = self._reader(node)
        if found is None:
            return False
        reader, through = found
        op, into = node.op.name, reader.op.name
        others = [part for part in self.inputs[reader] if part is not through]
        if op == "permute":
            return True
        if self._size(node) > 5:
            return False
        first = self.inputs[reader][0] is through
        scaled = into in ("mul", "div") and bool(others) and others[0].op is leaf.number
        power = ("square", "power", "abs")
        if op == "neg":
            return into in ("exp", "sigmoid", "add", "sub", "mul") and self._size(node) == 1
        if into in ("add", "sub"):
            return op in ("mul", "matmul", *power) or (op in ("add", "sub") and first)
        if into in power:
            return op in ("add", "sub")
        if into in ("sum", "neg"):
            return op in ("mul", "sum", *power)
        if into == "mul" and op == "mul":
            return first and self._size(node) <= 2
        return scaled and op in ("sum", *power)

    def _size(self, node: Any) -> int:
        """How many names and numbers its formula has."""
        if node in self.of or not self.inputs[node]:
            return 1
        return sum(self._size(part) for part in self.inputs[node])

    # ------------------------------------------------------------ what a row says

    def _writer(self, numbers: bool, reader: Variable | None = None) -> Writer:
        """A writer of formulas; ``reader`` is the variable whose error signal may stand in them."""
        own = () if reader is None else self._signal_nodes(reader)

        def atom(node: Any) -> Written | None:
            if node in own:
                assert reader is not None and reader.bar is not None
                text = array_text(reader.bar, self.digits) if numbers else reader.bar_name
                value = reader.bar
            elif node in self.of:
                variable = self.of[node]
                value = variable.value
                text = array_text(value, self.digits) if numbers else variable.name
            elif node in self.inputs and not self.inputs[node] and node.op is not leaf.number:
                value = self.value(node)
                text = array_text(value, self.digits)
            else:
                return None
            negative = text.startswith("−")
            rank = NEGATIVE if negative else Written("").rank
            return Written(text, rank, value.ndim > 0, node in own)

        def sigmoids(node: Any) -> Any:
            variable = self.of.get(node)
            if variable is None or variable.core.op.name != "sigmoid":
                return None
            return self.inputs[variable.core][0]

        return Writer(self.inputs, atom, digits=self.digits, numbers=numbers, sigmoids=sigmoids)

    def _signal_nodes(self, reader: Variable) -> tuple[Any, ...]:
        """The nodes of v̄: its own, and what it repeats or reshapes (a view starts there)."""
        node: Any = self.signals.total[reader.face]._node
        found = [node]
        while node.op.name in SEE_THROUGH and self.inputs.get(node):
            node = self.inputs[node][0]
            found.append(node)
        return tuple(found)

    def _readable(self, nodes: list[Any]) -> bool:
        """Whether all numbers of a formula can be written down."""
        return all(is_small(self.of[node].value) for node in nodes if node in self.of)

    def _write_forward(self, variable: Variable) -> None:
        if not self.inputs[variable.core]:
            return
        variable.formula = self._writer(False).formula(variable.core).text
        if self._readable([variable.face, *self._atoms(variable.core)]):
            variable.numbers = self._writer(True).formula(variable.core).text

    def _atoms(self, node: Any) -> list[Any]:
        found = []
        for part in self.inputs[node]:
            found += [part] if part in self.of else self._atoms(part)
        return found

    def _write_backward(self, variable: Variable) -> None:
        if variable.bar is None or variable.face is self.loss:
            return
        for reader, text, addend, value in self._addends(variable.face):
            assert reader.bar is not None
            numbers = None
            if is_small(value) and is_small(reader.bar) and self._legible(addend, reader):
                numbers = text(self._writer(True, reader), addend)
            formula = text(self._writer(False, reader), addend)
            variable.addends.append(Addend(reader, formula, numbers, value))

    def _legible(self, node: Any, reader: Variable) -> bool:
        own = self._signal_nodes(reader)
        stack, seen = [node], set()
        while stack:
            node = stack.pop()
            if node in own or node in seen:
                continue
            seen.add(node)
            if node in self.of:
                if not is_small(self.of[node].value):
                    return False
            else:
                stack.extend(self.inputs.get(node, ()))
        return True

    def _addends(self, node: Any) -> Iterator[tuple[Variable, Any, Any, np.ndarray]]:
        """(reader, how it is written, its node, its value) of each addend of a node's v̄."""
        readers = self.signals.readers.get(node, [])
        for addend, reader in zip(self.signals.addends[node], readers, strict=False):
            shown = self.of.get(reader)
            if shown is not None and reader is shown.core:
                yield shown, _plain, addend._node, addend._value()
                continue
            parts = list(self._addends(reader))
            if len(parts) == 1:
                yield parts[0][0], _plain, addend._node, addend._value()
                continue
            for variable, text, inner, value in parts:  # reshaped once, read several times
                wrapped = _Wrapped(text, reader, node)
                yield variable, wrapped, inner, wrapped.back(value)

    @property
    def backward(self) -> list[Variable]:
        """What has an error signal, from the loss back; leaves follow their last reader."""
        ready = [v for v in self.variables if v.bar is not None]
        inner = [v for v in reversed(ready) if self.inputs[v.core]]
        leaves = [v for v in ready if not self.inputs[v.core]]
        place = {id(v): index for index, v in enumerate(inner)}
        order: list[Variable] = []
        for index, variable in enumerate(inner):
            order.append(variable)
            for one in leaves:
                last = max((place.get(id(a.reader), -1) for a in one.addends), default=-1)
                if last == index:
                    order.append(one)
        return order + [one for one in leaves if one not in order]


def _recorded(node: Any) -> int:
    return node.sequence


def _plain(writer: Writer, node: Any) -> str:
    return writer.write(node).text


class _Wrapped:
    """An addend that passes a change of shape: repeated numbers are summed, the rest is moved."""

    def __init__(self, inner: Any, through: Recorded, source: Recorded) -> None:
        self.inner, self.through, self.source = inner, through, source

    def __call__(self, writer: Writer, node: Any) -> str:
        text = self.inner(writer, node)
        op = self.through.op.name
        if op == "expand" and self.through.shape != self.source.shape:
            pairs = enumerate(zip(self.source.shape, self.through.shape, strict=True))
            axes = "".join(str(axis) for axis, (old, new) in pairs if old != new)
            return f"Σ{axes.translate(SUBSCRIPT)}({text})"
        return f"({text})ᵀ" if op == "permute" else text

    def back(self, value: np.ndarray) -> np.ndarray:
        """The addend in the shape of the source."""
        op, shape = self.through.op.name, self.source.shape
        if op == "expand":
            axes = tuple(axis for axis, size in enumerate(shape) if size != value.shape[axis])
            return value.sum(axis=axes, keepdims=True).reshape(shape)
        if op == "permute":
            return value.transpose(np.argsort(self.through.meta["axes"]))
        return value.reshape(shape).astype(self.source.dtype.numpy)
