import subprocess
import sys

import pytest

from chainrule.errors import CheckpointError, DataError, UsageError
from chainrule.train.runs import Run, open_run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_numbers_go_up_and_sort():
    names = [str(Run.create("lenet", {}).folder.name) for _ in range(3)]
    assert names == ["lenet-001", "lenet-002", "lenet-003"]
    assert Run.create("xor", {}).folder.name == "xor-001"


def test_a_number_is_not_used_again_while_a_later_one_is_there(tmp_path):
    (tmp_path / "runs" / "lenet-041").mkdir(parents=True)
    (tmp_path / "runs" / "lenet-notes").mkdir()
    assert Run.create("lenet", {}).folder.name == "lenet-042"


def test_a_run_whose_name_begins_anothers():
    Run.create("mlp-binary", {})
    assert Run.create("mlp", {}).folder.name == "mlp-001"


def test_processes_never_share_a_folder():
    program = "from chainrule.train.runs import Run\nfor _ in range(20): print(Run.create('a', {}))"
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    folders = [line for process in running for line in process.communicate()[0].split()]
    assert len(set(folders)) == len(folders) == 60


def test_out_that_exists_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("dear")
    with pytest.raises(UsageError, match=r"mine, which exists.*Nothing was changed"):
        Run.create("lenet", {}, "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]
    assert Run.create("lenet", {}, "new/deep").folder.is_dir()


def test_the_last_run_is_the_one_started_last():
    with pytest.raises(UsageError, match=r"no run in .*Train one first"):
        open_run("last")
    Run.create("b", {})
    Run.create("a", {})
    assert open_run("last").folder.name == "a-001"
    assert open_run().folder.name == "a-001"


def test_a_run_by_path_or_name():
    Run.create("lenet", {"x": 1})
    assert open_run("lenet-001").config["x"] == 1
    assert open_run("runs/lenet-001").config["x"] == 1
    with pytest.raises(UsageError, match=r"'lenet-01'.*Nearest: lenet-001"):
        open_run("lenet-01")


def test_a_run_without_a_checkpoint_says_why():
    with pytest.raises(CheckpointError, match="ended before the first was kept"):
        Run.create("lenet", {}).read_checkpoint()


def test_a_damaged_configuration():
    run = Run.create("lenet", {})
    (run.folder / "config.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        run.config  # noqa: B018


def test_last_without_a_checkpoint_names_the_newest_run_that_has_one():
    Run.create("lenet", {}).checkpoint.write_bytes(b"x")
    Run.create("xor", {}).checkpoint.write_bytes(b"x")
    Run.create("lenet", {})
    with pytest.raises(CheckpointError, match=r"lenet-002, which .*with one: xor-001"):
        open_run("last").read_checkpoint()


HOLDS = """
import sys, time
from chainrule.train.runs import Run
run = Run.create("lenet", {})
print(run, flush=True)
time.sleep(60)
"""


def test_a_run_in_use_is_refused_until_its_process_is_dead():
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        run = Run(process.stdout.readline().strip())
        with pytest.raises(UsageError, match=f"in use by process {process.pid}, needs"):
            run.claim()
        process.kill()  # as kill -9: the lock's file stays behind
        process.wait()
        assert (run.folder / "lock").exists()
        run.claim()
    with pytest.raises(UsageError, match="in use by process"):
        Run(run.folder).claim()
    run.release()
    Run(run.folder).claim()
