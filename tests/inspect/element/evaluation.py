"""An evaluation of its own of what a number was computed from: Python's functions, in float64."""

import math
import operator
from statistics import NormalDist

from chainrule.ops.random import random_words

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def whole(x):
    return math.trunc(x) if math.isfinite(x) else x


FUNCTIONS = {
    "neg": operator.neg, "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "div": lambda a, b: a / b if b else a * math.inf, "pow": operator.pow,
    "floor_divide": operator.floordiv, "remainder": operator.mod,
    "square": lambda x: x * x, "sqrt": math.sqrt, "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0), "floor": math.floor, "maximum": max, "minimum": min,
    "exp": math.exp, "expm1": math.expm1, "log": lambda x: math.log(x) if x else -math.inf,
    "log1p": math.log1p, "sin": math.sin, "cos": math.cos, "tanh": math.tanh, "sigmoid": sigmoid,
    "erf": math.erf, "relu": lambda x: max(x, 0), "where": lambda c, a, b: a if c else b,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "isfinite": math.isfinite,
    "fan_in": lambda *a: sum(a),
}  # fmt: skip


def function(part):
    """An elementwise op of a part, written in Python's own functions."""
    name, meta = part["rule"], part.get("meta", {})
    if name == "power":
        return lambda x: x ** meta["exponent"]
    if name == "cast":
        return bool if meta["dtype"] == "bool" else whole
    if name == "class_index":
        return lambda label: 0 if label == meta["ignore"] else label
    if name == "ndtri":
        return NormalDist().inv_cdf
    return FUNCTIONS[name]


def evaluate(part, eps):
    """The value of a page's part from its links alone, and the most that rounding can do to it."""
    if "link" in part or "rule" not in part or part["rule"] == "addend":
        return part["value"], 0.0
    name, meta = part["rule"], part.get("meta", {})
    found = [evaluate(inner, eps) for inner in part["parts"]]
    values, errors = [v for v, _ in found], [e for _, e in found]
    if name in ("sum", "fan_in"):
        sizes, count = sum(map(abs, values)), len(values) + 1
        if "more" in part:
            more = part["more"]
            least = min(map(abs, values))  # no other term is larger
            sizes, count = sizes + more["count"] * least, count + more["count"]
            values.append(more["value"])
            errors = [*errors, more["count"] * max(errors, default=0)]
        return sum(values), sum(errors) + (count * eps) * sizes
    if name in ("max", "min"):
        best = {"max": max, "min": min}[name](values)
        assert values[meta["winner"]] == best
        return best, max(errors)
    if name in ("argmax", "argsort"):
        return meta["places"][values.index(max(values))], 0
    if name == "same":
        return meta["places"][0] == meta["places"][1], 0
    if name == "random_bits":
        return int(random_words(*values, meta["places"][0] + 1)[-1]), 0
    f = function(part)
    value, error = f(*values), 0.0
    if not isinstance(value, float):
        return value, error
    for k, e in enumerate(errors):
        if e:
            moved = [f(*values[:k], values[k] + s * e, *values[k + 1 :]) for s in (-1, 1)]
            error += max(abs(m - value) for m in moved)
    return value, error + 4 * eps * abs(value)
