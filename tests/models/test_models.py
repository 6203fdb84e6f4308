"""Every network: parameters counted, shapes, and derivatives against differences in float64."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import models

# name, configuration, parameters, shape of one output
NETWORKS = [
    ("logistic", {"in_features": 3}, 4, (1,)),
    ("xor", {}, 9, (1,)),
    ("xor", {"hidden": 8}, 33, (1,)),
    ("softmax_regression", {}, 7_850, (10,)),
    ("softmax_regression", {"num_classes": 26}, 20_410, (26,)),
    ("mlp", {}, 535_818, (10,)),
    ("mlp", {"sizes": (784, 128, 64, 10)}, 109_386, (10,)),
    ("lenet5", {}, 61_706, (10,)),
    ("lenet5", {"variant": "1998"}, 60_000, (10,)),
    ("lenet5", {"num_classes": 26}, 63_066, (26,)),
    ("lenet_lecture", {}, 81_194, (10,)),
    ("finder", {}, 3_825, (1024,)),
    ("first_layer", {"kind": "dense"}, 10_810, (10,)),
    ("first_layer", {"kind": "local"}, 2_890, (10,)),
    ("first_layer", {"kind": "shared"}, 1_490, (10,)),
    ("inpaint_mlp", {"hidden": 16}, 25_088, (1, 28, 28)),
    ("inpaint_mlp", {}, 802_816, (1, 28, 28)),
]
IDS = [f"{name}{config or ''}" for name, config, *_ in NETWORKS]


@pytest.mark.parametrize(("name", "config", "parameters", "shape"), NETWORKS, ids=IDS)
def test_parameters_and_shapes(name, config, parameters, shape):
    net = models.build(name, **config)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(cr.zeros(2, *net.input_shape)).shape == (2, *shape)


@pytest.mark.parametrize(("name", "config", "parameters", "shape"), NETWORKS, ids=IDS)
def test_the_derivative_along_a_direction(name, config, parameters, shape):
    """⟨gradient, d⟩ against (L(θ + hd) - L(θ - hd)) / 2h, which is free of the size of the net."""
    cr.manual_seed(3)
    net = models.build(name, **config).to(cr.float64)
    rng = np.random.default_rng(3)
    x = cr.tensor(rng.random((2, *net.input_shape)))
    weight = cr.tensor(rng.normal(size=(2, *shape)))

    def loss():
        return (net(x) * weight).sum()

    loss().backward()
    places = list(net.parameters())
    directions = [cr.tensor(rng.normal(size=p.shape)) for p in places]
    exact = sum((p.grad * d).sum().item() for p, d in zip(places, directions, strict=True))
    values, h = [], 1e-6
    with cr.no_grad():
        for sign in (1, -2):  # to θ + hd, then to θ - hd
            for p, d in zip(places, directions, strict=True):
                p.add_(sign * h * d)
            values.append(loss().item())
    assert (values[0] - values[1]) / (2 * h) == pytest.approx(exact, rel=1e-6)


def test_a_misspelt_model():
    with pytest.raises(cr.UsageError, match=r"Did you mean lenet5\?"):
        models.build("lenet")
