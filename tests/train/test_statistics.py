"""Figures that a step computes of itself, against NumPy; plain and compiled to the same bits."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.train.statistics import Statistics


def rms(x):
    return np.sqrt(np.mean(np.asarray(x, float) ** 2))


def build():
    cr.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with cr.no_grad():
        net[0].bias[2] = -100.0  # a unit that is dead
        net[2].bias[1] = 50.0  # one that is saturated
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    x, y = cr.randn(20, 4), cr.tensor(np.arange(20) % 3)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return net, x, step


@pytest.mark.parametrize("compiled", [False, True])
def test_they_are_what_numpy_says(compiled):
    net, x, step = build()
    statistics = Statistics(net)
    run = cr.compile(lambda: statistics.of(step)) if compiled else (lambda: statistics.of(step))
    for _ in range(4):
        before = {n: p.tolist() for n, p in net.named_parameters()}
        with cr.no_grad():
            outputs = [net[: k + 1](x).numpy()[:16] for k in range(5)]
        _, row = run()
        found = dict(zip(statistics.names, row.tolist(), strict=True))
        assert len(row) == len(statistics.names) == 6 * 3 + 5 + 2
        for name, p in net.named_parameters():
            assert found[name, "value"] == pytest.approx(rms(p.numpy()), rel=1e-6)
            change = rms(p.numpy().astype(float) - before[name])
            assert found[name, "change"] == pytest.approx(change, rel=1e-3)
            if not compiled:
                assert found[name, "gradient"] == pytest.approx(rms(p.grad.numpy()), rel=1e-6)
        for k in range(5):
            assert found[str(k), "rms"] == pytest.approx(rms(outputs[k]), rel=1e-5)
        assert found["1", "dead"] == pytest.approx(np.mean((outputs[1] == 0).all(0)), abs=1e-6)
        assert found["1", "dead"] >= 1 / 6 - 1e-6
        assert found["3", "saturated"] == pytest.approx(
            np.mean(np.abs(outputs[3]) > 0.99), abs=1e-6
        )
        assert found["3", "saturated"] >= 0.2 - 1e-6


def test_plain_and_compiled_have_the_same_bits_and_move_nothing():
    rows, states = [], []
    for mode in ("without", "plain", "compiled"):
        net, _, step = build()
        statistics = Statistics(net)
        run = step if mode == "without" else lambda s=statistics, f=step: s.of(f)[1]
        run = cr.compile(run) if mode == "compiled" else run
        rows.append([run().tolist() for _ in range(5)])
        states.append([p.tolist() for p in net.parameters()])
    assert rows[1] == rows[2]
    assert states[0] == states[1] == states[2]


def test_nothing_to_measure():
    statistics = Statistics(nn.Flatten())
    assert statistics.of(lambda: 3) == (3, None) and statistics.names == []
