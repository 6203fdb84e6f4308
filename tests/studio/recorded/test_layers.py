"""Layers of a recorded step: which they are, what is printed of them, what a unit reads."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.inspect.element.step import Step
from chainrule.studio.recorded.layers import (
    described,
    described_parameter,
    field,
    find_layers,
    keys_of,
    parameters_of,
    patches,
    scores,
    shown_of,
    targets,
)

X = np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    """(step, its layers) of a network with 40 maps, and a loss."""
    cr.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 40, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(240, 4)
    )
    loss = nn.CrossEntropyLoss()
    with cr.record() as tape:
        loss(net(cr.tensor(X)), cr.tensor(np.array([3, 0, 1]))).backward()
    step = Step(tape, 3)
    ends = [k for k, n in enumerate(step.order) if n.op.name in ("add", "relu", "max_pool")]
    names = iter(["0", "1", "2", "4"])
    calls = [["Sequential", next(names), k, 0] for k in ends]
    last = len(step.order) - 1
    calls += [["Sequential", "Sequential", ends[-1], 0], ["Loss", "Loss", last, 1]]
    return step, find_layers(step, calls, [last])


def test_data_come_first_each_node_once_and_no_loss(found):
    step, layers = found
    assert [layer.name for layer in layers] == ["input", "0", "1", "2", "4"]
    assert all(layer.node in step.samples for layer in layers)


def test_what_is_printed_of_a_layer(found):
    step, layers = found
    value = step.array(layers[2].node, "value")[1]
    shown = described(step, layers[2], 1)
    assert (shown["maps"], shown["rows"], shown["columns"]) == (40, 6, 5)
    sizes = shown["value"]
    assert sizes["scale"] == np.percentile(value.astype(float), 99.5)
    assert sizes["zeros"] == (value == 0).sum() and not sizes["signed"]
    assert sizes["low"] == 0 and sizes["high"] == value.max()
    assert sizes["rms"] == np.sqrt(np.mean(value.astype(float) ** 2))
    assert sizes["clipped"] == (value > sizes["scale"]).sum()
    squares = (value.astype(float) ** 2).mean((1, 2))
    assert shown["shown"] == sorted(np.argsort(-squares)[:16].tolist())
    assert described(step, layers[0], 1)["bar"] is None
    assert described(step, layers[-1], 1)["rows"] == 0


def test_probabilities_and_targets(found):
    step, layers = found
    value = step.array(layers[-1].node, "value")[2].astype(float)
    wanted = np.exp(value) / np.exp(value).sum()
    assert scores(step, layers, 2)["shares"] == pytest.approx(wanted, rel=1e-6)
    assert targets(step, layers)["values"] == [3, 0, 1]


def box(maps, rows, columns, count):
    return {"maps": maps, "rows": rows, "columns": columns, "count": count}


@pytest.mark.parametrize(
    ("layer", "kind", "index", "source", "wanted"),
    [
        (1, "value", (1, 7, 2, 3), 0, box([0, 1], [1, 3], [2, 4], 18)),
        (1, "value", (1, 7, 0, 0), 0, box([0, 1], [0, 1], [0, 1], 8)),  # at the edge
        (2, "value", (0, 5, 4, 4), 1, box([5, 5], [4, 4], [4, 4], 1)),
        (3, "value", (0, 5, 2, 1), 2, box([5, 5], [4, 5], [2, 3], 4)),
        (4, "value", (2, 3), 3, box([0, 39], [0, 2], [0, 1], 240)),
        (3, "bar", (2, 39, 2, 1), 4, box([0, 0], [0, 0], [0, 3], 4)),
        (2, "bar", (0, 5, 3, 3), 3, box([5, 5], [1, 1], [1, 1], 1)),
    ],
)
def test_what_a_unit_was_computed_from(found, layer, kind, index, source, wanted):
    step, layers = found
    flat = step.flat(layers[layer].node, index)
    (only,) = patches(step, layers, layers[layer].node, kind, flat)
    assert only == wanted | {"node": layers[source].node}


def test_which_maps_of_many_are_shown():
    value = np.arange(40, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    assert shown_of(value, 40, "largest") == list(range(24, 40))
    assert shown_of(value, 40, "rms") == list(range(39, 23, -1))
    assert shown_of(value, 40, "number") == list(range(16))
    assert shown_of(value, 40, "all") == list(range(40))
    assert shown_of(value[:3], 3, "rms") == [2, 1, 0]


def test_each_map_has_a_scale_of_its_own(found):
    step, layers = found
    shown = described(step, layers[1], 1, "rms")
    value = step.array(layers[1].node, "value")[1].astype(float)
    wanted = [np.percentile(np.abs(value[k]), 99.5) for k in shown["shown"]]
    assert shown["value"]["scales"] == wanted


def test_parameters_stand_with_the_layer_that_they_compute(found):
    step, layers = found
    by_layer = parameters_of(step, layers)
    shapes = [[step.order[k].shape for k in by_layer[layer.node]] for layer in layers]
    assert shapes == [[], [(40, 2, 3, 3), (40,)], [], [], [(4, 240), (4,)]]
    weight = by_layer[layers[1].node][0]
    told = described_parameter(step, weight, "largest", np.ones((40, 2, 3, 3), np.float32))
    assert (told["maps"], told["rows"], told["columns"]) == (80, 3, 3)
    assert told["update"]["scale"] == 1 and told["bar"]["rms"] > 0


def test_layers_of_one_name_have_keys(found):
    assert keys_of([layer._replace(name="a") for layer in found[1]]) == [
        "a",
        *(f"a {k}" for k in range(2, 6)),
    ]


@pytest.mark.parametrize(
    ("layer", "index", "rows", "columns"),
    [
        (2, (1, 7, 0, 0), [0, 1], [0, 1]),
        (3, (0, 5, 1, 0), [1, 4], [0, 2]),  # a window of 2, each of a window of 3
        (4, (2, 3), [0, 5], [0, 4]),  # all that pooling has not left over
    ],
)
def test_what_a_unit_sees_of_the_data_through_all_layers(found, layer, index, rows, columns):
    step, layers = found
    (box,) = field(step, layers, layers[layer].node, step.flat(layers[layer].node, index))
    assert box == {"node": layers[0].node, "maps": [0, 1], "rows": rows, "columns": columns}
