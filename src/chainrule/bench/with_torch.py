"""The benchmark's networks in PyTorch: eager, channels_last, or through torch.compile."""

# A peer need not be there, and is not typed in all its parts.
# pyright: reportMissingImports=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

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

__all__ = ["Torch"]


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class _MeanPool(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
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
    return nn.Tanh() if isinstance(layer, Tanh) else nn.ReLU(inplace=True)


def _sequence(layers: tuple[Layer, ...]) -> nn.Module:
    return nn.Sequential(*map(_module, layers)) if layers else nn.Identity()


class Torch:
    """One contestant; its optimizer is the fused one, the fastest of PyTorch's three."""

    def __init__(self, network: Network, mode: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.network, self.mode = network, mode
        self.model = _sequence(network.layers)
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), network.weights(), strict=True):
                p.copy_(torch.from_numpy(w))
        if mode == "channels_last":
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=network.lr, momentum=0.9, fused=True
        )
        self.x, self.y = self._batch(network.batch)
        self.criterion = nn.CrossEntropyLoss() if network.classes else nn.MSELoss()
        self.objective: Callable[..., torch.Tensor] = self._objective
        if mode == "compile":
            self.objective = torch.compile(self._objective, dynamic=False)

    def _batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = map(torch.from_numpy, self.network.data(size))
        if self.mode == "channels_last":
            x = x.contiguous(memory_format=torch.channels_last)
        return x, y

    def _objective(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.model(x), y)

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        self.last = self.objective(self.x, self.y)
        self.last.backward()
        self.optimizer.step()

    def wait(self) -> None:
        """Nothing: PyTorch's operations on the CPU are done when they return."""

    def loss(self) -> float:
        """Of the last step."""
        return self.last.item()

    def learning_rate(self, lr: float) -> None:
        """Of the steps from now on."""
        self.optimizer.param_groups[0]["lr"] = lr

    def inference(self, batch: int) -> Callable[[], np.ndarray]:
        """A function that computes the outputs of a batch."""
        self.model.eval()
        model, (x, _) = self.model, self._batch(batch)
        if self.mode == "compile":
            model = torch.compile(model, dynamic=False)

        def infer() -> np.ndarray:
            with torch.inference_mode():
                return model(x).numpy()

        return infer
