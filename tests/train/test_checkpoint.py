import contextlib
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import chainrule as cr
from chainrule import nn, optim, random
from chainrule.errors import CheckpointError
from chainrule.train.checkpoint import load, load_checkpoint, read_checkpoint, save, save_checkpoint


def test_any_nesting_comes_back(tmp_path):
    value = {
        "weights": {"a.b": cr.tensor([[1.0, 2.0]]), "scalar": cr.tensor(3.0)},
        "state": {0: {"step": 5, "moment": cr.zeros(2, dtype=cr.float64)}, 1: {}},
        "more": [1, 2.5, True, None, "ü", (1, [cr.tensor([1, 2])])],
        "$odd": "name",
        "empty": cr.zeros(0, 3),
        "mask": cr.tensor([True, False]),
    }
    save(value, tmp_path / "x.safetensors")
    back = load(tmp_path / "x.safetensors")
    assert repr(back) == repr(value)
    assert back["weights"]["a.b"].dtype is cr.float32
    assert back["state"][0]["moment"].dtype is cr.float64
    assert back["empty"].shape == (0, 3)
    assert back["more"][5][1][0].dtype is cr.int64


def test_files_that_are_open(tmp_path):
    memory = io.BytesIO()
    save({"w": cr.tensor([1.0])}, memory)
    memory.seek(0)
    assert load(memory, map_location="cpu", weights_only=False)["w"].tolist() == [1.0]
    with (tmp_path / "x.pt").open("wb") as file:
        save([cr.tensor([2.0])], file)
    with pytest.raises(cr.DeviceError):
        load(tmp_path / "x.pt", map_location="cuda:0")
    assert load(tmp_path / "x.pt", map_location=cr.device("cpu"))[0].item() == 2
    with pytest.raises(CheckpointError, match="an open file"):
        load(io.BytesIO(b"nothing of the kind"))


def test_other_programs_can_read_it_and_we_read_theirs(tmp_path):
    path = tmp_path / "x.safetensors"
    save({"fc.weight": cr.tensor([1.0, 2.0])}, path)
    assert safetensors.numpy.load_file(path)["fc.weight"].tolist() == [1, 2]
    safetensors.numpy.save_file({"w": np.ones((2, 3), np.float32)}, path)
    assert load(path)["w"].shape == (2, 3)


def test_what_can_not_be_saved_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"got a\.0, a object"):
        save({"a": [object()]}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_pickle_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match=r"a pickle, needs safetensors.*any program"):
        load(tmp_path / "x.pth")


def test_damage_is_found_wherever_it_is(tmp_path):
    path = tmp_path / "x.safetensors"
    save({"w": cr.arange(50.0), "n": 3}, path)
    whole = path.read_bytes()
    for cut in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"x\.safetensors, which is damaged"):
            load(path)
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with contextlib.suppress(CheckpointError):
            assert repr(load(path)) == repr({"w": cr.arange(50.0), "n": 3})


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"which can't be read \(No such file"):
        load(tmp_path / "none")


def small_net():
    random.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return net, optim.Adam(net.parameters(), lr=0.1)


def steps(net, optimizer, n):
    x = cr.tensor([[1.0, 2.0], [3.0, -1.0]])
    for _ in range(n):
        optimizer.zero_grad()
        (net(x + 0.1 * cr.randn(2, 2)) ** 2).mean().backward()
        optimizer.step()
    return [p.tolist() for p in net.parameters()]


def test_training_goes_on_to_the_same_bits(tmp_path):
    net, optimizer = small_net()
    steps(net, optimizer, 3)
    save_checkpoint(tmp_path / "c", net, optimizer, epoch=3)
    wanted = steps(net, optimizer, 3)
    random.manual_seed(99)
    net, optimizer = small_net()
    assert load_checkpoint(tmp_path / "c", net, optimizer)["epoch"] == 3
    assert steps(net, optimizer, 3) == wanted


def test_another_models_checkpoint_is_one_error_with_a_table(tmp_path):
    net, _ = small_net()
    save_checkpoint(tmp_path / "c", net)
    other = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Linear(1, 1))
    before = [p.tolist() for p in other.parameters()]
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path / "c", other)
    text = str(error.value)
    assert "a checkpoint of Sequential" in text
    assert "  0.weight  needs f32[4,2]  has f32[3,2]\n" in text
    assert "  3.bias    needs f32[1]    has nothing" in text
    assert [p.tolist() for p in other.parameters()] == before


def test_a_saved_value_that_is_no_checkpoint(tmp_path):
    save({"a": 1}, tmp_path / "c")
    with pytest.raises(CheckpointError, match="which holds no checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    save({"n": 1}, tmp_path / "c")

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(CheckpointError, match=r"No space left.*What was there before is whole"):
        save({"n": 2}, tmp_path / "c")
    monkeypatch.undo()
    assert load(tmp_path / "c") == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_real_limit_on_the_size_of_files(tmp_path):
    program = """
import resource, signal, sys
import chainrule as cr
from chainrule.train.checkpoint import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
save({"n": 1}, sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    save({"w": cr.zeros(10000)}, sys.argv[1])
except cr.CheckpointError as error:
    print(error)
"""
    path = tmp_path / "c"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "File too large" in done.stdout, done.stderr
    assert load(path) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


KILLED_WHILE_SAVING = """
import os, random, signal, sys, time
import numpy as np
from chainrule.train.checkpoint import load, save

path, last = sys.argv[1], 0
save({"n": 0, "w": np.zeros(100_000)}, path)
for _ in range(50):
    child = os.fork()
    if not child:
        while True:
            last += 1
            save({"n": last, "w": np.full(100_000, float(last))}, path)
    time.sleep(random.uniform(0.002, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    value = load(path)
    assert value["n"] >= last and (value["w"].numpy() == value["n"]).all()
    last = value["n"]
print(last)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_killed_while_saving_fifty_times(tmp_path):
    """After kill -9 at any moment the checkpoint is one that was saved, whole."""
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, tmp_path / "c"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
