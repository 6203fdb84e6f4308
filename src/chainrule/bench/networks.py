"""The networks of the benchmark: layers as data, so that every library computes the same thing.

A worker of another library loads this file without the rest of Chainrule: it needs NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

__all__ = [
    "NETWORKS",
    "BatchNorm",
    "Conv",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool",
    "MeanPool",
    "Network",
    "ReLU",
    "Residual",
    "Tanh",
]


@dataclass(frozen=True)
class Linear:
    """x: f32[N,fan_in] -> f32[N,fan_out], y = xWᵀ + b"""

    fan_in: int
    fan_out: int


@dataclass(frozen=True)
class Conv:
    """x: f32[N,C,H,W] -> f32[N,K,P,Q]"""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class BatchNorm:
    """Over N, H and W of x: f32[N,C,H,W], with running averages (momentum 0.1, ε = 1e-5)."""

    channels: int


@dataclass(frozen=True)
class MaxPool:
    """The greatest of each kernel×kernel window."""

    kernel: int
    stride: int


@dataclass(frozen=True)
class ReLU:
    """max(x, 0)"""


@dataclass(frozen=True)
class Tanh:
    """tanh x"""


@dataclass(frozen=True)
class MeanPool:
    """x: f32[N,C,H,W] -> f32[N,C]"""


@dataclass(frozen=True)
class Flatten:
    """x: f32[N,C,H,W] -> f32[N,C·H·W]"""


@dataclass(frozen=True)
class Residual:
    """ReLU(body(x) + shortcut(x)); an empty shortcut is x itself."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...]


Layer = Linear | Conv | BatchNorm | MaxPool | ReLU | Tanh | MeanPool | Flatten | Residual


