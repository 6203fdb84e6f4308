"""A unit's field as a page shows it: cells, boxes, and the formula's numbers."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.inspect.element.step import Step
from chainrule.studio.recorded.fields import reached
from chainrule.studio.recorded.layers import Layer

X = np.random.default_rng(0).uniform(1, 2, (3, 2, 9, 8)).astype(np.float32)


def recorded(*layers):
    """(step, one Layer for the data and for each of the modules)"""
    with cr.record() as tape:
        values = [cr.tensor(X)]
        for layer in layers:
            values.append(layer(values[-1]))
        values[-1].sum().backward()
    step = Step(tape, 3)
    found = [step.number_of(value._node) for value in values]
    return step, [Layer(node, f"layer {k}") for k, node in enumerate(found)]


def test_the_formula_has_the_units_own_numbers():
    step, layers = recorded(
        nn.Conv2d(2, 3, 3, padding=1, dilation=2), nn.MaxPool2d((2, 1), (2, 1)), nn.Conv2d(3, 1, 2)
    )
    found = reached(step, layers, layers[3].node, (1, 0, 1, 2))
    assert not found["others"]
    formula = found["formula"]
    assert formula["size"] == [8, 6] and formula["jump"] == ["2", "1"]
    assert formula["start"] == ["−1 + 1 · 2 = 1", "−1 + 2 · 1 = 1"]
    assert formula["centre"] == ["1 + (8 − 1) / 2 = 4.5", "1 + (6 − 1) / 2 = 3.5"]
    rows = formula["rows"]
    assert [row["op"] for row in rows] == ["conv", "max_pool", "conv"]
    assert rows[0]["size"] == ["1 + 2·(3 − 1) · 1 = 5"]
    assert rows[1]["size"] == ["5 + (2 − 1) · 1 = 6", "5 + (1 − 1) · 1 = 5"]
    assert rows[2]["size"] == ["6 + (2 − 1) · 2 = 8", "5 + (2 − 1) · 1 = 6"]
    assert not formula["differs"]
    data, conv, pool, own = found["layers"]
    assert data["rows"] == [1, 8] and data["columns"] == [1, 6] and data["maps"] == [0, 1]
    assert conv["rows"] == [2, 5] and conv["columns"] == [2, 3] and conv["count"] == 3 * 8
    assert pool["rows"] == [1, 2] and pool["count"] == 3 * 4
    cell = 1 * step.order[layers[3].node].shape[3] + 2
    assert (own["count"], own["runs"]) == (1, [[cell, cell]])


def test_holes_are_not_lit():
    step, layers = recorded(nn.Conv2d(2, 1, (2, 2), dilation=(3, 2)))
    found = reached(step, layers, layers[1].node, (0, 0, 1, 3))
    data = found["layers"][0]
    assert data["runs"] == [[11, 11], [13, 13], [35, 35], [37, 37]]  # rows 1 and 4, of 8 columns
    assert data["count"] == 8 and data["of"] == 2 * 72 and data["same"]
    assert not found["formula"]["differs"]  # the box around them is the formula's


class Beside(nn.Module):
    """Maps of a wide window and maps of a narrow one, side by side."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return cr.cat([self.a(x), self.b(x)], 1)


def test_only_the_paths_that_lead_to_the_unit_count():
    step, layers = recorded(Beside())
    wide = reached(step, layers, layers[1].node, (0, 0, 4, 4))
    narrow = reached(step, layers, layers[1].node, (0, 3, 4, 4))
    assert wide["formula"]["size"] == [3, 3] and wide["layers"][0]["count"] == 18
    assert narrow["formula"]["size"] == [1, 1] and narrow["layers"][0]["count"] == 2
    assert not wide["formula"]["differs"] and not narrow["formula"]["differs"]


def test_where_the_formula_is_not_what_is_seen_it_says_so():
    """Of an enlarged map two neighbours may be copies of one value."""
    step, layers = recorded(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(2, 1, 2))
    found = reached(step, layers, layers[3].node, (0, 0, 0, 0))
    assert found["layers"][0]["rows"] == [0, 1]
    assert found["formula"]["size"] == [3, 3] and found["formula"]["differs"]


def test_a_batchs_means_are_said_and_left_out_of_the_formula():
    step, layers = recorded(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
    found = reached(step, layers, layers[2].node, (0, 0, 3, 3))
    assert found["others"] and found["formula"]["size"] == [3, 3]
    assert found["layers"][0]["count"] == 18


def test_one_that_sees_all_has_no_jump():
    step, layers = recorded(nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(84, 2))
    found = reached(step, layers, layers[3].node, (0, 1))
    assert found["formula"]["size"] == [9, 8] and found["formula"]["jump"] is None
    assert found["layers"][0]["count"] == 144


def test_the_map_that_is_shown_is_the_largest_that_is_seen():
    step, layers = recorded(nn.Conv2d(2, 5, 1), nn.Conv2d(5, 1, 1))
    shown = reached(step, layers, layers[2].node, (2, 0, 0, 0))["layers"][1]["map"]
    maps = step.array(layers[1].node, "value")[2].astype(float)
    assert shown == (maps**2).mean((1, 2)).argmax()


@pytest.mark.parametrize("index", [(0, 0, 9, 9), (0, 0)])
def test_an_index_outside_is_refused(index):
    step, layers = recorded(nn.Conv2d(2, 1, 3))
    with pytest.raises(cr.errors.IndexRangeError, match="within it"):
        reached(step, layers, layers[1].node, index)
