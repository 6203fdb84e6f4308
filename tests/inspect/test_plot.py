"""Plots as files: the formats, the same bytes each time, and what happens without matplotlib."""

import builtins
import subprocess
import sys

import pytest

from chainrule.errors import UsageError
from chainrule.inspect.plot_curves import losses, trajectories

BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("ending", BEGINNINGS)
def test_the_same_bytes_each_time(ending, tmp_path):
    first, second = (losses().save(tmp_path / f"{name}.{ending}") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(BEGINNINGS[ending])


def test_contours_and_logarithms(tmp_path):
    content = trajectories(steps=3).save(tmp_path / "paths.png").read_bytes()
    assert len(content) > 20_000


def test_files_are_new(tmp_path):
    path = losses().save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="which exists"):
        losses().save(path)
    losses().save(path, overwrite=True)
    with pytest.raises(UsageError, match=r"needs one that ends in \.png, \.svg, \.pdf"):
        losses().save(tmp_path / "a.jpg")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install chainrule\[plot\]"):
        losses().save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_nothing_is_drawn_before_a_file_is_asked_for():
    script = "import sys; from chainrule.inspect.plot_curves import losses; losses()"
    script += "; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n"
