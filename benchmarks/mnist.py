"""LeNet-5 on MNIST by one recipe, here and in PyTorch: ``python benchmarks/mnist.py FOLDER``.

Both begin with the same weights and see the same batches in the same order: 64 images, SGD with
Nesterov momentum 0.9 and weight decay 5e-4, a learning rate up to 0.05 and down a cosine.  Each
loop is written as its library's users write it.  FOLDER has MNIST's four files.  PyTorch is left
out where it is missing.  Times are those of training alone; the test images are read after each
epoch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from importlib.util import find_spec
from math import cos, pi
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.models.lenet import LeNet5

BATCH, PEAK, WANTED = 64, 0.05, 0.989
OPTIONS = {"lr": PEAK, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}


class Recipe:
    """The images f32[N,1,28,28] from 0 to 1 with labels i64[N], and the order of the batches."""

    def __init__(self, folder: Path, epochs: int) -> None:
        train, test = cr.data.MNIST(folder), cr.data.MNIST(folder, train=False)
        self.images, self.labels = train.__getitems__(range(len(train)))
        self.test_images, self.test_labels = test.__getitems__(range(len(test)))
        self.epochs, self.steps = epochs, len(train) // BATCH

    def batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Images, labels and learning rate of the steps; a short last batch is left out."""
        order = np.random.default_rng(epoch).permutation(len(self.images))
        for step in range(self.steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            done = (epoch + step / self.steps) / self.epochs
            lr = PEAK * min(done / 0.2, (1 + cos(pi * max(0.0, done - 0.2) / 0.8)) / 2)
            yield self.images[rows], self.labels[rows], lr


class InChainrule:
    """The recipe as a compiled step."""

    name = "Chainrule"

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.net = LeNet5()
        self.net.load_state_dict({name: cr.tensor(value) for name, value in weights.items()})
        self.optimizer = cr.optim.SGD(self.net.parameters(), **OPTIONS)
        self.step = cr.compile(self._step)

    def _step(self, images: cr.Tensor, labels: cr.Tensor) -> None:
        self.optimizer.zero_grad()
        cr.nn.functional.cross_entropy(self.net(images), labels).backward()
        self.optimizer.step()

    def train(self, images: np.ndarray, labels: np.ndarray, lr: float) -> None:
        """One step."""
        self.optimizer.param_groups[0]["lr"] = lr
        self.step(cr.tensor(images), cr.tensor(labels))

    def classes(self, images: np.ndarray) -> np.ndarray:
        """The class of each image."""
        with cr.no_grad():
            return self.net(cr.tensor(images)).argmax(1).numpy()


class InPyTorch:
    """The recipe in eager PyTorch, with its fused optimizer."""

    name = "PyTorch"

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        import torch
        from torch import nn

        self.torch = torch
        torch.set_num_threads(cr.get_num_threads())
        layers = {
            "conv1": nn.Conv2d(1, 6, 5, padding=2),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(2),
            "conv2": nn.Conv2d(6, 16, 5),
            "relu2": nn.ReLU(),
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(400, 120),
            "relu3": nn.ReLU(),
            "fc2": nn.Linear(120, 84),
            "relu4": nn.ReLU(),
            "fc3": nn.Linear(84, 10),
        }
        self.net = nn.Sequential()
        for name, layer in layers.items():
            self.net.add_module(name, layer)
        self.net.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        self.optimizer = torch.optim.SGD(self.net.parameters(), **OPTIONS, fused=True)

    def train(self, images: np.ndarray, labels: np.ndarray, lr: float) -> None:
        """One step."""
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.zero_grad()
        scores = self.net(self.torch.from_numpy(images))
        self.torch.nn.functional.cross_entropy(scores, self.torch.from_numpy(labels)).backward()
        self.optimizer.step()

    def classes(self, images: np.ndarray) -> np.ndarray:
        """The class of each image."""
        with self.torch.no_grad():
            return self.net(self.torch.from_numpy(images)).argmax(1).numpy()


def main() -> None:
    """Train in turn, an epoch each, and say when each of them reads 98.9 % rightly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    cr.manual_seed(0)
    recipe = Recipe(options.folder, options.epochs)
    weights = {name: value.numpy() for name, value in LeNet5().state_dict().items()}
    kinds = [InChainrule, InPyTorch] if find_spec("torch") else [InChainrule]
    runs = [kind(weights) for kind in kinds]
    seconds = dict.fromkeys(runs, 0.0)
    reached: dict[object, float] = {}
    for epoch in range(options.epochs):
        for run in runs:
            begun = time.perf_counter()
            for images, labels, lr in recipe.batches(epoch):
                run.train(images, labels, lr)
            seconds[run] += time.perf_counter() - begun
            right = np.mean(run.classes(recipe.test_images) == recipe.test_labels)
            if right >= WANTED:
                reached.setdefault(run, seconds[run])
            print(f"epoch {epoch + 1:2d}  {run.name:9}  {right:.2%}  {seconds[run]:6.1f} s")
    for run in runs:
        when = f"{reached[run]:.1f} s" if run in reached else "never"
        print(f"{run.name}: {WANTED:.1%} after {when}, all {seconds[run]:.1f} s")


if __name__ == "__main__":
    main()
