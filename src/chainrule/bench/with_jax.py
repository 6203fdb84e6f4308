"""The benchmark's networks in JAX: the whole step under jit, its state donated.

Pictures are f32[N,H,W,C], the layout in which XLA is fastest on a CPU.
"""

# A peer need not be there, and is not typed in all its parts.
# pyright: reportMissingImports=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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

__all__ = ["Jax"]

LAYOUT = ("NHWC", "HWIO", "NHWC")


def _forward(
    layers: tuple[Layer, ...], params: Iterator[Any], x: Any, running: Iterator[Any] | None
) -> tuple[Any, list[Any]]:
    """The outputs, and each batch norm's (mean, variance) of this batch.

    ``running``: the averages to normalise with instead, where nothing is trained.
    """
    moments: list[Any] = []
    for layer in layers:
        if isinstance(layer, Linear):
            x = x @ next(params) + next(params)
        elif isinstance(layer, Conv):
            pads = [(layer.padding, layer.padding)] * 2
            strides = (layer.stride, layer.stride)
            x = lax.conv_general_dilated(x, next(params), strides, pads, dimension_numbers=LAYOUT)
            x = x + next(params) if layer.bias else x
        elif isinstance(layer, BatchNorm):
            x, found = _batch_norm(x, next(params), next(params), running)
            moments.append(found)
        elif isinstance(layer, MaxPool):
            window, stride = (1, layer.kernel, layer.kernel, 1), (1, layer.stride, layer.stride, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, stride, "VALID")
        elif isinstance(layer, Residual):
            y, inside = _forward(layer.body, params, x, running)
            z, beside = _forward(layer.shortcut, params, x, running)
            moments += inside + beside
            x = jax.nn.relu(y + z)
        elif isinstance(layer, MeanPool):
            x = x.mean((1, 2))
        elif isinstance(layer, Flatten):  # the weights behind it expect f32[N,C,H,W]
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        else:
            x = jnp.tanh(x) if isinstance(layer, Tanh) else jax.nn.relu(x)
    return x, moments


def _batch_norm(x: Any, gain: Any, shift: Any, running: Iterator[Any] | None) -> tuple[Any, Any]:
    if running is None:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    else:
        mean, var = next(running)
    y = (x - mean) * (lax.rsqrt(var + 1e-5) * gain) + shift
    count = x.size // x.shape[-1]
    return y, (mean, var * (count / max(count - 1, 1)))


def _averages(layers: tuple[Layer, ...]) -> Iterator[tuple[Any, Any]]:
    for layer in layers:
        if isinstance(layer, BatchNorm):
            yield jnp.zeros(layer.channels), jnp.ones(layer.channels)
        elif isinstance(layer, Residual):
            yield from _averages(layer.body)
            yield from _averages(layer.shortcut)


def _own_layout(w: np.ndarray) -> Any:
    """f32[out,in] -> f32[in,out] and f32[K,C,R,S] -> f32[R,S,C,K]"""
    if w.ndim == 4:
        w = w.transpose(2, 3, 1, 0)
    return jnp.asarray(np.ascontiguousarray(w.T if w.ndim == 2 else w))


class Jax:
    """One contestant; ``threads`` is obeyed by the cores that the process may use."""

    def __init__(self, network: Network, mode: str, threads: int) -> None:
        self.network = network
        params = [_own_layout(w) for w in network.weights()]
        running = list(_averages(network.layers))
        self.state = (params, [jnp.zeros_like(p) for p in params], running)
        self.x, self.y = self._batch(network.batch)
        self.lr = network.lr
        self._step = jax.jit(self._train, donate_argnums=0)

    def _batch(self, size: int) -> tuple[Any, Any]:
        x, y = self.network.data(size)
        return jnp.asarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x), jnp.asarray(y)

    def _objective(self, params: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
        out, moments = _forward(self.network.layers, iter(params), x, None)
        if not self.network.classes:
            return jnp.mean((out - y) ** 2), moments
        rows = jax.nn.log_softmax(out)
        return -jnp.take_along_axis(rows, y[:, None], 1).mean(), moments

    def _train(self, state: Any, x: Any, y: Any, lr: Any) -> tuple[Any, Any]:
        params, momenta, running = state
        (loss, moments), grads = jax.value_and_grad(self._objective, has_aux=True)(params, x, y)
        momenta = [0.9 * v + g for v, g in zip(momenta, grads, strict=True)]
        params = [p - lr * v for p, v in zip(params, momenta, strict=True)]
        running = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, running, moments)
        return (params, momenta, running), loss

    def step(self) -> None:
        """One training step; it may still run when this returns."""
        self.state, self.last = self._step(self.state, self.x, self.y, self.lr)

    def wait(self) -> None:
        """Until the last step is done."""
        jax.block_until_ready(self.state)

    def loss(self) -> float:
        """Of the last step."""
        return float(self.last)

    def learning_rate(self, lr: float) -> None:
        """Of the steps from now on."""
        self.lr = lr

    def inference(self, batch: int) -> Callable[[], np.ndarray]:
        """A function that computes the outputs of a batch."""
        x, _ = self._batch(batch)
        params, _, running = self.state

        @jax.jit
        def outputs(params: Any, running: Any, x: Any) -> Any:
            return _forward(self.network.layers, iter(params), x, iter(running))[0]

        return lambda: np.asarray(outputs(params, running, x))
