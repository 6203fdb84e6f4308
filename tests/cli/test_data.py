import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.data.sources import SOURCES


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    return tmp_path


def put_mnist(folder):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_list_says_what_is_where(capsys, folder):
    put_mnist(folder / "MNIST")
    assert main(["data"]) == 0
    shown = {line.split()[0]: line for line in lines(capsys) if line}
    assert shown["digits"].endswith("shipped") and "8×8" in shown["digits"]
    assert shown["mnist"].endswith(f"12 MB  {folder / 'MNIST'}")
    assert shown["kmnist"].endswith("21 MB  not here")
    assert shown["two-moons"].endswith("made here")
    assert all(len(line) <= 80 for line in shown.values() if str(folder) not in line)
    assert main(["data", "list", "--json", "--data-dir", str(folder)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mnist"]["present"] and not rows["cifar10"]["present"]
    assert rows["mnist"]["where"] == str(folder / "MNIST")


def test_show_digits(capsys):
    assert main(["data", "show", "digits"]) == 0
    shown = lines(capsys)
    assert shown[0] == "train       images u8[1257,1,8,8], labels i64[1257]"
    assert shown[5].split() == ["0", "124", "18", "36"]
    assert any("█" in line for line in shown)
    assert main(["data", "show", "digits", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parts"]["test"]["samples"] == 360 == sum(facts["parts"]["test"]["counts"])


def test_show_a_set_in_a_folder(capsys, folder):
    put_mnist(folder / "mnist")
    assert main(["data", "show", "mnist"]) == 0
    shown = lines(capsys)
    assert shown[0] == "train       images u8[20,1,28,28], labels i64[20]"
    assert len(shown) == 2 + 1 + 1 + 10 + 1 + 2 * 7
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("name", ["two-moons", "sine", "friedman"])
def test_show_what_is_made_here(capsys, name):
    assert main(["data", "show", name]) == 0
    shown = lines(capsys)
    assert "samples: inputs f32[" in shown[1] and len(shown) == 2 + 12
    assert main(["data", "show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


def test_get_when_it_is_there(capsys, folder):
    put_mnist(folder / "mnist")
    assert main(["data", "get", "mnist"]) == 0
    assert lines(capsys) == [f"mnist is already in {folder / 'mnist'}"]
    assert main(["data", "get", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["where"] == "shipped"


def test_get_offline_names_homes_files_and_the_folder(capsys, monkeypatch, folder):
    homes = ("http://127.0.0.1:9/one/", "http://127.0.0.1:9/two/")
    monkeypatch.setitem(SOURCES, "kmnist", replace(SOURCES["kmnist"], homes=homes))
    assert main(["data", "get", "kmnist"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    for words in ("127.0.0.1:9/one/", "127.0.0.1:9/two/", "t10k-labels-idx1-ubyte.gz"):
        assert words in told.err
    assert f"into {folder / 'kmnist'}" in told.err


def test_get_tells_each_file(capsys, monkeypatch, folder):
    def pretend(name, data_dir, progress):
        for so_far in (5, 10):
            progress("a.gz", so_far, 2_500_000)
        return folder / name

    monkeypatch.setattr("chainrule.cli.data.download", pretend)
    monkeypatch.setattr("chainrule.cli.data.open_dataset", lambda *which: None)
    assert main(["data", "get", "mnist"]) == 0
    assert lines(capsys) == ["getting a.gz (2.5 MB)", f"mnist is now in {folder / 'mnist'}"]
    assert main(["data", "get", "mnist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["downloaded"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["shwo"], "Did you mean show?"),
        (["show", "mnits"], "Did you mean mnist?"),
        (["show"], "got no NAME, needs one of digits, mnist"),
        (["get", "spirals"], "needs one of mnist"),
    ],
)
def test_wrong_use(capsys, words, error):
    assert main(["data", *words]) == 2
    assert error in capsys.readouterr().err


def test_missing_and_damaged_files(capsys, folder):
    assert main(["data", "show", "mnist"]) == 1
    assert "chainrule data get mnist" in capsys.readouterr().err
    put_mnist(folder / "mnist")
    (folder / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"<html>gone</html>")
    assert main(["data", "show", "mnist"]) == 1
    error = capsys.readouterr().err
    assert "a web page (HTML)" in error and len(error.splitlines()) == 1
    assert main(["data", "get", "mnist"]) == 1
    assert "Delete it and get it again" in capsys.readouterr().err
