"""The error of differences against h (golden F07), and kinks along random directions."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UsageError
from chainrule.gradcheck.steps import STEPS, StepErrors


def sigmoid_neuron(w):
    x = cr.tensor([1.0, -1.0, -2.0], dtype=cr.float64)
    return 1 / (1 + (-(w * x).sum()).exp())


@pytest.fixture
def errors():
    return cr.gradcheck(sigmoid_neuron, np.array([-3.0, 2.0, -3.0])).error_against_h()


def test_f07_orders_of_the_errors(errors):
    found = {h: (forward, central) for h, forward, central in errors.rows}
    assert tuple(found) == STEPS
    assert 1e-2 < found[1e-1][0] < 3e-1
    assert 1e-6 < found[1e-5][0] < 3e-5
    assert found[1e-5][1] < 1e-9
    assert found[1e-8][0] < 1e-6
    assert min(found[1e-13]) > 1e-5 or max(found[1e-13]) > 1e-4
    for h in (1e-2, 1e-3, 1e-4):
        assert found[h][0] / found[h / 10][0] == pytest.approx(10, rel=0.2)
    assert found[1e-1][1] / found[1e-2][1] == pytest.approx(100, rel=0.2)
    assert errors.best("central") < errors.best("forward") / 10


def test_the_plot_is_text_of_one_width(errors):
    lines = str(errors).splitlines()
    assert len(lines) == 2 + len(STEPS) + 1
    plotted = lines[2:-1]
    assert len({len(line) for line in plotted}) == 1
    assert all(("f" in line and "c" in line) or "*" in line for line in plotted)
    assert max(map(len, lines)) <= 80


def test_it_is_plain_data(errors):
    again = json.loads(json.dumps(errors.to_json()))
    assert [row["h"] for row in again["errors"]] == list(STEPS)
    assert again["derivative"] == errors.derivative


def test_exact_and_infinite_errors_stay_on_the_plot():
    assert "f" in str(StepErrors("x", 1.0, ((0.1, 0.0, float("inf")),)))


def test_one_element_can_be_asked_for():
    report = cr.gradcheck(lambda x, y: (x * y).sum(), (np.ones(3), np.arange(3.0)))
    assert report.error_against_h("x0", (2,)).place == "x0[2]"
    assert report.error_against_h("x0", (2,)).derivative == 2
    with pytest.raises(UsageError, match="needs one of x0, x1"):
        report.error_against_h("x2")


def test_a_module_stays_as_it_was_and_is_measured_in_float64():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh())
    before = {name: (x.dtype, x.tolist()) for name, x in net.state_dict().items()}
    errors = cr.gradcheck(net, np.random.default_rng(0).normal(size=(4, 2))).error_against_h()
    assert errors.best("central") < 1e-8
    assert {name: (x.dtype, x.tolist()) for name, x in net.state_dict().items()} == before


# ------------------------------------------------------------ dot-product mode


def conv_net():
    cr.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 3)
    )


def test_dot_products_of_a_large_net():
    report = cr.gradcheck(conv_net(), np.random.default_rng(0).normal(size=(2, 1, 8, 8)), dot=True)
    assert report, report
    assert [c.input for c in report.worst] == [
        "x0", "0.weight", "0.bias", "4.weight", "4.bias",
    ]  # fmt: skip
    assert all(c.index is None and c.relative_error < 1e-5 for c in report.worst)


def test_kinks_are_reported_with_their_layer_and_passed_by_a_smaller_h():
    def f(x):
        return nn.functional.relu(x).sum()

    x = np.random.default_rng(0).normal(size=400)
    x[::50] = 3e-7  # within h of the corner
    report = cr.gradcheck(f, x, eps=1e-4, dot=True)
    (row,) = report.worst
    assert report, report
    assert "8 of 400 units switch within h =" in row.kinks
    assert "(relu 8)" in row.kinks
    assert f"compared at h = {row.h:g}, where none does" in row.kinks
    assert row.kinks in str(report)


def test_a_wrong_backward_is_found_along_a_direction():
    class Wrong(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, y_bar):
            factor = np.full((30, 30), 2.0)
            factor[17, 3] = 2.5
            return y_bar * cr.tensor(factor)

    report = cr.gradcheck(Wrong.apply, np.ones((30, 30)), dot=True)
    assert not report
    assert report.worst_of_all.place == "x0[17, 3]"
    assert "it gives 1.25 times the numeric one" in str(report)


def test_units_that_switch_for_every_h_are_no_wrong_backward():
    report = cr.gradcheck(lambda x: x.abs().sum(), np.zeros(300), dot=True)
    assert report
    assert "no smaller h is free" in report.worst[0].kinks


def test_moving_maxima_count_as_kinks():
    x = np.zeros((1, 1, 2, 2))
    x[0, 0] = [[1.0, 1.0 + 1e-7], [0, 0]]
    report = cr.gradcheck(lambda x: nn.functional.max_pool2d(x, 2), x, eps=1e-4, dot=True)
    assert "max_pool2d 1" in report.worst[0].kinks


def test_the_report_is_plain_data():
    report = cr.gradcheck(lambda x: x.exp().sum(), np.array([0.0, 1.0]))
    again = json.loads(json.dumps(report.to_json()))
    assert again["agree"] is True
    (row,) = again["worst"]
    assert row["symbolic"] == pytest.approx(np.e ** row["index"][0], rel=1e-15)
    assert row["compared"] == 2
    assert row["type"] == "f64[2]"


def test_float32_is_named():
    report = cr.gradcheck(lambda x: x.float().exp().sum(), np.array([1.0, 2.0]))
    assert not report
    assert "float32: cast f32[2] is computed in it (test_steps.py:" in str(report)
