"""What stands on the board: which values get a row, what each row says, and in which order.

A value gets a row if it has a name, is read twice, or is more than a piece of its reader's formula
(``w·x`` in ``w·x + b``).  Reshaping is no row: the numbers stay, only their places change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.inspect.arrays import LARGEST, array_text, is_small
from chainrule.inspect.explain.composites import Composite, composites, inner_addend
from chainrule.inspect.explain.jacobian import local_jacobian
from chainrule.inspect.formulas import (
    ATOM,
    NEGATIVE,
    POWER,
    SEE_THROUGH,
    SUBSCRIPT,
    Writer,
    Written,
    marked,
)
from chainrule.inspect.notation import signal_name
from chainrule.inspect.recorded import RecordedLoss
from chainrule.ops import leaf
from chainrule.storage import Recorded

__all__ = ["Addend", "Board", "Variable"]


def pretty(name: str) -> str:
    """W1 is written W₁."""
    found = re.fullmatch(r"([^\W\d_]+)(\d+)", name)
    return found[1] + found[2].translate(SUBSCRIPT) if found else name


@dataclass(eq=False)
class Addend:
    """What one reader adds to an error signal."""

    reader: Variable
    formula: str
    numbers: str | None
    value: np.ndarray
    jacobian: np.ndarray | None = None  # ∂reader/∂variable, where it is shown
    node: Any = None  # that computes it


@dataclass(eq=False)
class Variable:
    """A value with a row. ``core`` computes it; ``face`` is the same in the shape that is read."""

    core: Recorded
    face: Recorded
    name: str
    value: np.ndarray
    formula: str = ""
    numbers: str | None = None
    bar: np.ndarray | None = None
    signal: str = ""  # what v̄ is called
    addends: list[Addend] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Whether it entered from outside."""
        return not self.formula


