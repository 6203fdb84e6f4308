"""What torch.save writes, read without torch."""

import numpy as np
import pytest

from chainrule import nn
from chainrule.errors import CheckpointError
from chainrule.train.checkpoint import load

pytestmark = pytest.mark.parity


@pytest.fixture
def torch():
    import torch

    torch.manual_seed(0)
    return torch


def test_everything_that_a_training_saves(torch, tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
    net(torch.randn(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    base = torch.arange(12.0)
    saved = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "views": [base[2:8].reshape(2, 3).t(), base[::3], base],
        "others": (torch.tensor(1.5).double(), torch.tensor([True]), torch.zeros(0, 3), None, "ü"),
        "integers": [torch.tensor([1, 2], dtype=kind) for kind in (torch.int32, torch.uint8)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(saved, tmp_path / "c.pth")
    found = load(tmp_path / "c.pth")

    def same(a, b):
        if isinstance(b, dict):
            return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
        if isinstance(b, list | tuple):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(b, torch.Tensor):
            b = b.detach().numpy()
            return np.asarray(a).dtype == b.dtype and np.array_equal(np.asarray(a), b)
        return a == b

    assert same(found, saved)
    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ours.load_state_dict(found["model"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda torch: torch.nn.Linear(2, 2), "NEWOBJ|torch.nn"),
        (lambda torch: {"h": torch.ones(2).half()}, r"numbers of type Half \(\.float\(\) first\)"),
        (lambda torch: [torch.ones(1).expand(10**9)], "beyond its storage"),
        (lambda torch: [print], "print"),
    ],
)
def test_what_is_refused(torch, tmp_path, make, says):
    torch.save(make(torch), tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=says):
        load(tmp_path / "c.pth")


def test_the_old_format_says_how_to_save_again(torch, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"a pickle, needs safetensors or a \.pth"):
        load(tmp_path / "c.pth")
