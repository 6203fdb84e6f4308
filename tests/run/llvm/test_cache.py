import os
import re
import signal
import subprocess
import sys
import time

import pytest

from chainrule.errors import UsageError
from chainrule.run.llvm import cache
from chainrule.run.llvm.cache import Cache, default_cache, key_of

KEY, OTHER = key_of("a"), key_of("b")
BIG = 10**9


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make_older(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def kept(tmp_path):
    return Cache(tmp_path / "kernels", BIG)


def test_what_was_put_is_there(kept):
    assert kept.get("object", KEY) is None
    kept.put("object", KEY, b"code\n\0more")
    kept.put("plan", KEY, b"")
    assert kept.get("object", KEY) == b"code\n\0more"
    assert kept.get("plan", KEY) == b"" and kept.get("object", OTHER) is None
    kept.put("object", KEY, b"new")
    assert kept.get("object", KEY) == b"new" and kept.failures == 0
    assert [(entry.kind, entry.key) for entry in kept.entries()] == [("plan", KEY), ("object", KEY)]
    assert kept.size() == sum(entry.size for entry in kept.entries()) > 0
    kept.clear()
    assert kept.entries() == [] and kept.size() == 0 and names(kept.folder) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_folder_is_private(kept, tmp_path):
    kept.put("object", KEY, b"code")
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    kept.folder.chmod(0o777)  # anybody may put code there
    open_to_all = Cache(kept.folder, BIG)
    assert open_to_all.get("object", KEY) is None


@pytest.mark.parametrize("place", range(0, 120, 7))
def test_a_flipped_bit_anywhere(kept, place):
    content = bytes(range(100))
    kept.put("object", KEY, content)
    (path,) = kept.folder.glob("object-*")
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 4
    path.write_bytes(damaged)
    assert kept.get("object", KEY) is None
    kept.put("object", KEY, content)
    assert kept.get("object", KEY) == content


def test_truncated_and_foreign_entries(kept):
    kept.put("object", KEY, bytes(1000))
    (path,) = kept.folder.glob("object-*")
    whole = path.read_bytes()
    for length in (0, 5, 44, 45, 500, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert kept.get("object", KEY) is None
    path.write_bytes(whole)
    path.rename(path.with_name(f"object-{OTHER}"))
    assert kept.get("object", OTHER) is None
    path.mkdir()
    assert kept.get("object", KEY) is None
    kept.put("object", KEY, b"new")
    assert kept.failures == 1


def test_folders_that_can_not_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", None):
        useless = Cache(folder, BIG)
        useless.put("object", KEY, b"code")
        assert useless.get("object", KEY) is None and useless.entries() == []
        assert useless.failures == 1
        useless.clear()
    off = Cache(tmp_path, 0)
    off.put("object", KEY, b"code")
    assert off.get("object", KEY) is None and names(tmp_path) == ["file"]


def test_a_full_disk(kept, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    kept.put("object", KEY, b"old")
    monkeypatch.setattr("pathlib.Path.replace", full)
    kept.put("object", KEY, b"new")
    kept.put("object", OTHER, b"new")
    assert kept.failures == 2 and kept.get("object", KEY) == b"old"
    assert len(names(kept.folder)) == 2  # the entry and the note of the cleaning


def test_a_read_only_folder(kept, monkeypatch):
    def refused(*arguments):
        raise PermissionError(1, "Operation not permitted")

    kept.put("object", KEY, b"old")
    make_older(kept.folder / f"object-{KEY}", 200_000)
    monkeypatch.setattr("pathlib.Path.replace", refused)  # root may write everywhere
    monkeypatch.setattr(os, "utime", refused)
    assert kept.get("object", KEY) == b"old"
    kept.put("object", OTHER, b"new")
    assert kept.failures == 1 and kept.keep_text(OTHER, "define") is None


def test_the_longest_unused_go_first(tmp_path):
    kept = Cache(tmp_path, 100_000)
    keys = [key_of(str(n)) for n in range(60)]
    for age, key in enumerate(keys):
        kept.put("object", key, bytes(2000))
        path = tmp_path / f"object-{key}"
        if path.exists():
            make_older(path, 200_000 - age)
        assert kept.get("object", keys[0]) is not None  # used, and so kept
    assert 60_000 < kept.size() <= 100_000 + 100_000 // 16 + 2100
    assert kept.get("object", keys[-1]) is not None and kept.get("object", keys[1]) is None


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    kept = Cache(tmp_path, BIG)
    left, young = tmp_path / f".object-{KEY}.1.tmp", tmp_path / f".object-{OTHER}.2.tmp"
    for path in (left, young):
        path.write_bytes(b"half")
    make_older(left, 10_000)
    stranger = tmp_path / "README"
    stranger.write_text("not ours")
    kept.put("object", KEY, b"code")
    assert not left.exists() and young.exists()
    kept.clear()
    assert names(tmp_path) == ["README"]


KILLED = """
import os, signal, sys
from pathlib import Path
from chainrule.run.llvm.cache import Cache
Path.replace = lambda path, to: os.kill(os.getpid(), signal.SIGKILL)
Cache(Path(sys.argv[1]), 10**9).put("object", sys.argv[2], bytes(10**6))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_while_writing(kept):
    kept.put("object", KEY, b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(kept.folder), KEY], check=False)
    assert done.returncode == -signal.SIGKILL
    assert kept.get("object", KEY) == b"old" and len(kept.entries()) == 1
    assert [name for name in names(kept.folder) if name.endswith(".tmp")]


BOTH = """
import sys
from pathlib import Path
from chainrule.run.llvm.cache import Cache, key_of
kept = Cache(Path(sys.argv[1]), 200_000)
for n in range(300):
    key = key_of(str(n % 40))
    kept.put("object", key, key.encode() * 200)
    found = kept.get("object", key_of(str(n * 7 % 40)))
    assert found is None or found == key_of(str(n * 7 % 40)).encode() * 200
assert kept.failures == 0, kept.failures
"""


def test_two_processes_at_once(tmp_path):
    command = [sys.executable, "-c", BOTH, str(tmp_path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


# ---------------------------------------------------------------- keys


def test_an_edited_source_makes_new_keys(tmp_path, monkeypatch):
    assert [folder.name for folder in cache._SOURCES] == ["ops", "compile", "llvm"]
    assert all((folder / "__init__.py").is_file() for folder in cache._SOURCES)
    (tmp_path / "rules").mkdir()
    emitter = tmp_path / "rules" / "emit.py"
    monkeypatch.setattr(cache, "_SOURCES", [tmp_path])
    keys = []
    for text in ("a = 1", "a = 2", "a = 1"):
        cache._digest_of_sources.cache_clear()
        emitter.write_text(text)
        keys.append(key_of("a"))
    emitter.write_text("a = 3")
    assert keys[0] == keys[2] == key_of("a") != keys[1]  # they are read once in a process
    cache._digest_of_sources.cache_clear()


def test_keys_tell_all_their_parts_apart(monkeypatch):
    keys = [KEY, key_of("a", ""), key_of("", "a"), key_of("ab"), key_of("a", "b")]
    monkeypatch.setattr("llvmlite.__version__", "0.1")
    keys.append(key_of("a"))
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


# ---------------------------------------------------------------- the environment


@pytest.fixture
def fresh():
    default_cache.cache_clear()
    yield
    default_cache.cache_clear()


def test_where_the_cache_is(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "3")
    assert default_cache().folder == tmp_path / "here" and default_cache().limit == 3_000_000
    default_cache.cache_clear()
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "3 MB")
    with pytest.raises(UsageError, match=r"\[CHAINRULE_CACHE_SIZE\] got '3 MB', needs a number of"):
        default_cache()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux's")
def test_without_a_home_there_is_no_cache(fresh, monkeypatch, tmp_path):
    monkeypatch.delenv("CHAINRULE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().folder == tmp_path / "chainrule" / "kernels"
    default_cache.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nobody knows the user
    assert default_cache().folder is None
    assert default_cache().get("object", KEY) is None
