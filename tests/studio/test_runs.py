import json
import os
import subprocess
import sys

import pytest

from chainrule.studio.runs import Runs, holder
from chainrule.train.runs import Run


@pytest.fixture
def runs(make_run, tmp_path):
    return Runs(tmp_path / "runs")


def only(runs):
    (run,) = runs.list()
    return run


def test_no_folder_no_runs(tmp_path):
    assert Runs(tmp_path / "nowhere").list() == []


def test_a_run_in_short(runs, make_run):
    make_run("xor-001", [0.5, 0.25])
    found = only(runs)
    assert {"name": "xor-001", "system": "xor", "epochs": 3, "epoch": 2}.items() <= found.items()
    assert found["figures"] == {"loss": 0.25}
    assert (found["status"], found["recorded"], found["error"]) == ("interrupted", False, None)
    assert found["started"].startswith("20")


def test_the_newest_stands_first(runs, make_run, change_config):
    for number in (1, 2, 3):
        change_config(make_run(f"xor-00{number}"), started=f"2026-01-0{number}")
    assert [run["name"] for run in runs.list()] == ["xor-003", "xor-002", "xor-001"]


def test_a_result_is_the_end(runs, make_run, change_config):
    figures = [{"name": "rows", "measured": 4, "wanted": "4", "holds": True}]
    change_config(make_run("xor-001", [0.5]), result={"figures": figures, "seconds": 1.5})
    found = only(runs)
    assert (found["status"], found["results"], found["seconds"]) == ("finished", figures, 1.5)


def test_a_script_and_a_trainer_of_ones_own_are_runs_too(runs, tmp_path):
    own = {"system": None, "script": "/somewhere/mine.py"}
    run = Run.create("mine", own, tmp_path / "runs" / "mine-001")
    run.release()
    wanted = {"status": "recorded", "system": "", "title": "mine.py", "epochs": 0}
    assert wanted.items() <= only(runs).items() and only(runs)["error"] is None
    run.write_config(run.config | {"result": {}})
    assert only(runs)["status"] == "finished"
    run.write_config({"system": None, "model": {"name": "Net"}, "epochs": 1, "started": "2026"})
    assert (only(runs)["status"], only(runs)["title"]) == ("recorded", "Net")


def test_a_record_is_told(runs, make_run):
    record = make_run("xor-001").folder / "record"
    record.mkdir()
    assert only(runs)["recorded"] and only(runs)["kept"] == 0
    (record / "probe-000004.safetensors").touch()
    assert only(runs)["kept"] == 1  # told to the pages, which then show the step


def test_it_runs_while_its_lock_is_held(runs, make_run):
    run = make_run("xor-001")
    program = "import sys; from chainrule.train.runs import Run; run = Run(sys.argv[1])\n"
    program += "run.claim(); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, run.folder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        found = only(runs)
        assert (found["status"], found["process"]) == ("running", process.pid)
        process.kill()
    assert only(runs)["status"] == "interrupted"


def test_looking_at_a_lock_keeps_nobody_from_it(make_run):
    run = make_run("xor-001")
    lock = run.folder / "lock"
    lock.write_text(f"{os.getpid()}\n")  # alive, but it holds nothing
    assert holder(lock) is None
    run.claim()
    assert holder(lock) == os.getpid()
    run.release()
    assert holder(lock) is None


