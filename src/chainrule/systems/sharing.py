"""Fewer weights for the same units: dense, locally connected, shared; counted and trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import func, models, nn, optim, random
from chainrule.data import DataLoader, TensorDataset
from chainrule.dtypes import float64
from chainrule.models.first_layer import KINDS
from chainrule.systems.classification import open_parts
from chainrule.systems.system import Figure, Report, System
from chainrule.tensor import tensor

__all__ = ["LOCALLY_CONNECTED", "connections"]

EPOCHS, BATCH = 12, 32


def connections(n: int) -> dict[str, np.ndarray]:
    """The matrices f64[n,n] of a layer of n units on n numbers, each reading its 3 neighbours.

    They are read off the layers, as Jacobians: "dense" n² numbers, "local" 3n − 2 along three
    diagonals, "shared" the same three on every row.

    >>> [int((matrix != 0).sum()) for matrix in connections(5).values()]
    [25, 13, 13]
    """
    three: Any = {"kernel_size": (1, 3), "padding": (0, 1)}
    exact: Any = {"bias": False, "dtype": float64}  # in f32 two of 10,000 may be the same
    layers = {
        "dense": nn.Linear(n, n, **exact),
        "local": nn.LocallyConnected2d(1, 1, (1, n), **three, **exact),
        "shared": nn.Conv2d(1, 1, **three, **exact),
    }
    x = tensor(np.zeros(n))
    return {name: func.jacrev(_row(layer, n))(x).numpy() for name, layer in layers.items()}


def _row(layer: Any, n: int) -> Any:
    """The layer as a function f64[n] -> f64[n]."""
    shape = (1, n) if isinstance(layer, nn.Linear) else (1, 1, 1, n)
    return lambda x: layer(x.reshape(*shape)).flatten()


def _counts() -> tuple[list[str], list[Figure]]:
    lines, figures = ["units  dense n²  local 3n − 2  shared 3"], []
    for n in (5, 20, 100):
        found = {kind: _different(matrix) for kind, matrix in connections(n).items()}
        lines.append(f"{n:5}  {found['dense']:8,}  {found['local']:12}  {found['shared']:8}")
        wanted = {"dense": n * n, "local": 3 * n - 2, "shared": 3}
        figures += [
            Figure(f"different weights, {kind}, n = {n}", found[kind], equal=wanted[kind])
            for kind in KINDS
        ]
    for name, layer, wanted in (
        ("200×200 to 40,000 units, dense", nn.Linear(40_000, 40_000, bias=False), 1.6e9),
        ("200×200 colours to 1,000 units, dense", nn.Linear(120_000, 1_000, bias=False), 1.2e8),
        ("40,000 units of 10×10, local", nn.LocallyConnected2d(1, 1, 209, 10, bias=False), 4e6),
        ("100 filters of 10×10, shared", nn.Conv2d(1, 100, 10, bias=False), 1e4),
    ):  # nobody reads these weights, so none is ever made
        figures.append(Figure(f"weights, {name}", layer.weight.numel(), equal=wanted))
    return lines, figures


def _different(matrix: np.ndarray) -> int:
    return len(np.unique(matrix[matrix != 0]))


def _trained(kind: str) -> tuple[int, float]:
    """(parameters of the first layer, test accuracy) after 12 epochs on the shipped digits."""
    random.manual_seed(0)
    parts = open_parts("digits")
    pixels, labels = parts["train"].arrays
    loader = DataLoader(TensorDataset(pixels / np.float32(16), labels), BATCH, shuffle=True)
    net: Any = models.first_layer(kind)
    optimizer, loss_of = optim.Adam(net.parameters(), lr=0.01), nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for x, t in loader:
            optimizer.zero_grad()
            loss_of(net(x), t).backward()
            optimizer.step()
    pixels, labels = parts["test"].arrays
    answers = net(tensor(pixels / np.float32(16))).detach().numpy().argmax(axis=1)
    return sum(p.numel() for p in net.first.parameters()), float((answers == labels).mean())


def _compute(data_dir: str | None = None) -> Report:
    lines, figures = _counts()
    before = random.get_state()
    found = {kind: _trained(kind) for kind in KINDS}
    random.set_state(before)
    lines += ["", f"a first layer of 144 units, {EPOCHS} epochs on 1,257 digits of 8×8:"]
    for kind, (parameters, accuracy) in found.items():
        percent = f"{accuracy:.1%}".replace("%", " %")
        lines.append(f"  {kind:6}  {parameters:5,} parameters  test accuracy {percent}")
        figures.append(Figure(f"test accuracy, {kind}", accuracy, at_least=0.9))
    result = {kind: {"parameters": p, "test_accuracy": a} for kind, (p, a) in found.items()}
    return Report(lines, tuple(figures), result, ("train filters", "train lenet"))


LOCALLY_CONNECTED = System("dense, local and shared weights, side by side", compute=_compute)
