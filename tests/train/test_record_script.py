"""Steps of a script of one's own, in a run's folder."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.train.record_script import recorded
from chainrule.train.runs import Run

X = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def script(steps):
    cr.manual_seed(0)
    net = nn.Linear(4, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    x, y = cr.tensor(X), cr.tensor(np.arange(10) % 2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_its_steps_are_kept(tmp_path):
    run = Run.create("script", {}, tmp_path / "run")
    with recorded(run):
        losses = script(12)
    assert losses == script(12)
    rows, records = run.records.statistics(), run.records
    assert rows.losses.tolist() == losses and rows.steps.tolist() == list(range(12))
    assert {("weight", "value"), ("weight", "gradient")} <= set(rows.names)
    assert {0, 1, 2, 4, 8} <= set(records.steps()) <= set(range(12))
    tape = records.tape(4)
    assert tape["weight"].bar.shape == (2, 4)
    k = rows.names.index(("weight", "gradient"))
    gradient = np.sqrt(np.mean(tape["weight"].bar.numpy().astype(float) ** 2))
    assert rows.values[4, k] == pytest.approx(gradient, rel=1e-6)
    inputs = next(node for node in tape.graph if node.shape == (10, 4))
    assert tape.entry(inputs).value.tolist() == X[:4].tolist()


def test_what_a_script_chooses_from_its_data_is_the_batch(tmp_path):
    """Rows of a larger array, drawn before, some of them of integers; means along each row."""
    run = Run.create("script", {}, tmp_path / "run")
    cr.manual_seed(0)
    words, order = cr.randint(0, 5, (40, 3)), cr.randperm(40)
    net = nn.Sequential(nn.Embedding(5, 8), nn.LayerNorm(8), nn.Flatten(), nn.Linear(24, 5))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with recorded(run, "all"):
        for chosen in (slice(0, 8), order[8:16]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(words[chosen]), words[chosen][:, 0]).backward()
            optimizer.step()
    for step, chosen in enumerate((slice(0, 8), order[8:16])):
        kept, tape = run.records.read(step), run.records.tape(step)
        assert (kept["batch"], kept["rows"]) == (8, 4)
        data = [node for node in tape.graph if node.op.name == "data"]
        assert data[0].shape == (8, 3) and {node.shape[0] for node in data} == {8}
        assert tape.entry(data[0]).value.tolist() == words[chosen][:4].tolist()
        assert tape["1"].value.shape == (4, 3, 8)
        assert {node.op.name for node in tape.graph}.isdisjoint({"random_bits", "argsort"})


def test_chosen_steps_of_a_script_that_fails(tmp_path):
    run = Run.create("script", {}, tmp_path / "run")

    def fails():
        with recorded(run, "steps=1,3"):
            script(5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert run.records.steps() == [1, 3] and len(run.records.statistics()) == 5


def test_a_batch_that_the_step_draws_has_samples(tmp_path):
    run = Run.create("script", {}, tmp_path / "run")
    with recorded(run, "all"):
        cr.manual_seed(0)
        a, b = nn.Linear(4, 8), nn.Linear(3, 8)
        (a(cr.randn(6, 4)) + b(cr.randn(6, 3))).square().mean().backward()
    kept = run.records.read(0)
    assert (kept["batch"], kept["rows"]) == (6, 4)
