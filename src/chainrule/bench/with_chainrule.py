"""The benchmark's networks in Chainrule: a plain loop, or the step through ``cr.compile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn
from chainrule.bench.networks import (
    BatchNorm,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    MeanPool,
    Network,
    Residual,
    Tanh,
)

__all__ = ["Chainrule"]


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return cr.relu(self.body(x) + self.shortcut(x))


class _MeanPool(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x.mean((2, 3))


def _module(layer: Layer) -> nn.Module:
    if isinstance(layer, Linear):
        return nn.Linear(layer.fan_in, layer.fan_out)
    if isinstance(layer, Conv):
        c, k = layer.channels_in, layer.channels_out
        return nn.Conv2d(c, k, layer.kernel, layer.stride, layer.padding, bias=layer.bias)
    if isinstance(layer, BatchNorm):
        return nn.BatchNorm2d(layer.channels)
    if isinstance(layer, MaxPool):
        return nn.MaxPool2d(layer.kernel, layer.stride)
    if isinstance(layer, Residual):
        return _Residual(_sequence(layer.body), _sequence(layer.shortcut))
    if isinstance(layer, MeanPool):
        return _MeanPool()
    if isinstance(layer, Flatten):
        return nn.Flatten()
    return nn.Tanh() if isinstance(layer, Tanh) else nn.ReLU()


def _sequence(layers: tuple[Layer, ...]) -> nn.Module:
    return nn.Sequential(*map(_module, layers)) if layers else nn.Identity()


class Chainrule:
    """One contestant."""

    def __init__(self, network: Network, mode: str, threads: int) -> None:
        cr.set_num_threads(threads)
        self.network, self.mode = network, mode
        self.model = _sequence(network.layers)
        with cr.no_grad():
            for p, w in zip(self.model.parameters(), network.weights(), strict=True):
                p.copy_(cr.from_numpy(w))
        self.optimizer = cr.optim.SGD(self.model.parameters(), lr=network.lr, momentum=0.9)
        x, y = network.data(network.batch)
        self.x, self.y = cr.tensor(x), cr.tensor(y)
        self.criterion = nn.CrossEntropyLoss() if network.classes else nn.MSELoss()
        self._step: Any = self._plain
        if mode == "compiled":
            self._step = cr.compile(self._plain)

    def _plain(self, x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def step(self) -> None:
        """One training step."""
        self.last = self._step(self.x, self.y)

    def wait(self) -> None:
        """Until all that was recorded is computed."""
        cr.synchronize()

    def loss(self) -> float:
        """Of the last step."""
        return self.last.item()

    def learning_rate(self, lr: float) -> None:
        """Of the steps from now on."""
        self.optimizer.param_groups[0]["lr"] = lr

    def inference(self, batch: int) -> Callable[[], np.ndarray]:
        """A function that computes the outputs of a batch."""
        self.model.eval()
        x = cr.tensor(self.network.data(batch)[0])
        model = cr.compile(lambda x: self.model(x)) if self.mode == "compiled" else self.model

        def infer() -> np.ndarray:
            with cr.no_grad():
                return model(x).numpy()

        return infer
