"""The systems without training: each computes its figures, and all of them hold."""

import pytest

from chainrule.systems import SYSTEMS

COMPUTED = [name for name, system in SYSTEMS.items() if system.compute is not None]


def computed(name):
    compute = SYSTEMS[name].compute
    assert compute is not None
    return compute()


@pytest.mark.parametrize("name", COMPUTED)
def test_every_figure_holds(name):
    report = computed(name)
    assert report.figures and report.lines
    assert not [str(figure) for figure in report.figures if not figure]


def test_a_system_computes_or_trains():
    for system in SYSTEMS.values():
        assert (system.compute is None) != (system.recipe is None)


def figures_of(name):
    return {figure.name: figure.measured for figure in computed(name).figures}


def test_the_unit_s_error_signal_is_computed_once_and_used_twice():
    assert "z̄: 1 computed, 2 used: w̄, b̄" in "\n".join(computed("logistic").lines)


def test_a30_costs_8_12_and_16():
    figures = figures_of("two-layer")
    spent = [value for name, value in figures.items() if name.startswith("multiply-adds")]
    assert spent == [8, 12, 16]


def test_a20_and_a40():
    assert figures_of("why-backprop")["forward terms, L = 50"] == 10_404
    orders = figures_of("jacobian-order")
    assert (orders["from the loss, n = 64"], orders["from the input, n = 64"]) == (12_288, 528_384)
