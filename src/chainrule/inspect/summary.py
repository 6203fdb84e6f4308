"""``Module.summary``: layers, shapes, parameters, multiply-adds and receptive fields.

From shapes alone: no weight is computed, and nothing of the model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.graph import Node
from chainrule.inspect.cost import multiply_adds
from chainrule.inspect.receptive_field import Field, fields_of
from chainrule.inspect.walk import Call, Size, Walk, walk
from chainrule.nn.module import Module

__all__ = ["Row", "Summary", "summary"]

MOVES = ("reshape", "permute", "expand", "slice")  # their results are views: no bytes of their own


@dataclass
class Row:
    """One call, or a module that is not called (``output`` is None)."""

    name: str
    kind: str
    depth: int
    output: list[int] | None
    parameters: int  # of the module itself, not of those below it
    counted: int  # of these, how many no row above has
    multiply_adds: int
    receptive_field: list[int] | None = None  # along each spatial axis of the input
    jump: list[float] | None = None

    @property
    def label(self) -> str:
        """``conv1/Conv2d``; a function's name alone."""
        return "/".join(dict.fromkeys(filter(None, (self.name, self.kind))))


@dataclass
class Summary:
    """The rows of a model and their totals; it prints as a table."""

    name: str
    input: list[list[int]]  # sizes of the inputs
    batch: bool  # whether their first axis is the batch's
    rows: list[Row]
    parameters: int
    trainable: int
    parameter_bytes: int
    activation_bytes: int

    @property
    def multiply_adds(self) -> int:
        """Of the whole forward pass."""
        return sum(row.multiply_adds for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Rows and totals; shapes are those of one sample, without the batch axis."""
        sizes = [size[self.batch :] for size in self.input]
        keys = ("parameters", "multiply_adds", "trainable", "parameter_bytes", "activation_bytes")
        rows = []
        for row in self.rows:
            output = None if row.output is None else row.output[self.batch :]
            rows.append(vars(row) | {"output": output})
        return {
            "model": self.name,
            "input": sizes[0] if len(sizes) == 1 else sizes,
            "layers": rows,
            "total": {key: getattr(self, key) for key in keys},
        }

    def __str__(self) -> str:
        shift = min((row.depth for row in self.rows), default=0)
        inputs = [f"input {k + 1}" if len(self.input) > 1 else "input"
                  for k in range(len(self.input))]  # fmt: skip
        seen = any(row.receptive_field for row in self.rows)
        head = ["layer", "output", "parameters", "multiply-adds", "sees", "jump"]
        table = [head[: 6 if seen else 4]]
        table += [
            [name, self._shape(size)]
            for name, size in zip(inputs, self.input, strict=True)
        ]  # fmt: skip
        for row in self.rows:
            label = "  " * (row.depth - shift) + row.label
            shape = "not called" if row.output is None else self._shape(row.output)
            cells = [label, shape, _count(row), f"{row.multiply_adds:,}" * (row.output is not None)]
            table.append([*cells, *([_by(row.receptive_field), _by(row.jump)] if seen else ())])
        table.append(["total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"])
        lines = _columns(table)
        frozen = self.parameters - self.trainable
        lines += ["", f"parameters   {_bytes(self.parameter_bytes)}"
                  + f", {frozen:,} of them frozen" * bool(frozen)]  # fmt: skip
        lines.append(f"activations  {_bytes(self.activation_bytes)} for one sample" if self.batch
                     else f"activations  {_bytes(self.activation_bytes)}")  # fmt: skip
        if any(row.counted < row.parameters for row in self.rows):
            lines.append("(in brackets: counted above)")
        return "\n".join(lines)

    __repr__ = __str__

    def _shape(self, shape: Sequence[int]) -> str:
        sizes = list(map(str, shape))
        if self.batch and sizes:
            sizes[0] = "N"
        return f"[{','.join(sizes)}]"


def summary(
    model: Module,
    input_size: Size | Sequence[Size] | None = None,
    batch_size: int | None = 1,
) -> Summary:
    """Layers of a model in the order of its calls: a table that ``print`` shows.

    input_size: the sizes of one sample, without the batch axis, which is put before them; a list
    of such sizes for several inputs; or an example tensor, with its batch axis.  A model that has
    an ``input_shape`` or begins with a Linear needs none.  ``batch_size=None``: the batch axis is
    in ``input_size``, as torchinfo wants it.

    The pass is one of evaluation.  A layer that is used twice has two rows and is counted once; one
    that is not called says so.  ``sees`` is the receptive field, borders of padding included.

    >>> from chainrule import nn
    >>> print(summary(nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), (1, 6, 6)))
    layer          output     parameters  multiply-adds  sees  jump
    input          [N,1,6,6]
    0/Conv2d       [N,2,4,4]          20            288     3     1
    1/MaxPool2d    [N,2,2,2]           0              0     4     2
    total                             20            288
    <BLANKLINE>
    parameters   80 bytes
    activations  160 bytes for one sample
    """
    pass_ = walk(model, input_size, batch_size)
    fields = fields_of(pass_)
    seen: set[int] = set()
    rows = [_row(call, seen, fields) for call in pass_.calls if _is_shown(call, pass_)]
    rows += _not_called(pass_, seen)
    known = list(pass_.model.parameters())
    kept = {n for c in pass_.calls if (n := c.output) is not None and n.op.name not in MOVES}
    return Summary(
        type(model).__name__,
        [list(x.shape) for x in pass_.inputs],
        batch_size is not None,
        rows,
        sum(p.numel() for p in known),
        sum(p.numel() for p in known if p.requires_grad),
        sum(p.numel() * p.dtype.itemsize for p in known),
        sum(prod(node.shape) * node.dtype.itemsize for node in kept),
    )


def _is_shown(call: Call, pass_: Walk) -> bool:
    """The outermost module is the table's name, unless it does something itself."""
    if call.depth or len(pass_.calls) == 1:
        return True
    return any(map(multiply_adds, call.nodes)) or any(call.module.parameters(recurse=False))


