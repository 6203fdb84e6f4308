"""What the compiled step never stores, told of the nodes of a recorded one."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer
from chainrule.train.fused import fused_nodes, fused_places
from chainrule.train.records import Records

X = np.random.default_rng(0).normal(size=(160, 4)).astype(np.float32)


@pytest.fixture
def compiled():
    """A step of y = tanh(x W + b)·2, its tape, and the program that it became."""
    cr.manual_seed(0)
    layer = nn.Linear(4, 3)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    x = cr.tensor(X[:8])

    def step():
        optimizer.zero_grad()
        loss = (layer(x).tanh() * 2).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    run = cr.compile(step)
    run()
    with cr.record() as tape:
        step()
    return tape, run.newest


def test_a_chain_of_one_loop_is_fused_and_what_is_returned_is_stored(compiled):
    tape, program = compiled
    order = list(tape.graph)
    found = fused_nodes(fused_places(program), order)
    names = {order[k].op.name: loop for k, loop in found.items()}
    assert {"matmul", "add", "tanh"} <= names.keys()
    assert {"matmul", "add", "tanh"} <= set(names["matmul"])
    (loss,) = (k for k, node in enumerate(order) if node in tape.graph.outputs.values())
    assert loss not in found


def test_what_is_at_another_place_is_not_meant(compiled):
    tape, program = compiled
    noted = fused_places(program)
    order = list(tape.graph)
    assert fused_nodes(None, order) == {}
    elsewhere = [[op, type_, f"{scope}/other", *rest] for op, type_, scope, *rest in noted]
    assert fused_nodes(elsewhere, order) == {}
    assert fused_nodes(noted, order)


def test_a_recording_notes_it(tmp_path):
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    recording = Recording(tmp_path, "steps=2")
    data = DataLoader(TensorDataset(X, np.arange(160) % 2), 2)
    Trainer(net, nn.CrossEntropyLoss(), optimizer, record=recording).fit(data, verbose=False)
    records = Records(tmp_path / "record")
    order = records.tape(2)._step.order
    found = {order[k].scope for k in fused_nodes(records.note("fused"), order)}
    assert "0/Linear" in found
    assert records.note("another") is None and Records(tmp_path / "none").note("fused") is None
