"""What is opened beside the runs: folders, scripts, models; nothing outside the server's folder."""

import time

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UsageError
from chainrule.studio.opening import Opening, model_of
from chainrule.studio.runs import Runs
from chainrule.studio.training.processes import Training
from chainrule.train.runs import Run

SCRIPT = """
import torch
torch.manual_seed(0)
layer = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    layer(torch.randn(5, 3)).square().mean().backward()
    optimizer.step()
"""


def test_what_there_is(client, tmp_path):
    (tmp_path / "own.py").write_text(SCRIPT)
    found = client.get("/api/open").json()
    assert found["scripts"] == ["own.py"]
    assert {"lenet", "xor", "mlp"} <= set(found["models"]) and "logistic-l2" not in found["models"]


def test_a_model_is_one_recorded_pass(client):
    assert client.post("/api/open", json={"what": "4-3-2"}).json() == {"run": "4-3-2-untrained-001"}
    assert client.post("/api/open", json={"what": "4-3-2"}).json() == {"run": "4-3-2-untrained-002"}
    runs = {run["name"]: run for run in client.get("/api/runs").json()["runs"]}
    run = runs["4-3-2-untrained-001"]
    assert (run["status"], run["system"], run["title"]) == ("recorded", "", "MLP")
    at = "/api/runs/4-3-2-untrained-001/steps"
    assert client.get(at).json() == {"batch": [0], "probe": []}
    view = client.get(f"{at}/batch/0/layers").json()
    assert view["rows"] == 4 and len(view["scores"]["shares"]) == 2
    assert all(layer["bar"] for layer in view["layers"][1:])


@pytest.mark.parametrize("name", ["lenet", "xor", "lenet5", "784-32-10", "softmax-regression"])
def test_every_kind_of_model_has_a_pass(tmp_path, name):
    runs = Runs(tmp_path / "runs")
    opened = Opening(runs, Training()).open(name)["run"]
    assert Run(runs.folder_of(opened)).records.steps() == [0]


def test_a_model_of_ones_own_says_its_sizes(tmp_path):
    opening = Opening(Runs(tmp_path / "runs"), Training())
    net = nn.Conv2d(3, 2, 3)
    with pytest.raises(UsageError, match="input_shape"):
        opening.open_model(net, "own")
    net.input_shape = (3, 6, 6)
    assert opening.open_model(net, "own") == {"run": "own-untrained-001"}


def test_a_runs_folder_elsewhere(client, tmp_path):
    Run.create("xor", {"system": "xor", "epochs": 3}, tmp_path / "other" / "mine").release()
    assert client.post("/api/open", json={"what": "other/mine"}).json() == {"run": "mine"}
    assert client.get("/api/runs/mine").status_code == 200


def test_a_script_runs_and_is_recorded(client, tmp_path):
    (tmp_path / "own.py").write_text(SCRIPT)
    assert client.post("/api/open", json={"what": "own.py"}).json() == {"run": None}
    for _ in range(600):
        state = client.get("/api/train").json()
        if state["state"] != "running":
            break
        time.sleep(0.1)
    assert (state["state"], state["system"]) == ("finished", "own.py"), state["lines"]
    (run,) = client.get("/api/runs").json()["runs"]
    assert (run["name"], run["status"], run["title"]) == ("own-001", "finished", "own.py")
    assert client.get("/api/runs/own-001/steps").json()["batch"] == [0, 1, 2]


def test_one_thing_runs_at_a_time(client, tmp_path):
    (tmp_path / "own.py").write_text("import time\ntime.sleep(60)\n")
    assert client.post("/api/open", json={"what": "own.py"}).status_code == 200
    answer = client.post("/api/open", json={"what": "own.py"})
    assert answer.status_code == 409 and "own.py runs" in answer.json()["error"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("../secret.py", "the folder in which the studio was started"),
        ("/etc/passwd", "the folder in which the studio was started"),
        ("\0", "the folder in which the studio was started"),
        ("x" * 5000, "nothing to open"),
        ("none.py", "a Python file that is there"),
        ("lenett", "Did you mean lenet"),
        (" ", "nothing to open"),
        (7, "nothing to open"),
    ],
)
def test_what_can_not_be_opened_is_told(client, what, words):
    answer = client.post("/api/open", json={"what": what})
    assert answer.status_code == 422 and words in answer.json()["error"]


def test_a_link_that_leads_out_is_not_followed(client, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "theirs.py"
    outside.write_text(SCRIPT)
    (tmp_path / "inside.py").symlink_to(outside)
    answer = client.post("/api/open", json={"what": "inside.py"})
    assert answer.status_code == 422 and "folder in which" in answer.json()["error"]


def test_models_by_name():
    assert type(model_of("lenet")).__name__ == "LeNet5"
    with pytest.raises(cr.UsageError, match="xor"):
        model_of("xorr")
