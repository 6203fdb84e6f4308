"""A parameter's error signal in shares: each is what the sample alone would have sent."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import GradientError
from chainrule.inspect.element import Elements
from chainrule.tape import kept_step, tape_of

COUNT = 4


class Net(nn.Module):
    """Two convolutions, one of them used twice, and a table."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.table, self.end = nn.Embedding(5, 3), nn.Linear(3, 4)
        self.scale = nn.Parameter(cr.tensor([1.0, 0.5, -2.0]))

    def forward(self, x, words):
        x = F.relu(self.first(x))
        x = F.relu(self.again(x))
        x = F.tanh(self.again(x)).mean((2, 3)) * self.scale
        return self.end(x + self.table(words))


def batch():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 2, 4, 5)).astype(np.float32)
    return x, np.array([1, 3, 1, 0]), np.array([0, 3, 2, 2])


@pytest.fixture(scope="module")
def net():
    cr.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def tape(net):
    x, words, t = map(cr.tensor, batch())
    with cr.record() as tape:
        F.cross_entropy(net(x, words), t).backward()
    return tape


@pytest.fixture(scope="module")
def alone(net):
    """The gradients of each sample alone, by the name of the parameter."""
    found = []
    for n in range(COUNT):
        x, words, t = (cr.tensor(a[n : n + 1]) for a in batch())
        net.zero_grad()
        (F.cross_entropy(net(x, words), t) / COUNT).backward()
        found.append({name: p.grad.numpy() for name, p in net.named_parameters()})
    return found


NAMES = ["first.weight", "first.bias", "again.weight", "again.bias", "table.weight", "scale",
         "end.weight", "end.bias"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_share_is_what_the_sample_alone_sends(name, tape, alone):
    elements, rng = Elements(tape), np.random.default_rng(1)
    node = tape[name].node
    for _ in range(5):
        index = tuple(int(rng.integers(size)) for size in node.shape)
        signal = elements.at(node, "bar", index)
        shares = [part.value for part in signal.samples.parts]
        expected = [alone[n][name][index] for n in range(COUNT)]
        np.testing.assert_allclose(shares, expected, rtol=2e-4, atol=1e-7)
        assert sum(shares) == pytest.approx(float(signal.value), rel=1e-5, abs=1e-8)
        for part in signal.samples.parts:
            share = elements.at(*part.link)
            assert share.value == pytest.approx(part.value, rel=1e-12, abs=1e-15)
            assert {k.index[0] for k in share.links if k.node in elements.step.samples} <= {
                part.link.sample
            }


def test_of_a_large_batch_the_rest_is_one_number(tape):
    name, index = "first.weight", (1, 0, 2, 1)
    whole = Elements(tape).at(tape[name].node, "bar", index)
    few = tape_of(kept_step(tape, count=COUNT, rows=3))
    elements = Elements(few)
    signal = elements.at(few[name].node, "bar", index)
    assert signal.value == whole.value
    shares = [part.value for part in whole.samples.parts]
    assert [part.value for part in signal.samples.parts] == shares[:3]
    assert signal.samples.more.count == 1
    assert signal.samples.more.value == pytest.approx(shares[3], rel=1e-4)
    assert signal.part.missing > 0
    assert signal.missing.value == pytest.approx(shares[3], rel=1e-4)
    with pytest.raises(GradientError, match="sample 3 of an error signal without"):
        elements.at(few[name].node, "bar", index, sample=3)


def test_a_signal_of_one_sample_has_no_shares(tape):
    assert Elements(tape).at(tape["first"].node, "bar", (0, 1, 2, 2)).samples is None
