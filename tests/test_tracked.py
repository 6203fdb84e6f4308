"""Numbers of an optimizer that remember how they were computed."""

from __future__ import annotations

import math
import operator

import pytest

from chainrule.tracked import Numbers, Tracked


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: (a + b) * 2 - b / a,
        lambda a, b: 1 / (1 - a**b),
        lambda a, b: (1 - 0.9**b) ** -0.5,
        lambda a, b: -abs(a - 3) // b % 5,
        lambda a, b: 7 // b + 2 % a - (3 - a),
    ],
)
def test_the_same_arithmetic_on_later_numbers(function):
    numbers = Numbers()
    a, b = numbers.source(0.5), numbers.source(2)
    found = function(a, b)
    assert isinstance(found, Tracked) and found.now == function(0.5, 2)
    numbers.sources[:] = 0.25, 7
    assert numbers.hold() and found.value() == function(0.25, 7)


def test_equal_expressions_have_equal_keys():
    numbers = Numbers()
    a, b = numbers.source(0.5), numbers.source(0.5)
    assert (1 - a).key == (1 - a).key != (1 - b).key
    assert (a * 1).key != (a * 1.0).key


@pytest.mark.parametrize(
    ("use", "begin", "stays", "breaks"),
    [
        (bool, 1.0, 2.0, 0.0),
        (lambda a: a > 1, 2.0, 7.0, 0.5),
        (lambda a: a == 2, 3, 4, 2),
        (lambda a: max(a, 1.0), 1.5, 2.0, 0.0),
        (float, 1.5, 1.5, 2.0),
        (math.sqrt, 1.5, 1.5, 2.0),
        (lambda a: f"{a:.2f}", 1.5, 1.5, 2.0),
        (hash, 1.5, 1.5, 2.0),
    ],
)
def test_a_use_is_a_guard(use, begin, stays, breaks):
    numbers = Numbers()
    use(numbers.source(begin))
    numbers.sources[0] = stays
    assert numbers.hold()
    numbers.sources[0] = breaks
    assert not numbers.hold()


def test_what_is_no_number_is_left_to_the_other():
    a = Numbers().source(2.0)
    assert operator.add(a, 1).now == 3 and a.__add__("x") is NotImplemented
    with pytest.raises(TypeError):
        a + "x"  # type: ignore[operator]
