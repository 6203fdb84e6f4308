import sys

import numpy as np
import pytest
from rich.console import Console

from chainrule.cli import output
from chainrule.cli.output import command
from chainrule.cli.paint import paint, side_by_side


@pytest.mark.skipif(sys.platform == "win32", reason="paths as POSIX writes them")
def test_the_command_can_be_pasted_where_the_person_stands(tmp_path, monkeypatch):
    ours = tmp_path / "my project" / ".venv" / "bin" / "chainrule"
    ours.parent.mkdir(parents=True)
    ours.write_text("#!/bin/sh\n")
    ours.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(ours)])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path / "my project")
    assert command() == ".venv/bin/chainrule"
    monkeypatch.chdir(ours.parent)
    assert command() == "./chainrule"
    monkeypatch.chdir(tmp_path)
    assert command() == '"my project/.venv/bin/chainrule"'
    monkeypatch.setenv("PATH", str(ours.parent))
    assert command() == "chainrule"


def test_a_picture_as_half_blocks():
    image = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
    lines = paint(image, Console(color_system=None))
    assert [line.plain for line in lines] == [" ▀▄█", "▀▀▀▀"]
    assert [line.plain for line in side_by_side([lines, lines])] == [" ▀▄█  ▀▄█", "▀▀▀▀ ▀▀▀▀"]


def test_a_picture_in_greys():
    to = Console(force_terminal=True, color_system="truecolor", no_color=False)
    (line,) = paint(np.array([[0, 1], [1, 0]]), to)
    assert line.plain == "▀▀"
    dark, light = line.spans
    assert (dark.style.color.triplet.red, dark.style.bgcolor.triplet.red) == (20, 245)
    assert (light.style.color.triplet.red, light.style.bgcolor.triplet.red) == (245, 20)


def test_a_picture_in_ascii(monkeypatch):
    monkeypatch.setattr("chainrule.cli.paint.can_print_blocks", lambda file: False)
    (line,) = paint(np.array([[0, 0.5, 1], [0, 0.5, 1]]))
    assert line.plain == " +#"


def test_lines_without_utf_8(monkeypatch, capsys):
    monkeypatch.setattr(output, "can_print_blocks", lambda file: False)
    output.say("8→3 × 2 …")
    assert capsys.readouterr().out == "8->3 x 2 ...\n"