@pytest.mark.parametrize("text", ["", "none", "-1", "0", "9" * 20])
def test_a_lock_of_nonsense_is_nobodys(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    assert holder(tmp_path / "lock") is None
    assert holder(tmp_path / "nothing") is None


DAMAGES = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "can't be read"),
    "half a config": (lambda folder: (folder / "config.json").write_text('{"a'), "damaged"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "no table"),
    "no names": (lambda folder: (folder / "config.json").write_text("{}"), "system and started"),
    "bytes": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "damaged"),
    "no figures": (lambda folder: (folder / "metrics.sqlite").unlink(), "metrics.sqlite"),
    "no database": (
        lambda folder: (folder / "metrics.sqlite").write_text("no database, but long enough" * 99),
        "can't be used",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_with_its_error(runs, make_run, damage):
    make_run("xor-001", [0.5])
    hurt, words = DAMAGES[damage]
    hurt(make_run("xor-002", [0.5]).folder)
    found = {run["name"]: run for run in runs.list()}
    assert found["xor-001"]["status"] == "interrupted"
    assert found["xor-002"]["status"] == "damaged"
    assert words in found["xor-002"]["error"]
    assert "xor-002" in found["xor-002"]["remedy"]


@pytest.mark.parametrize("result", [3, {"figures": 3}, {"figures": [3]}, {"figures": [{}]}])
def test_a_result_that_no_training_wrote_is_damage(runs, make_run, change_config, result):
    change_config(make_run("xor-001"), result=result)
    assert "result" in only(runs)["error"]


def test_a_link_out_of_the_folder_is_no_run(runs, make_run, tmp_path):
    make_run("xor-001")
    (tmp_path / "runs" / "link").symlink_to(make_run("../elsewhere").folder.resolve())
    assert only(runs)["name"] == "xor-001"
    assert runs.one("link") is None


def test_a_file_that_leads_elsewhere_is_not_read(runs, make_run, tmp_path):
    folder = make_run("xor-001").folder
    (folder / "config.json").rename(tmp_path / "secret.json")
    (folder / "config.json").symlink_to(tmp_path / "secret.json")
    assert "leads to another place" in only(runs)["error"]


def test_a_run_that_lies_elsewhere_can_be_shown(make_run, tmp_path):
    elsewhere = make_run("../my-run", [0.5]).folder.resolve()
    runs = Runs(tmp_path / "runs", also=[elsewhere])
    assert only(runs)["name"] == "my-run"
    assert runs.one("my-run")["history"] == [{"loss": 0.5}]


@pytest.mark.parametrize("name", ["..", ".", "", "../runs/xor-001", "xor-001/", "/"])
def test_only_a_name_of_the_list_is_a_name(runs, make_run, name):
    make_run("xor-001")
    assert runs.one(name) is None


def test_one_run_whole(runs, make_run):
    make_run("xor-001", [0.5, float("nan"), float("inf")])
    found = runs.one("xor-001")
    assert found["config"]["lr"] == 0.05
    # SQLite has no NaN: it keeps nothing for one.
    assert found["history"][0] == {"loss": 0.5} and found["history"][2] == {"loss": "Infinity"}
    json.dumps(found, allow_nan=False)


def test_what_has_not_changed_is_not_read_again(runs, make_run, monkeypatch):
    run = make_run("xor-001", [0.5])
    make_run("xor-002", [0.5])
    read = []
    figures = Run.figures
    monkeypatch.setattr(Run, "figures", lambda self: read.append(self.folder.name) or figures(self))
    for _ in range(2):
        runs.list()
    assert len(read) == 4  # written a moment ago: perhaps not all of it was there
    monkeypatch.setattr("chainrule.studio.runs.SETTLED", 0)
    runs.list()
    read.clear()
    runs.list()
    assert read == []
    run.add_figures(1, {"loss": 0.25})
    assert [found["epoch"] for found in runs.list()] == [1, 2]
    assert read == ["xor-001"]
    run.release()


def test_looking_leaves_the_folder_as_it_is(runs, make_run):
    folder = make_run("xor-001", [0.5]).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    runs.list()
    runs.one("xor-001")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_is_being_made_is_none_yet_and_one_that_was_left_so_is_damaged(runs, tmp_path):
    folder = tmp_path / "runs" / "xor-002"
    folder.mkdir()
    run = Run(folder)
    run.claim()  # its configuration is written last
    assert runs.list() == []
    run.release()
    assert only(runs)["status"] == "damaged"
