"""The numbers of the plots: golden values of activations and losses, rates, paths."""

import json

import numpy as np
import pytest

from chainrule.errors import UsageError
from chainrule.inspect.plot_curves import (
    SCHEDULES,
    activations,
    losses,
    run_figures,
    schedules,
    trajectories,
)

AT = (-2.0, -0.5, 0.0, 0.5, 2.0)
GOLDEN = {
    "sigmoid": (0.119203, 0.377541, 0.5, 0.622459, 0.880797),
    "tanh": (-0.964028, -0.462117, 0, 0.462117, 0.964028),
    "ReLU": (0, 0, 0, 0.5, 2),
    "leaky ReLU": (-0.2, -0.05, 0, 0.5, 2),
    "ELU": (-0.864665, -0.393469, 0, 0.5, 2),
}
SLOPES = {
    "sigmoid": [y * (1 - y) for y in GOLDEN["sigmoid"]],
    "tanh": [1 - y * y for y in GOLDEN["tanh"]],
    "ReLU": [0, 0, 0, 1, 1],
    "leaky ReLU": [0.1, 0.1, 0.1, 1, 1],
    "ELU": [0.135335, 0.606531, 1, 1, 1],
}


def read(curve, places):
    return [curve.y[curve.x.index(x)] for x in places]


@pytest.mark.parametrize("name", GOLDEN)
def test_activations_and_derivatives(name):
    value, slope = activations([name]).panels[0].curves
    np.testing.assert_allclose(read(value, AT), GOLDEN[name], atol=5e-7)
    np.testing.assert_allclose(read(slope, AT), SLOPES[name], atol=2e-6)
    assert slope.dashed and not value.dashed


def test_slopes_are_those_of_the_curves():
    for panel in activations().panels:
        value, slope = panel.curves
        rise = np.gradient(value.y, value.x)
        away = np.abs(np.array(value.x)) > 0.1  # from the kink
        np.testing.assert_allclose(np.array(slope.y)[away], rise[away], atol=0.02)


def test_losses_for_a_label_of_minus_one():
    values, slopes = losses().panels
    margin = [-0.3]  # f = 0.3, y = -1
    assert [read(curve, margin)[0] for curve in values.curves] == pytest.approx(
        [1.69, 1.3, 0.854355], abs=1e-6
    )
    assert [-read(curve, margin)[0] for curve in slopes.curves] == pytest.approx(
        [2.6, 1, 0.574443], abs=1e-6
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 7, 60])
def test_every_schedule_has_a_rate_for_each_epoch(name, epochs):
    (curve,) = schedules([name], epochs).panels[0].curves
    assert len(curve.y) == epochs and all(0 <= rate <= 1 + 1e-12 for rate in curve.y)


def test_rates():
    def rates(name):
        return schedules([name], 8).panels[0].curves[0].y

    assert rates("StepLR") == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert rates("multisteplr")[3:7] == pytest.approx([1, 0.1, 0.1, 0.01])
    assert rates("CosineAnnealingLR")[4] == pytest.approx(0.5)


def test_on_a_badly_scaled_problem_all_beat_plain_descent():
    plot = trajectories(["quadratic"])
    paths, heights = plot.panels
    assert paths.surface is not None and heights.logarithmic
    last = {curve.name: curve.y[-1] for curve in heights.curves}
    assert set(last) == {"SGD", "momentum", "Nesterov", "RMSprop", "Adagrad", "Adam"}
    assert all(last[name] < last["SGD"] / 2 for name in last if name != "SGD")
    assert paths.curves[0].x[0] == -4 and len(paths.curves[0].x) == len(heights.curves[0].y)


def test_the_first_step_of_plain_descent():
    path = trajectories(["rosenbrock"], steps=1).panels[0].curves[0]
    x, y, rate = -1.2, 1.0, 0.0015
    slope_x, slope_y = -2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)
    assert (path.x[1], path.y[1]) == pytest.approx((x - rate * slope_x, y - rate * slope_y))


def test_a_runs_figures():
    rows = [{"loss": 2.0, "accuracy": 0.5, "val_accuracy": 0.4, "seconds": 1.0}, {"loss": 1.0}]
    plot = run_figures(rows, "runs/lenet-001")
    assert [panel.title for panel in plot.panels] == ["loss", "accuracy"]
    assert plot.panels[0].curves[0].x == [1, 2]
    assert [curve.name for curve in plot.panels[1].curves] == ["training", "validation"]
    with pytest.raises(UsageError, match="which has no figures yet"):
        run_figures([], "runs/lenet-001")


def test_json_is_every_number():
    found = json.loads(json.dumps(activations(["tanh"]).to_json()))
    assert len(found["panels"][0]["curves"][0]["x"]) == 161


def test_names_that_are_not_there():
    with pytest.raises(UsageError, match=r"the activation 'sigmiod'.*Did you mean sigmoid\?"):
        activations(["sigmiod"])
    with pytest.raises(UsageError, match="epochs=0"):
        schedules([], 0)
