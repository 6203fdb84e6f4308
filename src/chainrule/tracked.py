"""Numbers of an optimizer in a trace: they remember how they were computed.

``lr / (1 - beta ** t)`` is written in Python, in float64, and changes at every step.  In a trace
lr, beta and t are ``Tracked``: arithmetic gives another one, whose value any later call gets by
the same arithmetic on the numbers of then.  A branch (``if momentum:``) or a conversion (``float``,
``math.sqrt``) is remembered as a guard: the trace holds as long as it would come out the same.

>>> numbers = Numbers()
>>> rate, t = numbers.source(0.5), numbers.source(1)
>>> scaled = rate / (1 - 0.9**t)
>>> if t > 0:
...     numbers.sources[1] = 2
>>> numbers.hold(), round(scaled.value(), 4)
(True, 2.6316)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Numbers", "Tracked"]

Value = Callable[[], Any]


class Numbers:
    """The sources that expressions read, and the guards on them."""

    def __init__(self) -> None:
        self.sources: list[Any] = []
        self._guards: dict[Hashable, tuple[Value, Any]] = {}

    def source(self, now: Any) -> Tracked:
        """A new number from outside, which is ``now`` while tracing."""
        place = len(self.sources)
        self.sources.append(now)
        return Tracked(self, now, ("source", place), lambda: self.sources[place])

    def guard(self, key: Hashable, value: Value, found: Any) -> Any:
        """What comes out of ``value()`` must be this: it was used."""
        self._guards[key] = value, found
        return found

    def hold(self) -> bool:
        """Whether every guard still comes out as it did."""
        return all(
            type(found) is type(again := value()) and found == again
            for value, found in self._guards.values()
        )


def _arithmetic(function: Callable[[Any, Any], Any], swapped: bool = False) -> Any:
    def method(self: Tracked, other: Any) -> Any:
        if not isinstance(other, (int, float, Tracked)):
            return NotImplemented
        a, b = (other, self) if swapped else (self, other)
        return self.numbers_of(function, a, b)

    return method


def _comparison(function: Callable[[Any, Any], Any]) -> Any:
    def method(self: Tracked, other: Any) -> Any:
        if not isinstance(other, (int, float, Tracked)):
            return NotImplemented
        found = self.numbers_of(function, self, other)
        return self._numbers.guard(found.key, found.value, found.now)

    return method


def _conversion(function: Callable[..., Any]) -> Any:
    def method(self: Tracked, *arguments: Any) -> Any:
        now = self._numbers.guard(self.key, self.value, self.now)
        return function(now, *arguments)

    return method


class Tracked:
    """A number that is ``now`` in this trace; ``value()`` computes it anew, ``key`` says how."""

    __slots__ = ("_numbers", "key", "now", "value")

    def __init__(self, numbers: Numbers, now: Any, key: Hashable, value: Value) -> None:
        self._numbers, self.now, self.key, self.value = numbers, now, key, value

    def numbers_of(self, function: Callable[..., Any], *operands: Any) -> Tracked:
        """``function`` of operands, some of them tracked."""
        now = function(*(x.now if isinstance(x, Tracked) else x for x in operands))
        key = (
            function.__name__,
            *(x.key if isinstance(x, Tracked) else (type(x), x) for x in operands),
        )
        values = [x.value if isinstance(x, Tracked) else (lambda x=x: x) for x in operands]
        if len(values) == 1:
            (only,) = values
            return Tracked(self._numbers, now, key, lambda: function(only()))
        a, b = values
        return Tracked(self._numbers, now, key, lambda: function(a(), b()))

    __add__, __radd__ = _arithmetic(operator.add), _arithmetic(operator.add, swapped=True)
    __sub__, __rsub__ = _arithmetic(operator.sub), _arithmetic(operator.sub, swapped=True)
    __mul__, __rmul__ = _arithmetic(operator.mul), _arithmetic(operator.mul, swapped=True)
    __truediv__ = _arithmetic(operator.truediv)
    __rtruediv__ = _arithmetic(operator.truediv, swapped=True)
    __floordiv__ = _arithmetic(operator.floordiv)
    __rfloordiv__ = _arithmetic(operator.floordiv, swapped=True)
    __mod__, __rmod__ = _arithmetic(operator.mod), _arithmetic(operator.mod, swapped=True)
    __pow__, __rpow__ = _arithmetic(operator.pow), _arithmetic(operator.pow, swapped=True)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    __hash__ = _conversion(hash)
    __float__, __int__ = _conversion(float), _conversion(int)
    __index__, __round__ = _conversion(operator.index), _conversion(round)
    __repr__ = __str__ = _conversion(repr)
    __format__ = _conversion(format)

    def __neg__(self) -> Tracked:
        return self.numbers_of(operator.neg, self)

    def __abs__(self) -> Tracked:
        return self.numbers_of(operator.abs, self)

    def __bool__(self) -> bool:
        return self._numbers.guard(("bool", self.key), lambda: bool(self.value()), bool(self.now))
