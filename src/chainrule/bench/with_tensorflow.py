"""AlexNet in TensorFlow's graph mode; the other networks' layers are not spelt here."""

# A peer need not be there, and is not typed in all its parts.
# pyright: reportMissingImports=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from chainrule.bench.networks import Conv, Flatten, Linear, MaxPool, Network, ReLU

__all__ = ["TensorFlow"]


def _own_layout(w: np.ndarray) -> Any:
    """f32[out,in] -> f32[in,out] and f32[K,C,R,S] -> f32[R,S,C,K]"""
    if w.ndim == 4:
        w = w.transpose(2, 3, 1, 0)
    return tf.Variable(np.ascontiguousarray(w.T if w.ndim == 2 else w))


class TensorFlow:
    """One contestant; pictures are f32[N,H,W,C]."""

    def __init__(self, network: Network, mode: str, threads: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.network = network
        self.params = [_own_layout(w) for w in network.weights()]
        self.momenta = [tf.Variable(tf.zeros_like(p)) for p in self.params]
        self.x, self.y = self._batch(network.batch)
        self.lr = tf.Variable(network.lr)
        self._step = tf.function(self._train)

    def _batch(self, size: int) -> tuple[Any, Any]:
        x, y = self.network.data(size)
        return tf.constant(np.ascontiguousarray(x.transpose(0, 2, 3, 1))), tf.constant(y)

    def _forward(self, params: Iterator[Any], x: Any) -> Any:
        for layer in self.network.layers:
            if isinstance(layer, Linear):
                x = tf.nn.bias_add(x @ next(params), next(params))
            elif isinstance(layer, Conv):
                p = [layer.padding] * 2
                x = tf.nn.conv2d(x, next(params), layer.stride, [[0, 0], p, p, [0, 0]])
                x = tf.nn.bias_add(x, next(params)) if layer.bias else x
            elif isinstance(layer, MaxPool):
                x = tf.nn.max_pool2d(x, layer.kernel, layer.stride, "VALID")
            elif isinstance(layer, Flatten):  # the weights behind it expect f32[N,C,H,W]
                x = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (x.shape[0], -1))
            elif isinstance(layer, ReLU):
                x = tf.nn.relu(x)
            else:
                raise NotImplementedError(f"{type(layer).__name__} is not spelt in TensorFlow here")
        return x

    def _train(self, x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            out = self._forward(iter(self.params), x)
            rows = tf.nn.sparse_softmax_cross_entropy_with_logits(y, out)
            loss = tf.reduce_mean(rows)
        grads = tape.gradient(loss, self.params)
        for p, v, g in zip(self.params, self.momenta, grads, strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=p.handle, accum=v.handle, lr=self.lr, grad=g, momentum=0.9, use_locking=False
            )
        return loss

    def step(self) -> None:
        """One training step."""
        self.last = self._step(self.x, self.y)

    def wait(self) -> None:
        """Until the last step is done."""
        self.last.numpy()

    def loss(self) -> float:
        """Of the last step."""
        return float(self.last)

    def learning_rate(self, lr: float) -> None:
        """Of the steps from now on."""
        self.lr.assign(lr)

    def inference(self, batch: int) -> Callable[[], np.ndarray]:
        """A function that computes the outputs of a batch."""
        x, _ = self._batch(batch)
        outputs = tf.function(lambda x: self._forward(iter(self.params), x))
        return lambda: outputs(x).numpy()
