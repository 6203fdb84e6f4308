from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.systems import SYSTEMS
from chainrule.systems.inpainting import fillings, hidden_error
from chainrule.train.trainer import Trainer


def test_fillings_by_hand():
    stored = np.zeros((2, 1, 2, 3), np.float32)
    stored[0, 0] = [[1, 2, 3], [4, 5, 6]]
    stored[1, 0] = [[7, 7, 7], [7, 7, 7]]
    mask = np.array([[[[0, 0, 1], [0, 0, 1]]]], np.float32)
    masked = np.array([[[[1, 1, 0], [4, 4, 0]]]], np.float32)
    filled = fillings(masked, mask, stored)
    assert filled["mean image"].tolist() == [[[[1, 1, 5], [4, 4, 6.5]]]]
    assert filled["nearest pixel"].tolist() == [[[[1, 1, 1], [4, 4, 4]]]]
    assert filled["nearest picture"].tolist() == [[[[1, 1, 3], [4, 4, 6]]]]
    assert hidden_error(filled["nearest picture"], masked, mask) == (9 + 36) / 2


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_the_network_has_two_matrices(data):
    recipe = SYSTEMS["inpaint-mlp"].recipes[data]
    net = models.build(recipe.model, **recipe.config)
    assert [name for name, _ in net.named_parameters()] == ["W1.weight", "W2.weight"]
    assert sum(p.numel() for p in net.parameters()) == recipe.parameters


def test_a_few_epochs_already_beat_the_mean_image():
    cr.manual_seed(0)
    recipe = replace(SYSTEMS["inpaint-mlp"].recipes["digits"], epochs=15)
    net = models.build(recipe.model, **recipe.config)
    parts = recipe.parts()
    optimizer = recipe.optimizer(net.parameters(), lr=recipe.lr)
    trainer = Trainer(net, recipe.loss, optimizer, schedule=recipe.schedule)
    trainer.fit(parts.train, epochs=recipe.epochs)
    report = recipe.report(trainer, parts)
    share = report.figures[0].measured
    assert 0.3 < share < 0.75
    assert report.pictures["filled"].shape == (6 * 8, 10 * 8)
    assert "mean image" in "\n".join(report.lines)


def test_each_test_picture_keeps_its_mask():
    parts = SYSTEMS["inpaint-mlp"].recipes["digits"].parts()
    assert parts.test is not None
    first, again = (next(iter(parts.test))[0].numpy() for _ in range(2))
    assert np.array_equal(first, again)
    first, again = (next(iter(parts.train))[0].numpy() for _ in range(2))
    assert not np.array_equal(first, again)
