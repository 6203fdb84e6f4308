"""What a model of two inputs answers over the plane: the framework's own numbers."""

import base64
import shutil
import subprocess
import sys

import numpy as np
import pytest

from chainrule import models
from chainrule.studio.training.surface import answers
from chainrule.systems.xor import INPUTS
from chainrule.train.runs import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recorded run of nine steps."""
    folder = tmp_path_factory.mktemp("trained")
    command = [sys.executable, "-m", "chainrule", "train", "xor", "--record", "--epochs", "9"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Run(folder / "runs" / "xor-001")


@pytest.fixture
def run(trained, make_run, tmp_path):
    return Run(shutil.copytree(trained.folder, tmp_path / "runs" / "xor-001"))


def array(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])


def test_the_answers_are_those_that_were_recorded(trained):
    """The last probe saw the parameters that the last step left behind: the same bits."""
    probe = trained.records.tape(9, "probe")
    model, x = models.build("xor", hidden=8), INPUTS  # the data are too few for others
    found = answers(model, trained.records.read(8)["after"], x)
    np.testing.assert_array_equal(found["tanh"], probe["tanh"].value.numpy())
    np.testing.assert_array_equal(found["output"], probe["fc2"].value.numpy())
    earlier = answers(model, trained.records.read(4)["after"], x)
    assert not np.array_equal(earlier["output"], found["output"])


def test_a_grid_around_the_data(client, run):
    found = client.get("/api/runs/xor-001/surface/8").json()
    assert found["low"] == [-0.25, -0.25] and found["high"] == [1.25, 1.25]
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert {name: layer["units"] for name, layer in layers.items()} == {
        "fc1": 8,
        "tanh": 8,
        "output": 1,
    }
    side = found["side"]
    values = array(layers["output"]["values"]).reshape(side, side)
    axis = np.linspace(-0.25, 1.25, side, dtype=np.float32)
    grid = np.array([[axis[3], axis[7]]], np.float32)  # x₁ along a row, x₂ down the rows
    model = models.build("xor", hidden=8)
    alone = answers(model, run.records.read(8)["after"], grid)["output"]
    np.testing.assert_allclose(values[7, 3], alone[0, 0], rtol=1e-5)
    assert array(found["points"]["inputs"]).reshape(-1, 2).tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
    ]
    assert array(found["points"]["targets"]).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"system": None}, "a script's own"),
        ({"model": None}, "a script's own"),
        ({"model": {"name": "gone"}}, "none that this release"),
        ({"model": {"name": "xor", "config": {"hidden": "x"}}}, "none that this release"),
        ({"model": {"name": "mlp", "config": {"sizes": [3, 2]}}}, "models with two inputs"),
    ],
)
def test_other_models_say_why_not(client, run, change_config, config, says):
    change_config(run, **config)
    found = client.get("/api/runs/xor-001/surface/8").json()
    assert says in found["none"] and found["remedy"]


def test_a_step_that_was_not_kept(client, run):
    answer = client.get("/api/runs/xor-001/surface/7777")
    assert answer.status_code == 422 and "batch of step 7777" in answer.json()["error"]
    assert client.get("/api/runs/none/surface/1").status_code == 422