@dataclass(frozen=True)
class Network:
    """Layers, the shape of a sample, and what one training step is."""

    name: str
    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    classes: int  # 0: values f32[N,1] under the mean squared error, otherwise cross-entropy
    batch: int
    lr: float

    def weights(self, seed: int = 0) -> Iterator[np.ndarray]:
        """The initial parameters, one at a time in the order of the layers, weight before bias.

        U(-a, a) with a = 1/√fan_in in PyTorch's layouts, f32[out,in] and f32[K,C,R,S].
        """
        rng = np.random.default_rng(seed)
        yield from _weights(self.layers, rng)

    def data(self, batch: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """One batch, x: f32[N,...] and labels: i64[N]; for XOR its four points, y: f32[N,1]."""
        if not self.classes:
            x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
            y = np.array([[0], [1], [1], [0]], np.float32)
            return np.resize(x, (batch, 2)), np.resize(y, (batch, 1))
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((batch, *self.input_shape), np.float32)
        return x, rng.integers(0, self.classes, batch)

    def flops(self, batch: int, *, training: bool) -> int:
        """Floating-point operations of the contractions: 2 for each multiply-add.

        A training step computes the outputs, the weights' gradients, and the inputs' gradients of
        all layers but the first.
        """
        costs = [cost for cost, _ in _costs(self.layers, self.input_shape)]
        forward = sum(costs)
        return 2 * batch * (3 * forward - costs[0] if training else forward)


def _weights(layers: tuple[Layer, ...], rng: np.random.Generator) -> Iterator[np.ndarray]:
    for layer in layers:
        if isinstance(layer, Linear):
            yield _uniform(rng, (layer.fan_out, layer.fan_in), layer.fan_in)
            yield _uniform(rng, (layer.fan_out,), layer.fan_in)
        elif isinstance(layer, Conv):
            shape = (layer.channels_out, layer.channels_in, layer.kernel, layer.kernel)
            yield _uniform(rng, shape, prod(shape[1:]))
            if layer.bias:
                yield _uniform(rng, shape[:1], prod(shape[1:]))
        elif isinstance(layer, BatchNorm):
            yield np.ones(layer.channels, np.float32)
            yield np.zeros(layer.channels, np.float32)
        elif isinstance(layer, Residual):
            yield from _weights(layer.body, rng)
            yield from _weights(layer.shortcut, rng)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    values = rng.random(shape, np.float32)
    values -= np.float32(0.5)
    values *= np.float32(2 / fan_in**0.5)
    return values


def _costs(
    layers: tuple[Layer, ...], shape: tuple[int, ...]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(multiply-adds of one sample, shape after it) of every layer that contracts."""
    for layer in layers:
        if isinstance(layer, Residual):
            inside = list(_costs(layer.body, shape))
            yield from inside
            yield from _costs(layer.shortcut, shape)
            shape = inside[-1][1]
            continue
        shape = _shape_after(layer, shape)
        if isinstance(layer, Linear):
            yield layer.fan_in * layer.fan_out, shape
        elif isinstance(layer, Conv):
            yield prod(shape) * layer.channels_in * layer.kernel**2, shape


def _shape_after(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a sample behind a layer that is no Residual."""
    if isinstance(layer, Linear):
        return (layer.fan_out,)
    if isinstance(layer, Flatten):
        return (prod(shape),)
    if isinstance(layer, MeanPool):
        return shape[:1]
    if isinstance(layer, Conv):
        sides = ((n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in shape[1:])
        return (layer.channels_out, *sides)
    if isinstance(layer, MaxPool):
        return (shape[0], *((n - layer.kernel) // layer.stride + 1 for n in shape[1:]))
    return shape


# ---------------------------------------------------------------- the five


def xor() -> Network:
    """2-2-1 with tanh, on its four points."""
    layers = (Linear(2, 2), Tanh(), Linear(2, 1))
    return Network("xor", layers, (2,), classes=0, batch=4, lr=0.1)


def mlp(batch: int = 1, width: int = 1, depth: int = 1) -> Network:
    """784-512-256-10 with ReLU; each number multiplies batch, hidden widths, hidden layers."""
    sizes = [784] + [512 * width] * depth + [256 * width] * depth
    layers: list[Layer] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [Linear(fan_in, fan_out), ReLU()]
    layers.append(Linear(sizes[-1], 10))
    return Network("mlp", tuple(layers), (784,), classes=10, batch=64 * batch, lr=0.01)


def lenet(batch: int = 1, width: int = 1, depth: int = 1) -> Network:
    """LeNet-5 with ReLU; ``depth`` lets each hidden layer be followed by more of its width."""
    c1, c2, f1, f2 = (n * width for n in (6, 16, 120, 84))

    def deeper(channels: int) -> list[Layer]:
        return [Conv(channels, channels, 5, padding=2), ReLU()] * (depth - 1)

    layers = [
        *(Conv(1, c1, 5, padding=2), ReLU(), *deeper(c1), MaxPool(2, 2)),
        *(Conv(c1, c2, 5), ReLU(), *deeper(c2), MaxPool(2, 2), Flatten()),
        *(Linear(25 * c2, f1), ReLU(), *[Linear(f1, f1), ReLU()] * (depth - 1)),
        *(Linear(f1, f2), ReLU(), *[Linear(f2, f2), ReLU()] * (depth - 1)),
        Linear(f2, 10),
    ]
    return Network("lenet", tuple(layers), (1, 28, 28), classes=10, batch=64 * batch, lr=0.01)


def resnet18(batch: int = 1) -> Network:
    """ResNet-18 for pictures of 32×32: a 3×3 stem, no pool behind it."""
    layers: list[Layer] = [Conv(3, 64, 3, padding=1, bias=False), BatchNorm(64), ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_block(channels, width, stride), _block(width, width, 1)]
        channels = width
    layers += [MeanPool(), Linear(512, 10)]
    # Small: with 0.01, PyTorch's own two layouts differ by 1e-3 after three steps.
    return Network("resnet18", tuple(layers), (3, 32, 32), classes=10, batch=32 * batch, lr=0.0003)


def _block(c: int, k: int, stride: int) -> Residual:
    """Two 3×3 convolutions, and a 1×1 one as shortcut where the shape changes."""
    body = (
        *(Conv(c, k, 3, stride, padding=1, bias=False), BatchNorm(k), ReLU()),
        *(Conv(k, k, 3, padding=1, bias=False), BatchNorm(k)),
    )
    same = stride == 1 and c == k
    return Residual(body, () if same else (Conv(c, k, 1, stride, bias=False), BatchNorm(k)))


def alexnet() -> Network:
    """torchvision's AlexNet, 224×224, without dropout: masks can't be shared."""
    layers = (
        *(Conv(3, 64, 11, 4, padding=2), ReLU(), MaxPool(3, 2)),
        *(Conv(64, 192, 5, padding=2), ReLU(), MaxPool(3, 2)),
        *(Conv(192, 384, 3, padding=1), ReLU(), Conv(384, 256, 3, padding=1), ReLU()),
        *(Conv(256, 256, 3, padding=1), ReLU(), MaxPool(3, 2), Flatten()),
        *(Linear(9216, 4096), ReLU(), Linear(4096, 4096), ReLU(), Linear(4096, 1000)),
    )
    return Network("alexnet", layers, (3, 224, 224), classes=1000, batch=16, lr=0.01)


NETWORKS: dict[str, Callable[..., Network]] = {
    "xor": xor,
    "mlp": mlp,
    "lenet": lenet,
    "resnet18": resnet18,
    "alexnet": alexnet,
}
