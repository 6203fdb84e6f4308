"""The update of a parameter: the optimizer's own bits, and formulas that give them."""

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.inspect.explain.latex import latex_of
from chainrule.inspect.update import Update

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    ("LAMB", {"lr": 0.1}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("RMSprop", {}),
    ("Adadelta", {"weight_decay": 0.1}),
]


def trained(name, options, steps, shape=(3, 2)):
    """(the update of the last of some steps, the parameter after it)"""
    rng = np.random.default_rng(0)
    w = cr.tensor(rng.normal(size=shape).astype("f"), requires_grad=True)
    optimizer = getattr(optim, name)([w], **options)
    for _ in range(steps):
        w.grad = cr.tensor(rng.normal(size=shape).astype("f"))
        value, gradient = w.detach().numpy().copy(), w.grad.numpy().copy()
        state = {
            key: held.numpy().copy() if isinstance(held, cr.Tensor) else held
            for key, held in optimizer.state.get(w, {}).items()
        }
        group = {key: v for key, v in optimizer.param_groups[0].items() if key != "params"}
        optimizer.step()
    return Update(name, value, gradient, group, state), w.detach().numpy()


def names():
    """What Python has to know of a formula of the board."""
    return {
        "math": math,
        "where": lambda c, a, b: a if c else b,
        "max": max,
        "__builtins__": {},
    }


LETTERS = {"w̄": "wbar", "Δw": "dw", "β₁": "beta1", "β₂": "beta2", "−": "-", "·": "*", "²": "**2"}
INDICES = {"₀": "_0", "₁": "_1", "₂": "_2", "₃": "_3", "₄": "_4", "^": "**", "√": "math.sqrt"}
SIGNS = {" = 0": " == 0", " ≠ ": " != "}


def python(text):
    for sign, word in (LETTERS | INDICES | SIGNS).items():
        text = text.replace(sign, word)
    return re.sub(r"\[([^\]]*)\]", r"(1.0 if \1 else 0.0)", text)


def evaluated(update, index):
    """Each row's formula in float64 from the rows before it and the options: (row, number)"""
    known = names() | {python(c.name): float(c.value) for c in update.options}
    found = []
    for row in update.rows:
        if row.formula and "Σ" not in row.formula:
            found.append((row, eval(python(row.formula), known)))
        known[python(row.name)] = float(row.at(index))
    return found


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_the_bits_are_the_optimizer_s(name, options, steps):
    update, after = trained(name, options, steps)
    assert update.after.tobytes() == after.tobytes()
    assert update.change.tobytes() == (after - update.rows[0].array).tobytes()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_each_formula_gives_its_number(name, options, steps):
    update, _ = trained(name, options, steps)
    for index in np.ndindex(3, 2):
        rows = evaluated(update, index)
        assert [row.role for row, _ in rows][-2:] == ["after", "change"]
        for row, number in rows:
            assert number == pytest.approx(float(row.at(index)), rel=2e-5, abs=3e-7), row.name


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_formulas_name_every_option_and_are_latex(name, options):
    update, _ = trained(name, options, 3)
    written = " ".join(row.formula for row in update.rows)
    assert "0.1" not in written and "0.9" not in written
    assert all(constant.name in written for constant in update.constants)
    for row in update.rows:
        assert latex_of(row.formula).count("{") == latex_of(row.formula).count("}")


def test_equal_numbers_are_told_apart():
    """λ, 1 − β₁ and η are all 0.1 here: each stands where it belongs."""
    update, _ = trained("Adam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.9, 0.9)}, 2)
    rows = {row.name: row.formula for row in update.rows}
    assert rows["g"] == "w̄ + w·λ"
    assert rows["m"] == "m₀·β₁ + g·(1 − β₁)"
    assert rows["v"] == "v₀·β₂ + g²·(1 − β₂)"
    assert rows["w₁"] == "w − m·(η/(1 − β₁^t))/(√(v)·(1 − β₂^t)^-0.5 + ε)"


def test_numbers_put_in():
    update, _ = trained("SGD", {"lr": 0.1, "momentum": 0.9}, 2)
    row = next(row for row in update.rows if row.name == "v")
    before, gradient = (f"{abs(update.rows[k].at((1, 1))):.4g}" for k in (2, 1))
    assert update.numbers(row, (1, 1)) == f"(−{before})·0.9 + (−{gradient})"


def test_a_bias_is_spared_and_the_gradient_clipped():
    w = np.float32([1.0, 2.0])
    group = {"lr": 0.5, "weight_decay": 0.1, "no_decay_on_bias": True}
    update = Update("SGD", w, np.float32([8, 8]), group, {}, clipped=np.float32([2, 4]))
    assert [(row.name, row.role) for row in update.rows] == [
        ("w", "before"),
        ("w̄", "gradient"),
        ("ĝ", "clipped"),
        ("w₁", "after"),
        ("Δw", "change"),
    ]
    assert update.after.tolist() == [0, 0] and update.rows[1].array.tolist() == [8, 8]


def test_nothing_that_was_kept_is_written_to():
    kept = {"momentum_buffer": cr.tensor(np.float32([1.0, 2.0]))}
    w, g = np.float32([1, 2]), np.float32([3, 4])
    Update("SGD", w, g, {"lr": 0.5, "momentum": 0.5}, kept)
    assert kept["momentum_buffer"].tolist() == [1, 2]
    assert (w.tolist(), g.tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize("name", ["MyOptimizer", "Optimizer", "lr_scheduler"])
def test_an_optimizer_of_one_s_own(name):
    with pytest.raises(cr.UsageError, match=f"the optimizer {name}, needs one of chainrule.optim"):
        Update(name, np.float32([1]), np.float32([1]), {}, {})
