"""What the page Graph is told of a step: bit for bit what was recorded."""

from base64 import b64decode

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.studio.recorded.drawing import MOST_CELLS, rms_of
from chainrule.train import Recording, Trainer

X = np.random.default_rng(0).normal(size=(12, 2, 40, 7)).astype(np.float32)
Y = np.arange(12) % 3
AT = "/api/runs/drawn-001/steps/batch/2"


@pytest.fixture
def run(make_run):
    """A recorded training of a small network on tall pictures."""
    run = make_run("drawn-001", [0.5])
    cr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 38 * 5, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    record = Recording(run.folder, "all")
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record)
    trainer.fit(DataLoader(TensorDataset(X, Y), 4), epochs=1, verbose=False)
    return run


def test_the_tree_is_the_graph(client, run):
    graph, told = client.get(AT).json(), client.get(f"{AT}/tree").json()
    assert [told["ops"][k]["name"] for k in told["op"]] == [node["op"] for node in graph["nodes"]]
    for name in ("inputs", "shape", "dtype", "where"):
        assert told[name] == [node[name] for node in graph["nodes"]]
    assert told["samples"] == [k for k, node in enumerate(graph["nodes"]) if node["samples"]]
    assert [group["key"] for group in told["groups"]][:2] == ["", "Sequential"]
    assert told["rows"] == 4 and told["losses"] == graph["losses"]
    assert "0.weight" in told["name"] and "input" in told["name"]


@pytest.mark.parametrize("sample", [0, 3])
def test_sizes_are_those_of_the_record(client, run, sample):
    order = run.records.tape(2)._step.order
    told = client.get(f"{AT}/sizes?sample={sample}&what=update").json()
    samples = set(client.get(f"{AT}/tree").json()["samples"])
    tape = run.records.tape(2)._step
    for k, node in enumerate(tape.order):
        arrays = {
            "value": tape.holds[node].node.result() if node in tape.holds else None,
            "bar": tape.bars[node].numpy() if node in tape.bars else None,
        }
        for what, array in arrays.items():
            if array is None:
                assert told[what][k] is None
                continue
            of = (array[sample] if k in samples else array).astype(np.float64)
            assert told[what][k] == pytest.approx(np.sqrt(np.mean(of**2)), rel=1e-5)
    named = {node.name: k for k, node in enumerate(order) if node.op.name == "parameter"}
    assert all(told["update"][k] > 0 for k in named.values())
    assert sum(size is not None for size in told["update"]) == len(named)


def test_thumbnails_hold_recorded_numbers_and_the_largest_one(client, run):
    tape = run.records.tape(2)._step
    told = client.get(f"{AT}/tree").json()
    nodes = ",".join(str(k) for k in range(min(60, len(tape.order))))
    answer = client.get(f"{AT}/thumbnails?nodes={nodes}&what=value&sample=1").json()
    assert len(answer["thumbnails"]) > 10
    for thumb in answer["thumbnails"]:
        node = tape.order[thumb["node"]]
        array = tape.holds[node].node.result()
        of = array[1] if thumb["node"] in told["samples"] else array
        cells = np.frombuffer(b64decode(thumb["numbers"]), "<f4")
        assert max(thumb["rows"], 1) * thumb["columns"] * len(thumb["shown"]) == cells.size
        assert thumb["rows"] <= MOST_CELLS and np.isin(cells, of.astype("f4")).all()
        assert array[tuple(thumb["largest"]["index"])] == thumb["largest"]["value"]
        assert abs(thumb["largest"]["value"]) == np.abs(of).max()
    data = next(t for t in answer["thumbnails"] if told["name"][t["node"]] == "input")
    assert (data["rows"], data["columns"], data["every"]) == (20, 7, [2, 1])
    picked = np.frombuffer(b64decode(data["numbers"]), "<f4").reshape(2, 20, 7)
    values = next(
        hold.node.result() for node, hold in tape.holds.items() if node.shape == (4, 2, 40, 7)
    )
    assert (picked == values[1][:, ::2]).all()


def test_nothing_kept_is_no_thumbnail(client, run):
    told = client.get(f"{AT}/tree").json()
    data = told["name"].index("input")
    found = client.get(f"{AT}/thumbnails?nodes={data}&what=bar").json()
    assert found == {"thumbnails": []}


def test_rms_of_what_float32_can_not_square():
    assert rms_of(np.full(3, 1e30, np.float32)) == pytest.approx(1e30)
    assert rms_of(np.full(3, 1e-30, np.float32)) == pytest.approx(1e-30)
    assert np.isnan(rms_of(np.array([np.nan, 1], np.float32))) and rms_of(np.zeros(0)) == 0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("sizes?sample=4", "sample 4, needs 0 to 3"),
        ("sizes?what=x", "what=x, needs value or bar or update"),
        ("thumbnails", "needs nodes=3,4,5"),
        ("thumbnails?nodes=1,x", "needs nodes=3,4,5"),
        ("thumbnails?nodes=" + ",".join(["1"] * 65), "at most 64"),
        ("thumbnails?nodes=999", "node 999, needs 0 to"),
        ("thumbnails?nodes=1&sample=9", "sample 9, needs 0 to 3"),
    ],
)
def test_what_can_t_be_drawn(client, run, path, says):
    answer = client.get(f"{AT}/{path}")
    assert answer.status_code == 422 and says in answer.json()["error"]
