"""Every network against the same one written in PyTorch: float32, on copied weights."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.models.lenet import C3_READS, codes

pytestmark = pytest.mark.parity


def lenet_modern(x, w):
    import torch.nn.functional as T

    x = T.max_pool2d(T.relu(T.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2)), 2)
    x = T.max_pool2d(T.relu(T.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2)
    return three_layers(x.flatten(1), w)


def lenet_lecture(x, w):
    import torch.nn.functional as T

    x = T.max_pool2d(T.relu(T.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2)
    x = T.max_pool2d(T.relu(T.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2)
    return three_layers(x.flatten(1), w)


def three_layers(x, w):
    import torch.nn.functional as T

    x = T.relu(T.linear(x, w["fc1.weight"], w["fc1.bias"]))
    x = T.relu(T.linear(x, w["fc2.weight"], w["fc2.bias"]))
    return T.linear(x, w["fc3.weight"], w["fc3.bias"])


def lenet_1998(x, w):
    """C3 as sixteen convolutions of their own, each over the maps that it reads."""
    import torch
    import torch.nn.functional as T

    def squash(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    def sampled(x, name):
        sums = T.avg_pool2d(x, 2) * 4
        return squash(sums * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None])

    x = T.pad(x, (2, 2, 2, 2)) * 1.275 - 0.1
    x = sampled(squash(T.conv2d(x, w["C1.weight"], w["C1.bias"])), "S2")
    maps, first = [], 0
    for k, reads in enumerate(C3_READS):
        kernel = w["C3.weight"][first : first + len(reads)][None]
        maps.append(T.conv2d(x[:, [int(c) for c in reads]], kernel, w["C3.bias"][k : k + 1]))
        first += len(reads)
    x = sampled(squash(torch.cat(maps, 1)), "S4")
    x = squash(T.conv2d(x, w["C5.weight"], w["C5.bias"])).flatten(1)
    x = squash(T.linear(x, w["F6.weight"], w["F6.bias"]))
    return -((x[:, None] - torch.tensor(codes())) ** 2).sum(2)


def mlp(x, w):
    import torch.nn.functional as T

    x = T.relu(T.linear(x.flatten(1), w["0.weight"], w["0.bias"]))
    x = T.relu(T.linear(x, w["2.weight"], w["2.bias"]))
    return T.linear(x, w["4.weight"], w["4.bias"])


def linear(x, w):
    import torch.nn.functional as T

    return T.linear(x.flatten(1), w["fc.weight"], w["fc.bias"])


def logistic(x, w):
    return linear(x, w).sigmoid()


def xor(x, w):
    import torch.nn.functional as T

    hidden = T.linear(x, w["fc1.weight"], w["fc1.bias"]).tanh()
    return T.linear(hidden, w["fc2.weight"], w["fc2.bias"])


def inpaint(x, w):
    import torch.nn.functional as T

    return T.linear(T.relu(T.linear(x.flatten(1), w["W1.weight"])), w["W2.weight"]).view_as(x)


def local(x, w):
    """Unfolded windows, each times its own kernels: weight f[P,Q,K,C,F,G]."""
    import torch
    import torch.nn.functional as T

    windows = T.unfold(x, 3).unflatten(2, (6, 6))  # [N,9,6,6]
    kernels = w["first.weight"].flatten(3)  # [6,6,4,9]
    maps = torch.einsum("nfpq,pqkf->nkpq", windows, kernels) + w["first.bias"].permute(2, 0, 1)
    return T.linear(T.relu(maps).flatten(1), w["fc.weight"], w["fc.bias"])


def shared(x, w):
    import torch.nn.functional as T

    maps = T.conv2d(x, w["first.weight"], w["first.bias"])
    return T.linear(T.relu(maps).flatten(1), w["fc.weight"], w["fc.bias"])


def finder(x, w):
    import torch.nn.functional as T

    x = T.relu(T.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2))
    x = T.relu(T.conv2d(x, w["conv2.weight"], w["conv2.bias"], padding=2))
    return T.conv2d(x, w["conv3.weight"], w["conv3.bias"], padding=2).flatten(1)


NETWORKS = [
    ("finder", {}, finder),
    ("first_layer", {"kind": "local"}, local),
    ("first_layer", {"kind": "shared"}, shared),
    ("logistic", {"in_features": 3}, logistic),
    ("xor", {"hidden": 8}, xor),
    ("softmax_regression", {}, linear),
    ("mlp", {}, mlp),
    ("lenet5", {}, lenet_modern),
    ("lenet5", {"variant": "1998"}, lenet_1998),
    ("lenet_lecture", {}, lenet_lecture),
    ("inpaint_mlp", {}, inpaint),
]


@pytest.mark.parametrize(
    ("name", "config", "twin"), NETWORKS, ids=lambda v: getattr(v, "__name__", str(v)[:24])
)
def test_outputs_and_gradients(name, config, twin):
    import torch

    cr.manual_seed(5)
    net = models.build(name, **config)
    state = {k: torch.tensor(v.numpy().copy()) for k, v in net.state_dict().items()}
    for value in state.values():
        value.requires_grad_()
    rng = np.random.default_rng(5)
    x = rng.random((3, *net.input_shape), np.float32)
    y, expected = net(cr.tensor(x)), twin(torch.tensor(x), state)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=0, atol=1e-4)
    g = rng.normal(size=y.shape).astype(np.float32)
    y.backward(cr.tensor(g))
    expected.backward(torch.tensor(g))
    for path, parameter in net.named_parameters():
        theirs = np.asarray(state[path].grad)
        error = np.linalg.norm(np.asarray(parameter.grad) - theirs) / np.linalg.norm(theirs)
        assert error <= 1e-3, path
