import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chainrule.cli import main
from chainrule.data import rasterise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one short training in it."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "lenet", "--epochs", "3", "--json"]) == 0
        picture = rasterise([[(150, 40), (140, 240)]], width=20)
        Image.fromarray((255 - 255 * np.asarray(picture)).astype(np.uint8)).save("one.png")
        Image.new("L", (50, 50), 255).save("empty.png")
        Path("text.png").write_text("no picture")
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")


def test_a_sample_of_the_test_data(capsys):
    assert main(["predict", "last", "--sample", "7"]) == 0
    out = capsys.readouterr().out
    assert "test sample 7, labelled " in out
    assert "█" in out
    assert "answer " in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_picture(capsys):
    assert main(["predict", "lenet-001", "one.png", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["answer"] == np.argmax(answer["probabilities"])
    assert sum(answer["probabilities"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["lenet-007"], 2, "Nearest: lenet-001"),
        (["last", "none.png"], 1, "No such file"),
        (["last", "text.png"], 1, "text.png, needs a picture"),
        (["last", "empty.png"], 1, "empty.png, needs ink"),
        (["last", "--sample", "360"], 2, "a number from 0 to 359"),
        (["last", "one.png", "--sample", "3"], 2, "one of the two"),
        ([], 2, "RUN"),
    ],
)
def test_mistakes_are_one_message(capsys, words, code, says):
    assert main(["predict", *words]) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1


def test_a_damaged_checkpoint(capsys, tmp_path, folder):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "last.safetensors"):
        content = (folder / "runs/lenet-001" / name).read_bytes()
        (run / name).write_bytes(
            content[: len(content) // 2] if name.startswith("last") else content
        )
    assert main(["predict", str(run)]) == 1
    assert "which is damaged" in capsys.readouterr().err
