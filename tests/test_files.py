import os
import sys

import pytest

from chainrule.errors import CheckpointError, DataError, UsageError
from chainrule.files import refuse_existing, write_atomically, write_new


def test_the_new_content_or_the_old(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    needs = r"needs a folder with room for 2\.0 MB\. What was there before is whole\."
    with pytest.raises(DataError, match=rf"\[save\] got .*\(No space left on device\), {needs}"):
        write_atomically(path, bytes(2_000_000))
    with pytest.raises(CheckpointError, match=r"\[keep\] got .*b, .*room for 1 kB\.$"):
        write_atomically(tmp_path / "b", b"new", "keep", CheckpointError)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_what_interrupts_a_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(tmp_path):
    path = tmp_path / "a"
    assert write_new(path, b"old", "draw") == path
    text = r"\[draw\] got .*a, which exists, needs a new file's name\. Nothing was written\. Ask\.$"
    with pytest.raises(UsageError, match=text):
        write_new(path, b"new", "draw", remedy="Ask")
    assert path.read_bytes() == b"old"
    write_new(path, b"new", "draw", overwrite=True)
    assert path.read_bytes() == b"new"


def test_a_folder_is_never_replaced(tmp_path):
    with pytest.raises(UsageError, match=r"which exists, .* Nothing was written\.$"):
        write_new(tmp_path, b"new", "draw", overwrite=True, remedy="overwrite=True replaces it")
    refuse_existing(tmp_path / "a", "draw")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows can't flush a folder")
def test_the_renaming_reaches_the_disk_too(tmp_path, monkeypatch):
    flushed = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file)), flush(file)))
    write_atomically(tmp_path / "a", b"new")
    assert flushed[-1].st_ino == tmp_path.stat().st_ino
