import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.cli import main
from chainrule.systems import SYSTEMS
from chainrule.train import open_run
from chainrule.train.checkpoint import load


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")


def test_without_a_name_the_systems_are_listed(capsys):
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    assert "lenet" in out and "61,706" in out and "xor" in out
    assert main(["train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lenet"]["parameters"] == 61706


def test_lenet_from_the_first_picture_to_the_next_command(capsys):
    assert main(["train", "lenet", "--epochs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "▀" in lines[0]
    assert lines[4] == "lenet5, 61,706 parameters, on 1,257 handwritten digits"
    assert lines[6].startswith("epoch 1/1  loss ")
    assert " % (" in lines[8] and "of 360)   seed 0 " in lines[8] and "runs/lenet-001" in lines[8]
    assert lines[9].startswith("mistakes (label→answer): ")
    assert "(wanted after the whole recipe)" in lines
    assert lines[-3].endswith(" predict last --sample 7")
    config = json.loads(Path("runs/lenet-001/config.json").read_text())
    assert config["seed"] == 0 and config["model"] == {
        "name": "lenet5",
        "config": {"num_classes": 10},
    }
    assert f"({config['result']['correct']} of 360" in lines[8]
    assert lines[6] in Path("runs/lenet-001/log.txt").read_text()


def trained(capsys, *words):
    assert main(["train", "lenet", "--epochs", "1", "--batch-size", "128", "--json", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    weights = load(Path(result["run"]) / "last.safetensors")["model"]
    return {name: weight.numpy().tobytes() for name, weight in weights.items()}, result


def test_the_same_seed_gives_the_same_bits(capsys):
    first, result = trained(capsys, "--seed", "5")
    again, repeated = trained(capsys, "--seed", "5", "--workers", "2", "--nan", "ignore")
    other, _ = trained(capsys, "--seed", "6")
    assert first == again
    assert first != other
    assert (result["correct"], result["mistakes"]) == (repeated["correct"], repeated["mistakes"])


def test_xor_shows_its_truth_table(capsys):
    assert main(["train", "xor"]) == 0
    out = capsys.readouterr().out
    assert "4 of 4 right" in out
    assert "x1 x2  wanted" in out and "-0.00" not in out


def test_the_figures_of_a_system_are_a_table(capsys):
    assert main(["train", "logistic"]) == 0
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].split() == ["figure", "measured", "wanted"]
    drawn = [line.replace("\N{COMBINING MACRON}", "") for line in table]  # takes no room
    assert {line.rindex("  ") for line in drawn} == {drawn[0].index("  wanted")}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lent"], "Did you mean lenet?"),
        (["lenet", "--epochs", "0"], "--epochs"),
        (["lenet", "--epochs", "many"], "--epochs"),
        (["lenet", "--lr", "-1"], "--lr -1.0, needs a number above 0"),
        (["lenet", "--lr", "nan"], "--lr nan"),
        (["lenet", "--epoch", "1", "2"], ""),
        (["lenet", "--out", "here"], "here, which exists"),
    ],
)
def test_wrong_use_is_one_message(capsys, words, says):
    Path("here").mkdir()
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_folder_that_can_not_be_made(capsys):
    Path("runs").write_text("a file")
    assert main(["train", "lenet"]) == 1
    error = capsys.readouterr().err
    assert "runs, which can't be made" in error
    assert "--out FOLDER" in error


def test_a_full_disk_is_one_message(capsys, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    assert main(["train", "xor"]) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_keeps_the_last_checkpoint():
    command = [sys.executable, "-m", "chainrule", "train", "lenet", "--batch-size", "64"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.startswith("epoch  1/"):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert process.returncode == 130
    told = [line for line in error.splitlines() if "chainrule: compiled" not in line]
    assert told == []  # but for compilations that take long
    epochs = SYSTEMS["lenet"].recipe.epochs
    kept = load("runs/lenet-001/last.safetensors")["training"]["place"]
    assert (kept["epoch"], kept["batch"] > 0) == (1, True)
    assert (
        f"interrupted in epoch 2 of {epochs}; runs/lenet-001 keeps epoch 1 and {kept['batch']} "
        "steps of the next: "
    ) in out
    assert out.endswith(" train --resume lenet-001\n")


def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(capsys):
    words = ["train", "xor", "--epochs", "60", "--json"]
    assert main(words) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["train", "xor", "--epochs", "20", "--json", "--checkpoint-every", "7"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "xor-002"]) == 0
    assert (
        capsys.readouterr().out
        == "runs/xor-002 is finished: 20 epochs. --epochs N asks for more.\n"
    )
    assert main(["train", "--resume", "last", "--epochs", "60", "--json"]) == 0
    longer = json.loads(capsys.readouterr().out)
    assert longer["table"] == whole["table"] and len(longer["epochs"]) == 60


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--resume", "lenet-009"], "'lenet-009', needs a run's folder"),
        (["xor", "--resume", "last"], "--resume and xor, needs --resume alone"),
        (["--resume", "last", "--seed", "2"], "--resume and --seed"),
        (["--resume", "last", "--lr", "2"], "The run keeps its own"),
        (["lenet", "--data", "mnits"], "Did you mean mnist?"),
        (["lenet", "--nan", "halt"], "--nan halt, needs stop, strict or ignore"),
    ],
)
def test_wrong_use_of_resume_and_data(capsys, words, says):
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_full_recipe_that_misses_its_figure_fails(monkeypatch, capsys):
    recipe = next(iter(SYSTEMS["xor"].recipes.values()))
    short = replace(recipe, epochs=1)
    monkeypatch.setitem(SYSTEMS, "xor", replace(SYSTEMS["xor"], recipes={"short": short}))
    assert main(["train", "xor"]) == 1
    assert "MISSED" in capsys.readouterr().out
    assert main(["train", "xor", "--epochs", "1"]) == 0  # a choice of one's own is no failure


def test_the_first_number_that_is_not_finite_is_one_message(capsys):
    assert main(["train", "xor", "--lr", "1e38", "--epochs", "50"]) == 1
    error = capsys.readouterr().err
    assert "needs finite numbers" in error and "The parameters are those before this step." in error
    assert len(error.splitlines()) == 1


def test_a_training_that_is_recorded(capsys):
    assert main(["train", "--record", "lenet", "--epochs", "1"]) == 0
    records = open_run("last").records
    assert {0, 1, 2, 4, 8} <= set(records.steps()) and records.tape(4)["conv2"].bar.ndim == 4
    assert len(records.statistics()) == 40
    assert main(["train", "lenet", "--record", "steps=3 nodes=fc*", "--epochs", "1"]) == 0
    assert open_run("last").records.steps() == [3]
    assert main(["train", "--resume", "last", "--epochs", "2"]) == 0
    assert open_run("last").records.statistics().steps.tolist() == list(range(80))
    assert main(["train", "lenet", "--record", "none", "--epochs", "1"]) == 0
    assert not open_run("last").records
    capsys.readouterr()
    assert main(["train", "lenet", "--record=steps=x"]) == 2
    assert "needs all, none, steps=0,10,50-60 or nodes=conv*,fc1" in capsys.readouterr().err
