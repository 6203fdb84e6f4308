"""The functions of neural networks, under PyTorch's names: ``import chainrule.nn.functional as F``.

Each is written beside its layer, in the file of its theme; here is the list.
"""

from __future__ import annotations

from typing import Any

from chainrule.errors import not_found
from chainrule.nn.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from chainrule.nn.conv import conv1d, conv2d, conv3d
from chainrule.nn.dropout import dropout, dropout1d, dropout2d
from chainrule.nn.embedding import embedding, one_hot
from chainrule.nn.linear import bilinear, linear
from chainrule.nn.local import locally_connected2d
from chainrule.nn.loss import half_mse_loss, huber_loss, l1_loss, mse_loss, smooth_l1_loss
from chainrule.nn.loss_binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_loss,
    soft_margin_loss,
)
from chainrule.nn.loss_class import (
    cross_entropy,
    kl_div,
    multi_margin_loss,
    multiclass_svm_loss,
    nll_loss,
)
from chainrule.nn.loss_distance import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    triplet_margin_loss,
)
from chainrule.nn.norm import (
    batch_norm,
    group_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from chainrule.nn.padding import pad
from chainrule.nn.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from chainrule.nn.resize import interpolate, pixel_shuffle, pixel_unshuffle
from chainrule.nn.unfold import fold, unfold

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "fold",
    "gelu",
    "glu",
    "group_norm",
    "half_mse_loss",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "locally_connected2d",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multiclass_svm_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "unfold",
]


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.nn.functional", name, __all__)
