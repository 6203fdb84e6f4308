"""small.pth is what PyTorch 2.13 saved of Sequential(Linear(2, 3), BatchNorm1d(3)).state_dict()."""

import io
import pickle
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule import nn
from chainrule.errors import CheckpointError
from chainrule.train.checkpoint import load, save

SMALL = Path(__file__).with_name("small.pth").read_bytes()


def packed(program, storages=(), compression=zipfile.ZIP_STORED):
    """An archive as ``torch.save`` makes it, with any pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a/data.pkl", program)
        for key, array in enumerate(storages):
            archive.writestr(f"a/data/{key}", array.tobytes())
    return file.getvalue()


def loaded(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    return load(tmp_path / "x.pth")


def test_a_state_dict_of_pytorch(tmp_path):
    state = loaded(tmp_path, SMALL)
    assert list(state) == [
        "0.weight", "0.bias", "1.weight", "1.bias",
        "1.running_mean", "1.running_var", "1.num_batches_tracked",
    ]  # fmt: skip
    assert state["0.weight"].shape == (3, 2) and state["1.num_batches_tracked"].item() == 0
    np.testing.assert_allclose(state["0.bias"].numpy(), [-0.01401, 0.56066, -0.06275], atol=1e-5)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net.load_state_dict(state)
    assert net[0].weight.tolist() == state["0.weight"].tolist()


class Calls:
    """A pickle of this calls a function of any library when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_function_is_called(tmp_path):
    program = pickle.dumps({"w": Calls(tmp_path / "called")}, 2)
    with pytest.raises(CheckpointError, match=r"x\.pth with pathlib\.Path\.touch|NEWOBJ|getattr"):
        loaded(tmp_path, packed(program))
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "with os.system"),
        (b"\x80\x02ctorch\nHalfStorage\n.", "numbers of type Half"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "memo beyond its length"),
        (b"\x80\x02I1\n.", "the pickle instruction INT"),
        (b"\x80\x02]q\x00h\x00a.", "more parts"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x01\x00\x00\x00aNs\x86b.", "an attr"),
        (b"\x80\x02ctorch\nFloatStorage\n.", "a storage without a tensor"),
    ],
)
def test_what_a_pickle_may_not_do(tmp_path, program, says):
    with pytest.raises(CheckpointError, match=says):
        loaded(tmp_path, packed(program))


def test_a_small_file_that_unpacks_to_a_large_one(tmp_path):
    bomb = packed(b"\x80\x02" + b"]" * 10**7 + b".", compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    with pytest.raises(CheckpointError, match="compressed parts"):
        loaded(tmp_path, bomb)


def test_lists_in_lists_that_would_fill_the_memory(tmp_path):
    layers = b"]q\x00" + b"".join(b"](" + b"h%c" % k * 9 + b"eq%c" % (k + 1) for k in range(30))
    with pytest.raises(CheckpointError, match="more parts than it has instructions"):
        loaded(tmp_path, packed(b"\x80\x02" + layers + b"."))


def damaged(whole, chance):
    """A copy that is cut, or has wrong, missing or added bytes."""
    copy = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(max(len(copy), 1))
        match chance.randrange(5):
            case 0:
                copy[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                copy[place : place + 1] = bytes([copy[place] ^ (1 << chance.randrange(8))])
            case 2:
                del copy[place : place + chance.randrange(1, 40)]
            case 3:
                copy[place:place] = bytes(chance.randrange(256) for _ in range(8))
            case 4:
                del copy[place:]
        if not copy:
            break
    return bytes(copy)


def whole_safetensors(tmp_path):
    value = {"model": {"w": np.arange(40.0), "b": np.ones((2, 3), np.int64)}, "epoch": 3}
    save(value, tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_thousand_damaged_copies(tmp_path, kind):
    """A clear error or the right data, in little memory."""
    whole = SMALL if kind == "pth" else whole_safetensors(tmp_path)
    wanted, chance, errors = loaded(tmp_path, whole), random.Random(1), []
    tracemalloc.start()
    for _ in range(1000):
        try:
            found = loaded(tmp_path, damaged(whole, chance))
        except CheckpointError as error:
            errors.append(str(error))
        else:
            assert repr(found) == repr(wanted)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(errors) > 400 and all(text.startswith("[load] got ") for text in errors)
    assert most < 20e6
