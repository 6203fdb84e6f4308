"""Formulas that somebody typed: what they compute, what is refused and where."""

import math

import pytest

import chainrule as cr
from chainrule.inspect.expression import (
    FUNCTIONS,
    FormulaError,
    likely_learned,
    parse,
    parse_values,
)
from chainrule.ops import REGISTRY


def result(text, **values):
    return parse(text).loss(values, values).item()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a + b*2", lambda a, b: a + b * 2),
        ("(a + b)*2", lambda a, b: (a + b) * 2),
        ("a - b - 1", lambda a, b: a - b - 1),
        ("a / b / 2", lambda a, b: a / b / 2),
        ("-a**2", lambda a, b: -(a**2)),
        ("2**-a", lambda a, b: 2**-a),
        ("a**b**2", lambda a, b: a ** (b**2)),
        ("a^2 − b·3", lambda a, b: a**2 - b * 3),
        ("sigmoid(a) + σ(b)", lambda a, b: 1 / (1 + math.exp(-a)) + 1 / (1 + math.exp(-b))),
        ("ln(a)*max(a, b) - min(a, b)", lambda a, b: math.log(a) * max(a, b) - min(a, b)),
        ("c = a*b; d = c + a\nc*d", lambda a, b: a * b * (a * b + a)),
        ("1.5e-1*a + .5", lambda a, b: 0.15 * a + 0.5),
    ],
)
def test_a_formula_is_computed_as_python_would(text, wanted):
    assert result(text, a=0.7, b=1.3) == pytest.approx(wanted(0.7, 1.3), rel=1e-14)


def test_arrays_products_places_and_transposes():
    values = parse_values("W = [[1, 2], [3, 4]], x = [1, -1]")
    assert parse("y = W@x; y[0] + 2*sum(W.T@x)").loss(values, ["W"]).item() == -1 + 2 * (-4)
    assert parse("W[1, 0]*1").loss(values, ["W"]).item() == 3
    y = parse("y = softmax(x); -ln(y[1])").loss(values, ["x"]).item()
    assert y == pytest.approx(math.log(1 + math.exp(2)))


def test_every_elementwise_op_with_a_derivative_can_be_typed():
    assert {"sigmoid", "tanh", "relu", "exp", "log", "sqrt", "maximum"} <= set(FUNCTIONS)
    for name in set(FUNCTIONS) & set(REGISTRY):
        assert REGISTRY[name].differentiable
    for name, (count, _) in FUNCTIONS.items():
        text = f"sum({name}({', '.join('ab'[:count])}))"
        loss = parse(text).loss({"a": [0.3, 0.6], "b": [0.4, 0.2]}, ["a"])
        assert math.isfinite(loss.item()), name


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("w*", 3, "needs a name, a number"),
        ("w*(x + 1", 9, "needs “)”"),
        ("w x", 3, "needs an operator"),
        ("foo(w)", 1, "got “foo”"),
        ("sin(w, w)", 1, "needs 1 argument of sin"),
        ("w.shape", 2, "needs .T"),
        ("__import__(w)", 1, "needs a function"),
        ("w*$", 3, "needs names"),
        ("w[0.5]", 3, "needs a place"),
        ("y*w", 1, "y, which has no value"),
        ("y = w; y", 8, "only a name"),
        ("a = w; a = 2", 8, "a second meaning of a"),
        ("1/0*w", 2, "division by zero"),
        ("(0 - 2)**.5*w", 8, "a root of a negative number"),
        ("9**9**9*w", 2, "needs a number of float64"),
        ("w@w", 2, "needs shapes that fit"),
        ("x + 1", 3, "a result with no slope"),
        ("v*2", 2, "needs one number"),
        ("(" * 60 + "w" + ")" * 60, 41, "at most 40 levels"),
        ("w" + "**w" * 60, 119, "at most 40"),
        ("+".join("w" * 300), 400, "at most 200 operations"),
        ("w" * 5000, 4000, "at most 4,000"),
        ("", 1, "needs a formula"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text, column, words):
    with pytest.raises(FormulaError) as caught:
        parse(text).loss({"w": 1.0, "x": 2.0, "v": [1.0, 2.0]}, ["w", "v"])
    assert words in str(caught.value)
    assert (caught.value.column, caught.value.of) == (column, "formula")


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("w", 2, "needs “=”"),
        ("w = ", 5, "needs a number"),
        ("w = 1 x = 2", 7, "needs a comma"),
        ("w = 1, w = 2", 8, "a second w"),
        ("w = [1, [2]]", 5, "rows of several lengths"),
        ("w = [[[1]]]", 8, "needs a number"),
        ("w = [1,2,3,4,5,6,7]", 19, "at most 6"),
        ("w = 1e999", 10, "needs a number of float64"),
        ("w = x", 5, "needs a number"),
    ],
)
def test_values_that_cannot_be_read(text, column, words):
    with pytest.raises(FormulaError) as caught:
        parse_values(text)
    assert words in str(caught.value)
    assert (caught.value.column, caught.value.of) == (column, "values")


def test_greek_names_may_be_spelled():
    assert parse_values("lam = 1, Theta1 = 2, λ2 = 3") == {"λ": 1.0, "Θ1": 2.0, "λ2": 3.0}
    assert parse("lam*w").unknown == {"λ": 1, "w": 5}
    assert parse("lam*2").loss({"λ": 3.0}, ["lam"]).item() == 6


def test_what_is_learned_by_custom():
    assert likely_learned(["W1", "b1", "x", "θ", "wide"]) == ["W1", "b1", "θ"]


def test_the_script_gives_the_same_loss():
    program = parse("z = -(w - 2)**2*3 - w/(2*x); y = softmax(v.T); L = (z - y[0])**2")
    values = {"w": 0.7, "x": 1.5, "v": [0.1, 0.2]}
    script = program.python(values, ["w"])
    names = {}
    exec(script.rpartition("\n")[0], {}, names)  # all but print(cr.explain(L))
    assert names["L"].item() == program.loss(values, ["w"]).item()
    assert names["w"].requires_grad and isinstance(names["L"], cr.Tensor)
