"""Scripts that were written for PyTorch."""

import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.cli.output import command
from chainrule.cli.torch_names import torch_is_chainrule
from chainrule.train import open_run

CLASSIC = """
import argparse
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(4 * 3 * 3, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.log_softmax(self.fc1(torch.flatten(self.dropout(x), 1)), dim=1)


def train(model, device, loader, optimizer):
    model.train()
    for data, target in loader:
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()


def test(model, device, loader):
    model.eval()
    total, correct = 0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data.to(device))
            total += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
            _, again = torch.max(output.data, 1)
            assert torch.equal(again, pred.squeeze(1))
    print("loss {:.3f} right {}/{}".format(total / len(loader.dataset), correct, 64))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.rand(64, 1, 8, 8)
    y = (x[:, 0, 0, 0] > 0.5).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = Net().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(args.epochs):
        train(model, device, loader, optimizer)
        test(model, device, torch.utils.data.DataLoader(loader.dataset, batch_size=64))
        scheduler.step()
    torch.save(model.state_dict(), "net.pt")
    model.load_state_dict(torch.load("net.pt"))


if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["chainrule"])
    monkeypatch.setattr(sys, "path", list(sys.path))


def written(text):
    Path("script.py").write_text(text, encoding="utf-8")
    return "script.py"


def test_a_classic_script_runs_unchanged(capsys):
    assert main(["run", written(CLASSIC), "--epochs", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all("right" in line for line in lines)
    losses = [float(line.split()[1]) for line in lines]
    assert losses[-1] < losses[0]
    assert Path("net.pt").is_file()


def test_an_installed_torch_is_neither_loaded_nor_changed():
    marker = object()
    sys.modules["torch.marker"] = marker  # type: ignore[assignment]
    try:
        with torch_is_chainrule():
            import torch

            assert torch.Tensor.__module__.startswith("chainrule.")
            assert "torch.marker" not in sys.modules
        assert sys.modules["torch.marker"] is marker
        assert getattr(sys.modules.get("torch"), "Tensor", None) is not torch.Tensor
    finally:
        del sys.modules["torch.marker"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("import torch.distributed", 1, "torch.distributed is not in Chainrule, which has torch,"),
        (
            "import torch\ntorch.nn.Conv2D",
            1,
            "torch.nn.Conv2D is not in Chainrule; nearest Conv2d (script.py:2)\n",
        ),
        ("import torch\ntorch.ones(2) + torch.ones(3)", 1, "(script.py:2)"),
        ("import sys\nsys.exit(7)", 7, ""),
        ("raise SystemExit('that is all')", 1, "that is all\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_ends(capsys, text, code, says):
    assert main(["run", written(text)]) == code
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) <= 1


def test_a_foreign_error_shows_the_script_alone(capsys):
    assert main(["run", written("def f():\n    return 1 / 0\n\n\nf()\n")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and error.endswith("ZeroDivisionError: division by zero\n")
    assert "runpy" not in error and "cli" not in error


def test_no_script(capsys):
    assert main(["run", "nowhere.py"]) == 2
    assert capsys.readouterr().err == "[run] got nowhere.py, needs a Python file that is there.\n"


def test_torchvision_is_chainrules_data(capsys):
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    for name, kind, array in (
        ("train-images-idx3-ubyte", 3, images),
        ("train-labels-idx1-ubyte", 1, np.array([7, 2], np.uint8)),
    ):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        Path(name).write_bytes(bytes([0, 0, 8, kind]) + sizes + array.tobytes())
    script = """
import torch
from torchvision import datasets, transforms
steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
data = datasets.MNIST(".", train=True, transform=steps)
(x, y), = torch.utils.data.DataLoader(data, batch_size=2, pin_memory=True)
print(tuple(x.shape), y.tolist(), round(x.min().item(), 3), round(x.max().item(), 3))
"""
    assert main(["run", written(script)]) == 0
    assert capsys.readouterr().out == "(2, 1, 28, 28) [7, 2] -1.0 1.0\n"
    assert main(["run", written("from torchvision import transforms as t; t.ToTensors")]) == 1
    assert "torchvision.transforms.ToTensors is not in Chainrule" in capsys.readouterr().err


def test_a_script_that_is_no_python_shows_its_own_line_alone(capsys, tmp_path):
    script = tmp_path / "half.py"
    script.write_text("x = (\n")
    assert main(["run", str(script)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'  File "{script}", line 1') and "runpy" not in error


def test_small_names_of_scripts(capsys):
    script = """
import torch
import torch.backends.cudnn as cudnn
from torch.autograd import Variable
from torchvision.utils import save_image
cudnn.benchmark = True
device = torch.device("mps" if torch.backends.mps.is_available() else "cpu")
x = Variable(torch.FloatTensor(1, 1, 4, 4)).to(device, non_blocking=True)
save_image(x, "x.png")
print(torch.__version__.count("."), torch.accelerator.is_available())
"""
    assert main(["run", written(script)]) == 0
    assert capsys.readouterr().out == "2 False\n"
    assert Path("x.png").is_file()


def test_a_script_that_is_recorded(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys, torch\n"
        "w = torch.ones(3, requires_grad=True)\n"
        "for k in range(3):\n"
        "    w.grad = None\n"
        "    (w * w).sum().backward()\n"
        "    with torch.no_grad():\n"
        "        w -= 0.1 * w.grad\n"
        "print(sys.argv[1:])\n"
    )
    assert main(["run", "--record", "mine.py", "--record", "all"]) == 0
    assert capsys.readouterr().out == (
        "recording into runs/mine-001\n['--record', 'all']\n"
        f"kept 3 of 3 steps; to look at them: {command()} studio mine-001\n"
    )
    records = open_run("last").records
    assert records.steps() == [0, 1, 2]
    assert records.statistics().losses.tolist() == pytest.approx([3, 1.92, 1.2288])
    for verb in ("eval", "summary", "draw", "predict"):
        assert main([verb, "mine-001"]) in (1, 2)
        error = capsys.readouterr().err
        assert "of one's own" in error or "record of a script" in error
    assert main(["train", "--resume", "mine-001"]) == 2
    assert "needs a run of chainrule train. Run the script again." in capsys.readouterr().err
    script.write_text("print(1)")
    assert main(["run", "--record", "mine.py"]) == 0
    assert capsys.readouterr().out.endswith("recorded: the script called no backward()\n")
    assert main(["run", "--record", "often", "mine.py"]) == 2
