"""The main job, as ``make train`` does it: LeNet on the shipped digits, and people's own digits."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.data import rasterise
from chainrule.train.reader import PictureReader

DRAWINGS = Path(__file__).parent / "data" / "drawings" / "drawings.json"
RESULT = re.compile(
    r"test accuracy (\d+\.\d) % \((\d+) of 360\) +seed 0 +\d+\.\d s +runs/lenet-001"
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The output of ``chainrule train lenet`` with no more words, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("job")
    command = [sys.executable, "-m", "chainrule", "train", "lenet"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, encoding="utf-8", check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_it_ends_with_the_accuracy_on_the_test_part(job):
    output, _ = job
    found = RESULT.search(output)
    assert found, output
    percent, right = float(found[1]), int(found[2])
    assert round(100 * right / 360, 1) == percent
    assert percent >= 98.0


def test_its_mistakes_are_listed_with_label_and_answer(job):
    output, _ = job
    wrong = 360 - int(RESULT.search(output)[2])
    assert len(re.findall(r"\b\d→\d\b", output)) == wrong


def test_the_run_reads_digits_that_were_drawn_by_program(job):
    _, folder = job
    reader = PictureReader(folder / "runs" / "lenet-001")
    drawings = json.loads(DRAWINGS.read_text(encoding="utf-8"))["drawings"]
    answers = [reader.read(rasterise(d["strokes"], d["width"])) for d in drawings]
    right = sum(a == d["label"] for a, d in zip(answers, drawings, strict=True))
    assert len(drawings) == 30
    assert right >= 27


def test_the_commands_that_it_prints_can_be_pasted(job):
    output, folder = job
    commands = [line.strip() for line in output.split("next:")[1].splitlines() if line.strip()]
    assert len(commands) == 3
    for line in commands:
        done = subprocess.run(
            line, shell=True, cwd=folder, capture_output=True, encoding="utf-8", timeout=60
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
