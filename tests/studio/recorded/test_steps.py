"""Recorded steps as pages get them: bit for bit what Python reads."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer

X = np.random.default_rng(0).normal(size=(12, 1, 6, 6)).astype(np.float32)
Y = np.arange(12) % 3


@pytest.fixture
def run(make_run):
    """A recorded training of a small network."""
    run = make_run("small-001", [0.5])
    cr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, Y), 6), epochs=2, verbose=False)
    return run


def sentence(answer):
    assert answer.status_code == 422
    return answer.json()["error"]


def test_which_steps_are_kept(client, run, make_run):
    assert client.get("/api/runs/small-001/steps").json() == {
        "batch": [0, 1, 2, 3],
        "probe": [0, 1, 2, 3, 4],
    }
    make_run("plain-001", [0.5])
    assert client.get("/api/runs/plain-001/steps").json() == {"batch": [], "probe": []}
    assert client.get("/api/runs/plain-001/figures").json()["steps"] == []


def test_figures_of_each_step(client, run):
    found, rows = (
        client.get("/api/runs/small-001/figures?since=1").json(),
        run.records.statistics(1),
    )
    assert found["steps"] == [1, 2, 3] and found["losses"] == rows.losses.tolist()
    for k, column in enumerate(found["figures"]):
        assert (column["of"], column["what"]) == rows.names[k]
        assert np.float32(column["values"]).tolist() == rows.values[:, k].tolist()


@pytest.mark.parametrize("kind", ["batch", "probe"])
def test_every_number_is_the_recorded_one(client, run, kind):
    at = f"/api/runs/small-001/steps/{kind}/2"
    graph, tape = client.get(at).json(), run.records.tape(2, kind)
    order = tape._step.order
    assert [node["op"] for node in graph["nodes"]] == [node.op.name for node in order]
    assert {call["path"] for call in graph["calls"]} >= {"0", "1", "3"}
    for number, (node, described) in enumerate(zip(order, graph["nodes"], strict=True)):
        for what in ("value", "bar"):
            answer = client.get(f"{at}/array?node={number}&what={what}")
            sizes = described[what]
            if sizes is None:
                assert "one that was recorded" in sentence(answer)
                continue
            array = getattr(tape.entry(node), what).numpy()
            assert answer.headers["x-dtype"] == array.dtype.name
            assert answer.headers["x-shape"] == ",".join(map(str, array.shape))
            assert answer.content == array.tobytes()
            rows = len(array) if described["samples"] else 1
            assert len(sizes["rms"]) == len(sizes["most"]) == rows
            assert max(sizes["most"]) == np.abs(array).max()
            if described["samples"]:
                one = client.get(f"{at}/array?node={number}&what={what}&sample=1")
                assert one.content == array[1].tobytes()


def test_how_a_number_was_computed(client, run):
    at = "/api/runs/small-001/steps/batch/1"
    graph = client.get(at).json()
    conv = next(k for k, node in enumerate(graph["nodes"]) if node["op"] == "conv")
    found = client.get(f"{at}/element?node={conv}&what=value&index=1,0,2,3").json()
    value = run.records.tape(1)._step.holds
    node = list(value)[[n.op.name for n in value].index("conv")]
    exact = value[node].node.result()[1, 0, 2, 3]
    assert found["what"]["value"] == float(exact) == float.fromhex(found["what"]["hex"])
    assert abs(found["roundoff"]) < 1e-5
    signal = client.get(f"{at}/element?node={conv}&what=bar&index=1,0,2,3").json()
    assert signal["formula"] and signal["what"]["kind"] == "bar"


@pytest.mark.parametrize("kind", ["batch", "probe"])
def test_layers_and_what_a_unit_reads(client, run, kind):
    at = f"/api/runs/small-001/steps/{kind}/2"
    found = client.get(f"{at}/layers?sample=1").json()
    assert [layer["name"] for layer in found["layers"]] == ["input", "0", "1", "2", "3"]
    order = run.records.tape(2, kind)._step.order
    assert len(found["names"]) == len(order) and found["names"][0] == "input"
    assert {"0.weight", "3.bias"} <= set(found["names"])
    conv = found["layers"][1]["node"]
    (box,) = client.get(f"{at}/patch?node={conv}&index=1,0,2,3").json()["boxes"]
    assert box["count"] == 9 and (box["rows"], box["columns"]) == ([2, 4], [3, 5])


@pytest.mark.parametrize("what", ["value", "bar", "update"])
def test_the_numbers_of_all_pictures_in_one_answer(client, run, what):
    at, tape = "/api/runs/small-001/steps/batch/2", run.records.tape(2)
    answer = client.get(f"{at}/numbers?what={what}&sample=1")
    order, start = tape._step.order, 0
    parts = json.loads(answer.headers["x-parts"])
    for part in parts:
        node, content = order[part["node"]], answer.content[start : start + part["bytes"]]
        start += part["bytes"]
        if what == "update":
            wanted = client.get(f"{at}/array?node={part['node']}&what=update").content
        else:
            array = getattr(tape.entry(node), what).numpy()
            wanted = (array if node.op.name == "parameter" else array[1]).tobytes()
        assert content == wanted
    names = {order[part["node"]].name for part in parts}
    assert {"0.weight", "0.bias", "3.weight", "3.bias"} <= names and start == len(answer.content)
    few = client.get(f"{at}/numbers?what={what}&sample=1&parameters=0").headers["x-parts"]
    assert {order[part["node"]].op.name for part in json.loads(few)}.isdisjoint({"parameter"})


def test_one_map_and_scales_over_time(client, run):
    at, tape = "/api/runs/small-001/steps/probe/2", run.records.tape(2, "probe")
    conv = client.get(f"{at}/layers?sample=1").json()["layers"][1]["node"]
    one = client.get(f"{at}/array?node={conv}&sample=1&map=1").content
    assert one == tape["0"].value.numpy()[1, 1].tobytes()
    (box,) = client.get(f"{at}/field?node={conv}&index=1,0,2,3").json()["boxes"]
    assert (box["rows"], box["columns"]) == ([2, 4], [3, 5])
    for _ in range(5):  # each request reads for a moment, and one step at least is behind then
        found = client.get("/api/runs/small-001/scales?kind=probe&sample=1").json()
    assert found["read"] == found["steps"] == 5 and found["scales"]["0"]["value"] > 0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("small-001/steps/batch/1/layers?sample=9", "sample 9, needs 0 to"),
        ("small-001/steps/batch/1/patch?node=0&index=9", "element"),
        ("small-001/steps/batch/1/layers?order=x", "order=x, needs largest or rms or number"),
        ("small-001/steps/batch/1/array?node=2&sample=0&map=99", "map 99, needs 0 to"),
        ("small-001/scales?kind=x", "'x', needs batch or probe"),
        ("no-such-run/steps", "the run no-such-run, needs one that is there"),
        ("small-001/figures?since=x", "needs since as a whole number"),
        ("small-001/steps/batch/77", "batch of step 77, needs one of 0, 1, 2, 3"),
        ("small-001/steps/other/1", "'other', needs batch or probe"),
        ("small-001/steps/batch/1/array", "needs node as a whole number"),
        ("small-001/steps/batch/1/array?node=999", "node 999, needs 0 to"),
        ("small-001/steps/batch/1/array?node=0&what=x", "what=x, needs value or bar"),
        ("small-001/steps/batch/1/array?node=0&sample=99", "sample 99, needs a row"),
        ("small-001/steps/batch/1/element?node=0&index=a", "needs numbers such as 0,3,12"),
        ("small-001/steps/batch/1/element?node=0&index=9,9,9,9", "element"),
    ],
)
def test_what_can_t_be_shown(client, run, path, says):
    assert says in sentence(client.get(f"/api/runs/{path}"))


def test_a_damaged_step_and_one_that_is_gone(client, run):
    path = run.records.path(1)
    assert client.get("/api/runs/small-001/steps/batch/1").status_code == 200
    path.write_bytes(path.read_bytes()[:-9])
    assert "damaged" in sentence(client.get("/api/runs/small-001/steps/batch/1"))
    path.unlink()
    assert "needs one of 0, 2, 3" in sentence(client.get("/api/runs/small-001/steps/batch/1"))


def test_a_hundred_at_once(client, run):
    paths = [f"/api/runs/small-001/steps/{k}/{s}" for k in ("batch", "probe") for s in range(4)]
    alone = [client.get(path).content for path in paths]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda path: client.get(path).content, paths * 13))
    assert found == alone * 13


def test_a_value_that_is_fused_away_says_so(client, run):
    tape = run.records.tape(2)
    names = [node.op.name for node in tape._step.order]
    conv, relu = names.index("conv"), names.index("relu")
    place = ["conv", "f32[6,2,4,4]", "0/Conv2d", tape._step.order[conv].where, 0]
    with closing(sqlite3.connect(run.folder / "record" / "statistics.sqlite")) as database:
        noted = json.dumps([[*place, ["conv", "add"]]])
        database.execute("INSERT OR REPLACE INTO meta VALUES ('fused', ?)", (noted,))
        database.commit()
    at = "/api/runs/small-001/steps/{}/2"
    told = client.get(at.format("batch") + "/tree").json()["fused"]
    assert told == {str(conv): ["conv", "add"]}
    assert client.get(at.format("probe") + "/tree").json()["fused"] == {}  # runs node by node

    def fused(node, what="value"):
        query = f"/element?node={node}&index=0,0,0,0&what={what}"
        return client.get(at.format("batch") + query).json()["fused"]

    assert fused(conv) == ["conv", "add"]
    assert fused(relu) is None and fused(conv, "bar") is None