def _row(call: Call, seen: set[int], fields: dict[Node, Field]) -> Row:
    field = fields.get(call.output) if call.output is not None else None
    parameters, counted = _parameters(call.module, seen, recurse=False)
    return Row(
        call.path,
        call.kind,
        call.depth,
        None if call.output is None else list(call.output.shape),
        parameters,
        counted,
        sum(map(multiply_adds, call.nodes)),
        None if field is None else list(field.size),
        None if field is None or field.jump is None else list(field.jump),
    )


def _parameters(module: Any, seen: set[int], recurse: bool) -> tuple[int, int]:
    """How many parameters there are, and how many no earlier row has had."""
    count = counted = 0
    for parameter in module.parameters(recurse=recurse) if module is not None else ():
        count += parameter.numel()
        if id(parameter) not in seen:
            seen.add(id(parameter))
            counted += parameter.numel()
    return count, counted


def _not_called(pass_: Walk, seen: set[int]) -> list[Row]:
    """The topmost modules below which nothing is called."""
    called = {id(call.module) for call in pass_.calls}
    rows, above = [], []
    for path, module in pass_.model.named_modules():
        if any(path.startswith(f"{other}.") for other in above):
            continue
        if not any(id(part) in called for part in module.modules()):
            above.append(path)
            parameters, counted = _parameters(module, seen, recurse=True)
            rows.append(Row(path, type(module).__name__, 1, None, parameters, counted, 0))
    return rows


# ---------------------------------------------------------------- the table


def _columns(rows: list[list[str]]) -> list[str]:
    """Two columns to the left, numbers to the right, two spaces between them."""
    widths = [
        max(len(row[place]) for row in rows if place < len(row)) for place in range(len(rows[0]))
    ]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _count(row: Row) -> str:
    return f"({row.parameters:,})" if row.counted < row.parameters else f"{row.parameters:,}"


def _by(sizes: Sequence[float] | None) -> str:
    """5 for a square, 5×3 else."""
    if sizes is None:
        return ""
    texts = [f"{size:g}" for size in sizes]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _bytes(count: int) -> str:
    """``246,824 bytes``, from a million on ``244.4 MB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,} bytes"
