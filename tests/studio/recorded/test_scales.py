"""The ends of colours over all kept steps."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.studio.recorded import scales
from chainrule.studio.recorded.scales import Scales
from chainrule.train import Recording, Trainer

X = np.random.default_rng(0).normal(size=(8, 1, 5, 5)).astype(np.float32)


@pytest.fixture
def records(make_run):
    """A recorded training of a few steps."""
    run = make_run("small-001", [0.5])
    cr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, np.arange(8) % 3), 4), epochs=2, verbose=False)
    return run.records


def test_the_largest_of_all_steps_for_one_sample(records):
    found = Scales().over(records, "probe", 3)
    assert found["read"] == found["steps"] == len(records.steps("probe"))
    sizes = [np.abs(records.tape(k, "probe")["0"].value.numpy()) for k in records.steps("probe")]
    wanted = max(np.percentile(each[3].astype(float), 99.5) for each in sizes)
    assert found["scales"]["0"]["value"] == wanted
    bars = [
        np.abs(records.tape(k, "probe")["0.weight"].bar.numpy()) for k in records.steps("probe")
    ]
    wanted = max(np.percentile(each.astype(float), 99.5) for each in bars)
    assert found["scales"]["0.weight"]["bar"] == wanted


def test_it_says_how_far_it_is(records, monkeypatch):
    monkeypatch.setattr(scales, "SECONDS", -1)
    known = Scales()
    assert known.over(records, "probe", 0) == {
        "steps": len(records.steps("probe")),
        "read": 0,
        "scales": {},
    }
    monkeypatch.setattr(scales, "SECONDS", 60)
    assert known.over(records, "probe", 0)["read"] == len(records.steps("probe"))


def test_a_file_that_was_written_anew_is_read_anew(records):
    known = Scales()
    before = known.over(records, "batch", 0)["scales"]
    for step in records.steps("batch")[1:]:
        records.path(step).write_bytes(records.path(0).read_bytes())
    assert known.over(records, "batch", 0)["scales"] != before
