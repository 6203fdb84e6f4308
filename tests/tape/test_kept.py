"""A step that is taken apart and put together again: the same tape."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.tape import kept_step, row_nodes, sample_nodes, tape_of
from chainrule.train import load, save


class Net(nn.Module):
    """A bit of everything: a skip, a batch norm, dropout, a shared weight."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5 * 9, 6)
        self.drop = nn.Dropout(0.4)

    def forward(self, x):
        y = self.norm(self.conv(x)).relu()
        y = self.fc((y + y.flip(2)).flatten(1))
        return self.drop(y) @ self.fc.weight[:, :3]


@pytest.fixture
def tape():
    cr.manual_seed(0)
    net, x = Net(), cr.tensor(np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype("f"))
    with cr.record() as tape:
        F.cross_entropy(net(x), cr.tensor([0, 1, 2, 0, 1])).backward()
    return tape


def again(kept, tmp_path):
    save(kept, tmp_path / "step.safetensors")
    return tape_of(load(tmp_path / "step.safetensors"))


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


def test_all_of_it_comes_back(tape, tmp_path):
    found = again(kept_step(tape), tmp_path)
    assert found.names() == tape.names()
    assert str(found.graph) == str(tape.graph)
    for name in tape.names():
        ours, theirs = tape[name], found[name]
        assert same(ours.value, theirs.value)
        assert same(ours.bar, theirs.bar)
        assert all(map(same, ours.addends, theirs.addends))
        assert len(ours.addends) == len(theirs.addends)
        assert (ours.node.where, ours.node.scope) == (theirs.node.where, theirs.node.scope)
    assert len(tape["fc.weight"].addends) == 2
    for mine, node in zip(tape.graph, found.graph, strict=True):
        assert same(tape.entry(mine).value, found.entry(node).value)


def test_some_samples_of_it(tape, tmp_path):
    found = again(kept_step(tape, count=5, rows=2), tmp_path)
    order, ours = found._step.order, tape._step.order
    samples = sample_nodes(order, 5)
    for mine, node in zip(ours, order, strict=True):
        whole, part = tape.entry(mine).value, found.entry(node).value
        assert same(whole[:2] if node in samples else whole, part), node
    named = {found[name].node for name in ("conv", "norm", "fc", "drop", "Net")}
    assert named <= samples
    batch = {node for node in order if node.op.name in ("parameter", "moments")}
    assert batch and not batch & samples
    assert found["conv"].sample(1).bar.shape == (5, 3, 3)


def test_the_samples_of_graphs():
    w, x = cr.randn(4, 4, requires_grad=True), cr.tensor(np.ones((4, 4), "f"))
    with cr.record() as tape:
        y = x @ w
        found = {
            "product": y,
            "of weights": (w.t() @ w).relu() + w,
            "turned": y.t() * 1,
            "summed": y.sum(0),
            "of each": y.mean(1),
            "repeated": (y + w[0]).exp(),
        }
        for name, value in found.items():
            value.name = name
        sum(value.sum() for value in found.values()).backward()
    samples = sample_nodes(tape._step.order, 4)
    assert {name for name in found if tape[name].node in samples} == {
        "product",
        "of each",
        "repeated",
    }
    assert tape["repeated"].node.inputs[0].inputs[1] in samples  # the row, for each sample


def test_samples_are_followed_through_their_tokens():
    w, x = cr.randn(6, 5, requires_grad=True), cr.tensor(np.ones((4, 3, 6), "f"))
    with cr.record() as tape:
        rows = x.reshape(12, 6) @ w
        mixed = (w.t() @ w).reshape(-1)  # 25 numbers of no sample
        tokens, pairs = rows.reshape(4, 3, 5), rows.reshape(6, 10)
        for name in ("rows", "mixed", "tokens", "pairs"):
            locals()[name].name = name
        (tokens.sum() + pairs.sum() + mixed.sum()).backward()
    order = tape._step.order
    samples, several = sample_nodes(order, 4), row_nodes(order, 4)
    assert tape["tokens"].node in samples and tape["rows"].node in several
    assert not {tape["mixed"].node, tape["pairs"].node} & (samples | several)
    assert not samples & several


def test_an_op_of_one_s_own_and_what_is_too_large(tmp_path, monkeypatch):
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, y_bar):
            return y_bar * 2

    x = cr.ones(3, requires_grad=True)
    with cr.record() as tape:
        Twice.apply(x).sum().backward()
    found = again(kept_step(tape), tmp_path)
    assert [n.op.name for n in found.graph] == [n.op.name for n in tape.graph]
    monkeypatch.setattr("chainrule.tape.kept.ELEMENTS", 2)
    kept = kept_step(tape)
    assert len(kept["left_out"]) >= 2
    with pytest.raises(cr.GradientError, match="not kept"):
        _ = tape_of(kept).entry(next(iter(tape_of(kept).graph))).value


def test_what_was_moved_before_the_step_began_is_kept_itself():
    """Its numbers are there, what it was moved from is not."""
    x, w = cr.rand(4, 6).reshape(4, 2, 3), cr.ones(3, requires_grad=True)
    x.tolist()  # computed
    with cr.record() as tape:
        (x * w).sum().backward()
    again = tape_of(kept_step(tape, 4, 4))
    (data,) = (node for node in again.graph.nodes if node.shape == (4, 2, 3) and not node.inputs)
    assert again.entry(data).value.tolist() == x.tolist()


def test_statistics_of_single_samples_are_put_beside_those_that_were_kept(tmp_path):
    """A layer norm of tokens: its means have all samples, what they are spread over has some."""
    x = cr.tensor(np.random.default_rng(0).normal(size=(5, 3, 4)).astype("f"))
    with cr.record() as tape:
        nn.LayerNorm(4)(x).sum().backward()
    found = again(kept_step(tape, count=5, rows=2), tmp_path)
    spread = 0
    for mine, node in zip(tape.graph, found.graph, strict=True):
        (ours, theirs) = tape.entry(mine).value.numpy(), found.entry(node).value.numpy()
        spread += mine.op.name == "expand" and len(theirs) == 2
        assert np.array_equal(ours[: len(theirs)] if ours.ndim else ours, theirs)
    assert spread >= 2
