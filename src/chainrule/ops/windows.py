"""Windows: how a kernel moves over an input, for convolution and pooling alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from chainrule.dtypes import DType
from chainrule.errors import ShapeError, UsageError, message
from chainrule.graph import Node, type_text
from chainrule.ops.op import Typed

__all__ = ["Sizes", "Type", "Windows", "upstream"]

Sizes = tuple[int, ...]

AXES = {1: "L", 2: "HW", 3: "DHW"}  # the letters of 1 to 3 spatial axes


class Type(NamedTuple):
    """The shape and dtype of a value that is not there yet."""

    shape: Sizes
    dtype: DType


class Windows(NamedTuple):
    """One number per spatial axis: kernel F, stride S, padding P on both sides, dilation.

    The dilation is the distance of neighbouring taps, a *tap* one place of the kernel.  With
    ``ceil_mode`` a last window may reach beyond the padding, if it starts before that.

    >>> Windows((5, 2), (1, 2), (2, 0), (1, 1)).counts((28, 5))
    (28, 2)
    >>> Windows((5, 2), (1, 2), (2, 0), (1, 1), ceil_mode=True).counts((28, 5))
    (28, 3)
    """

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    ceil_mode: bool = False

    @property
    def spans(self) -> Sizes:
        """The extent of a window along each axis, from its first tap to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def counts(self, sizes: Sizes) -> Sizes:
        """How many windows fit along each axis: ⌊(N + 2P - F) / S⌋ + 1, where F is the span."""
        counts = []
        for size, span, s, p in zip(sizes, self.spans, self.stride, self.padding, strict=True):
            room = size + 2 * p - span
            count = (-(-room // s) if self.ceil_mode else room // s) + 1
            starts_too_late = self.ceil_mode and (count - 1) * s >= size + p
            counts.append(count - starts_too_late)
        return tuple(counts)

    def reach(self, counts: Sizes) -> Sizes:
        """How far that many windows reach along each axis, padding included."""
        return tuple(
            (n - 1) * s + span for n, s, span in zip(counts, self.stride, self.spans, strict=True)
        )

    def at(self, tap: Sizes, counts: Sizes) -> tuple[slice, ...]:
        """What that many windows see at one tap: a slice along each axis of the padded input."""
        return tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, self.dilation, counts, self.stride, strict=True)
        )

    def check(self, where: str, x: Typed) -> None:
        """Raise unless the numbers make sense and x is [N,C,*S] with as many spatial axes."""
        rank = len(self.kernel)
        for name, values in zip(self._fields[:4], self[:4], strict=True):
            least = 0 if name == "padding" else 1
            if len(values) != rank or min(values) < least:
                needs = f"{rank} numbers, each at least {least}"
                raise UsageError(message(where, f"{name}={values}", needs))
        if rank not in AXES or len(x.shape) != rank + 2:
            layout = ",".join(("N", "C", *AXES.get(rank, "HW")))
            batch = "unsqueeze(0) adds the batch axis" if len(x.shape) == rank + 1 else ""
            got, needs = type_text(x.shape, x.dtype), f"{x.dtype.short}[{layout}]"
            raise ShapeError(message(where, got, needs, remedy=batch))

    def check_fit(self, where: str, x: Typed) -> None:
        """Raise unless at least one window fits into x: [N,C,*S]."""
        least = [
            max(1, span - 2 * p - (s - 1 if self.ceil_mode else 0))
            for span, s, p in zip(self.spans, self.stride, self.padding, strict=True)
        ]
        if all(size >= needed for size, needed in zip(x.shape[2:], least, strict=True)):
            return
        axes = AXES[len(self.kernel)]
        needs = " and ".join(f"{axis} ≥ {needed}" for axis, needed in zip(axes, least, strict=True))
        why = f"The kernel {_by(self.kernel)}"
        if max(self.dilation) > 1:
            why += f" with dilation {_by(self.dilation)}"
        if max(self.padding) > 0:
            why += f" and padding {_by(self.padding)}"
        steps = _shrinking(x) if isinstance(x, Node) else ""
        why += " does not fit into the input" + (f", which shrank {steps}" if steps else "")
        remedy = "A larger input, more padding, or fewer layers that shrink it"
        error = ShapeError(
            message(where, type_text(x.shape, x.dtype), needs, why=why, remedy=remedy)
        )
        error.an_input = "a larger input"
        raise error


def upstream(node: Node) -> Iterator[Node]:
    """An image f[N,C,*S] and the images that it was made of, back to where its history begins."""
    while True:
        yield node
        like = [i for i in node.inputs if len(i.shape) == len(node.shape) and i.dtype is node.dtype]
        same_batch = [i for i in like if i.shape[0] == node.shape[0]]
        if not same_batch:
            return
        node = same_batch[0]


def _shrinking(x: Node) -> str:
    """How the sides of an image became what they are: "28 → 24 → 12"; "" if they did not change."""
    steps: list[str] = []
    for node in upstream(x):
        sides = node.shape[2:]
        step = str(sides[0]) if len(set(sides)) == 1 else _by(sides)
        if not steps or steps[-1] != step:
            steps.append(step)
    return " → ".join(reversed(steps)) if len(steps) > 1 else ""


def _by(sizes: Sizes) -> str:
    return "×".join(map(str, sizes))
