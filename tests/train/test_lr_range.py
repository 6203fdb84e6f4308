"""The learning-rate range test: what it finds, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import UsageError
from chainrule.train import LRRange, lr_range_test


def net_and_data(seed=0):
    cr.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
    net.append(nn.Linear(8, 3))
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    labels = np.abs(x[:, :3]).argmax(1)
    return net, DataLoader(TensorDataset(x, labels), batch_size=10, shuffle=True)


def optimizer_for(net, kind=optim.Adam):
    groups = [{"params": net[0].parameters()}, {"params": net[4].parameters(), "lr": 0.02}]
    return kind([*groups, {"params": net[1].parameters()}], lr=0.01)


def train(net, data, optimizer, epochs):
    for _ in range(epochs):
        for x, y in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    return [p.tolist() for p in net.state_dict().values()]


@pytest.mark.parametrize("kind", [optim.Adam, optim.Adagrad, optim.SGD])
@pytest.mark.parametrize("before", [0, 2])
def test_a_training_with_a_test_in_it_has_the_same_bits(kind, before):
    finals = []
    for tested in (False, True):
        net, data = net_and_data()
        optimizer = optimizer_for(net, kind)
        train(net, data, optimizer, before)
        net[1].eval()
        if tested:
            place = data.state_dict()
            found = lr_range_test(net, nn.CrossEntropyLoss(), optimizer, data, steps=15)
            assert data.state_dict() == place
            assert len(found.losses) > 5
            assert [module.training for module in net] == [True, False, True, True, True]
            assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.02, 0.01]
        finals.append(train(net, data, optimizer, 2))
    assert finals[0] == finals[1]


def test_it_leaves_no_trace_after_a_failure():
    net, data = net_and_data()
    optimizer = optimizer_for(net)
    before, streams = net.state_dict()["0.weight"].tolist(), cr.random.get_state()
    with pytest.raises(cr.errors.IndexRangeError):
        lr_range_test(net, lambda y, t: nn.functional.cross_entropy(y, t + 2), optimizer, data)
    assert net.state_dict()["0.weight"].tolist() == before
    assert cr.random.get_state() == streams
    assert optimizer.state == {} and net[0].weight._grad is None


def test_the_suggestion_trains_and_what_diverges_is_beyond_it():
    """On ½ ‖x - t‖² with curvature 1, rates above 2 diverge."""
    w = nn.Linear(3, 1, bias=False)
    x = cr.eye(3)
    batches = [(x, cr.ones(3, 1))]
    optimizer = optim.SGD(w.parameters())
    found = lr_range_test(w, nn.HalfMSELoss("sum"), optimizer, batches, start=1e-4, end=1e4)
    assert isinstance(found, LRRange)
    assert 0.02 < found.suggestion < 2 < found.learning_rates[-1] < 100
    assert len(found.learning_rates) == len(found.losses) == len(found.smoothed) < 100
    factors = np.diff(np.log(found.learning_rates))
    np.testing.assert_allclose(factors, np.log(1e8) / 99, rtol=1e-9)


def test_groups_keep_their_proportions():
    net, data = net_and_data()
    optimizer, seen = optimizer_for(net), []

    def loss(y, t):
        seen.append([group["lr"] for group in optimizer.param_groups])
        return nn.functional.cross_entropy(y, t)

    lr_range_test(net, loss, optimizer, data, steps=5, start=0.001, end=0.1)
    assert seen[0] == [0.001, 0.002, 0.001]
    assert seen[-1] == pytest.approx([0.1, 0.2, 0.1])


def test_a_loss_that_never_falls_gives_no_suggestion():
    w = nn.Linear(1, 1)
    batches = [(cr.zeros(2, 1), cr.zeros(2, 1))]
    found = lr_range_test(w, lambda y, t: (y * 0).sum() + 1, optim.SGD(w.parameters()), batches)
    assert found.suggestion is None and found.losses == [1.0] * 100


def test_refused():
    net, data = net_and_data()
    loss, optimizer = nn.CrossEntropyLoss(), optimizer_for(net)
    with pytest.raises(UsageError, match=r"\[lr_range_test\] got start=1, end=0.1, steps=100"):
        lr_range_test(net, loss, optimizer, data, start=1, end=0.1)
    with pytest.raises(UsageError, match="It can be passed once only"):
        lr_range_test(net, loss, optimizer, iter(data))
