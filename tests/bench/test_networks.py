from math import prod

import numpy as np
import pytest

import chainrule as cr
from chainrule.bench.networks import NETWORKS, Network
from chainrule.bench.with_chainrule import Chainrule
from chainrule.inspect.cost import cost


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("xor", 9),
        ("mlp", 535_818),
        ("lenet", 61_706),
        ("resnet18", 11_173_962),
        ("alexnet", 61_100_840),  # torchvision's
    ],
)
def test_parameters(name, parameters):
    assert sum(w.size for w in NETWORKS[name]().weights()) == parameters


def test_weights_are_made_the_same_way_each_time_and_by_their_fan_in():
    once, again = (list(NETWORKS["lenet"]().weights()) for _ in range(2))
    assert all(
        np.array_equal(a, b) and a.dtype == np.float32 for a, b in zip(once, again, strict=True)
    )
    for w in once[::2]:
        bound = 1 / np.sqrt(prod(w.shape[1:]))
        assert 0.8 * bound < np.abs(w).max() <= bound


@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_flops_are_the_multiply_adds_of_the_recorded_graph(name):
    model = {"mlp": cr.models.mlp, "lenet": cr.models.lenet5}[name]()
    counted, network = cost(model), NETWORKS[name]()
    assert network.flops(1, training=False) == 2 * counted.forward
    assert network.flops(64, training=True) == 2 * 64 * (counted.forward + counted.backward)


def test_flops_of_convolutions_with_strides_and_shortcuts():
    # 0.56 and 0.71 billion multiply-adds, as the papers' tables and torchvision's have them
    assert NETWORKS["resnet18"]().flops(1, training=False) == 2 * 555_422_720
    assert NETWORKS["alexnet"]().flops(1, training=False) == 2 * 714_188_480


@pytest.mark.parametrize("what", ["batch", "width", "depth"])
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_what_grows(name, what):
    one, two = NETWORKS[name](), NETWORKS[name](**{what: 2})
    assert two.batch == one.batch * (2 if what == "batch" else 1)
    more = len(two.layers) > len(one.layers)
    assert more == (what == "depth")
    assert two.flops(1, training=True) > one.flops(1, training=True) or what == "batch"


def batch_of_two(network: Network) -> Network:
    return Network(**vars(network) | {"batch": 2})


@pytest.mark.parametrize("name", ["xor", "mlp", "lenet", "resnet18"])
def test_every_layer_is_spelt_in_chainrule(name):
    contestant = Chainrule(batch_of_two(NETWORKS[name]()), "plain", threads=1)
    contestant.step()
    first = contestant.loss()
    for _ in range(4):
        contestant.step()
    assert contestant.loss() < first
    outputs = contestant.inference(3)()
    assert outputs.shape == (3, 1 if name == "xor" else 10) and np.isfinite(outputs).all()


@pytest.mark.parametrize("scale", [{"width": 2}, {"depth": 2}])
def test_a_grown_lenet_runs(scale):
    contestant = Chainrule(batch_of_two(NETWORKS["lenet"](**scale)), "plain", threads=1)
    contestant.step()
    assert contestant.loss() == pytest.approx(np.log(10), rel=0.1)