class Board(RecordedLoss):
    """The rows of a graph: ``variables`` in forward order, ``backward`` from the loss back.

    marks: names and numbers in formulas are marked with whose they are: 3v is the value of
    ``variables[3]``, 3b its error signal.  graph: as of ``RecordedLoss``.
    """

    def __init__(
        self,
        loss: Recorded,
        names: dict[Recorded, str],
        digits: int,
        notation: str = "bar",
        *,
        marks: bool = False,
        graph: Mapping[Any, tuple[Any, ...]] | None = None,
    ) -> None:
        super().__init__(loss, graph=graph)
        self.marks = marks
        self.names, self.digits, self.notation = names, digits, notation
        self.of: dict[Any, Variable] = {}  # node -> the variable that it shows
        self.variables: list[Variable] = []
        self.composites = {whole.end: whole for whole in composites(self)}
        self.inside = {part: w.end for w in self.composites.values() for part in w.inner}
        self._arrange(self.order)
        self._places = {id(variable): place for place, variable in enumerate(self.variables)}
        end = self.of[loss].name
        for variable in self.variables:
            ends = not self.inputs[variable.core]
            variable.signal = signal_name(variable.name, end, notation, leaf=ends)
        for variable in self.variables:
            self._write_forward(variable)
            variable.bar = self.bar(variable.face)
        for variable in self.variables:
            self._write_backward(variable)
        if notation == "jacobian":
            for variable in self.variables:
                variable.bar = None if variable.bar is None else self._row(variable.bar)
                for addend in variable.addends:
                    addend.value = self._row(addend.value)
        self.release()

    # ------------------------------------------------------------ which values get a row

    def _arrange(self, order: list[Any]) -> None:
        taken = set(self.names.values())
        count = 0
        for node in order:
            if node in self.inside or (node.op is leaf.number and node not in self.names):
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
        if node in self.composites:
            return False
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
        whole = node in self.composites or any(r in self.inside for r in self.readers[node])
        if not parts or whole or node is self.loss or self._called(node) is not None:
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
                if reader.face is self.loss and self.notation != "bar":
                    return None  # ∂L/∂L is the factor 1
                text = array_text(reader.bar, self.digits) if numbers else reader.signal
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
            rank = NEGATIVE if text.startswith("−") else ATOM
            if text.startswith("∂"):
                rank = POWER
            shown = reader if node in own else self.of.get(node)
            if shown is not None:
                text = self._marked(text, shown, node in own)
            return Written(text, rank, value.ndim > 0, node in own)

        def sigmoids(node: Any) -> Any:
            variable = self.of.get(node)
            if variable is None or variable.core.op.name != "sigmoid":
                return None
            return self.inputs[variable.core][0]

        return Writer(self.inputs, atom, digits=self.digits, numbers=numbers, sigmoids=sigmoids)

    def _marked(self, text: str, variable: Variable, signal: bool) -> str:
        if not self.marks:
            return text
        return marked(text, f"{self._places[id(variable)]}{'b' if signal else 'v'}")

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
        whole = self.composites.get(variable.core)
        if whole is not None:
            variable.formula = whole.forward(*self._read_by(whole, False))
            if self._readable([variable.face, whole.source, whole.target]):
                variable.numbers = whole.forward(*self._read_by(whole, True))
            return
        variable.formula = self._writer(False).formula(variable.core).text
        if self._readable([variable.face, *self._atoms(variable.core)]):
            variable.numbers = self._writer(True).formula(variable.core).text

    def _read_by(self, whole: Composite, numbers: bool) -> tuple[str, str]:
        """How a composite's source and target are written."""
        writer = self._writer(numbers)
        target = "" if whole.target is None else writer.write(whole.target).text
        return writer.write(whole.source).text, target

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
            if self.notation == "jacobian" and reader.face is not self.loss:
                variable.addends.append(self._as_row(reader, variable, value))
                continue
            numbers = None
            if is_small(value) and is_small(reader.bar) and self._legible(addend, reader):
                numbers = text(self._writer(True, reader), addend)
            formula = text(self._writer(False, reader), addend)
            if self.notation == "jacobian" and value.ndim:  # the loss's own slope, as a row
                formula, numbers = f"({formula})ᵀ", numbers and f"({numbers})ᵀ"
            variable.addends.append(Addend(reader, formula, numbers, value, node=addend))

    def _as_row(self, reader: Variable, variable: Variable, value: np.ndarray) -> Addend:
        """An addend as the row ∂L/∂reader times the Jacobian ∂reader/∂variable."""
        assert reader.bar is not None
        jacobian = f"∂{reader.name}/∂{variable.name}"
        numbers = factor = None
        if max(value.size, reader.bar.size) <= LARGEST:

            def stops(node: Any) -> bool:
                return node in self.of and self.of[node] not in (reader, variable)

            factor = local_jacobian(reader.face, variable.face, self.inputs, stops, self.value)
            text = array_text(factor if factor.size > 1 else factor.reshape(()), self.digits)
            row = array_text(self._row(reader.bar), self.digits)
            numbers = f"{self._marked(row, reader, True)}·{text}"
        signal = self._marked(reader.signal, reader, True)
        return Addend(reader, f"{signal}·{jacobian}", numbers, value, factor)

    def _row(self, signal: np.ndarray) -> np.ndarray:
        """An error signal as a row vector 1 × n; that of a number stays a number."""
        return signal.reshape(1, -1) if signal.ndim else signal

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
        wholes: set[Any] = set()
        for addend, reader in zip(self.signals.addends[node], readers, strict=False):
            end = self.inside.get(reader, reader)
            if end in self.composites:
                if end not in wholes:  # all that a composite adds is one addend
                    yield self._from_composite(self.composites[end], node, addend._node)
                wholes.add(end)
                continue
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

    def _from_composite(
        self, whole: Composite, node: Any, addend: Any
    ) -> tuple[Variable, Any, Any, np.ndarray]:
        reader = self.of[whole.end]
        value = inner_addend(self, node, whole.inner | {whole.end})
        assert value is not None and reader.bar is not None

        def text(writer: Writer, _: Any) -> str:
            assert reader.bar is not None
            y, bar = reader.name, reader.signal
            if writer.numbers:
                y, bar = (array_text(x, self.digits) for x in (reader.value, reader.bar))
            y, bar = self._marked(y, reader, False), self._marked(bar, reader, True)
            if whole.target is not None:  # a loss: its error signal is a factor
                seed = reader.face is self.loss and self.notation != "bar"
                bar = "" if seed else f"({bar})·" if bar.startswith("−") else f"{bar}·"
            return whole.backward(*self._read_by(whole, writer.numbers), y, bar)

        return reader, text, addend, value

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
