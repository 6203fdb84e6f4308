from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.systems import SYSTEMS
from chainrule.systems.perceptrons import made
from chainrule.train.trainer import Trainer


def report_of(name, **changes):
    cr.manual_seed(1)
    recipe = SYSTEMS[name].recipe
    assert recipe is not None
    recipe = replace(recipe, **changes)
    net = models.build(recipe.model, **recipe.config)
    assert sum(p.numel() for p in net.parameters()) == recipe.parameters
    parts = recipe.parts()
    optimizer = recipe.optimizer(net.parameters(), lr=recipe.lr)
    trainer = Trainer(net, recipe.loss, optimizer, schedule=recipe.schedule)
    trainer.fit(parts.train, epochs=recipe.epochs)
    return recipe.report(trainer, parts)


def test_two_classes_that_no_line_parts():
    report = report_of("mlp-binary", epochs=10)
    network, line = (figure.measured for figure in report.figures)
    assert network > 0.95 and 0.8 < line < 0.9


def test_a_curve_that_no_plane_fits():
    report = report_of("mlp-regression", epochs=8)
    network, plane = (figure.measured for figure in report.figures)
    assert network > 0.85 and 0.6 < plane < 0.8


def test_the_points_do_not_depend_on_the_seed_and_leave_the_streams_alone():
    cr.manual_seed(1)
    before = cr.get_state()
    first = made("two-moons", (5, 3, 2), noise=0.1)
    assert cr.get_state() == before
    cr.manual_seed(2)
    again = made("two-moons", (5, 3, 2), noise=0.1)
    for one, other, size in zip(first, again, (5, 3, 2), strict=True):
        assert len(one) == size and np.array_equal(one.arrays[0], other.arrays[0])


def test_regression_is_on_numbers_of_mean_0_and_variance_1():
    recipe = SYSTEMS["mlp-regression"].recipe
    assert recipe is not None
    for array in recipe.parts().train.dataset.arrays:
        assert array.mean(axis=0) == pytest.approx(0, abs=1e-4)
        assert array.std(axis=0) == pytest.approx(1, abs=1e-4)
