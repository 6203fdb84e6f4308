"""NETWORKS: modules, layers, losses and their functions, under PyTorch's names.

One theme per file: each layer stands beside its function.
"""

from __future__ import annotations

from typing import Any

from chainrule.errors import not_found
from chainrule.nn import functional, init, utils
from chainrule.nn.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from chainrule.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from chainrule.nn.conv import Conv1d, Conv2d, Conv3d
from chainrule.nn.dropout import Dropout, Dropout1d, Dropout2d
from chainrule.nn.embedding import Embedding
from chainrule.nn.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from chainrule.nn.local import LocallyConnected2d
from chainrule.nn.loss import HalfMSELoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from chainrule.nn.loss_binary import BCELoss, BCEWithLogitsLoss, HingeLoss, SoftMarginLoss
from chainrule.nn.loss_class import (
    CrossEntropyLoss,
    KLDivLoss,
    MulticlassSVMLoss,
    MultiMarginLoss,
    NLLLoss,
)
from chainrule.nn.loss_distance import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    TripletMarginLoss,
)
from chainrule.nn.module import Module
from chainrule.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    RMSNorm,
)
from chainrule.nn.padding import (
    ConstantPad1d,
    ConstantPad2d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReplicationPad1d,
    ReplicationPad2d,
    ZeroPad1d,
    ZeroPad2d,
)
from chainrule.nn.parameter import Parameter
from chainrule.nn.pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from chainrule.nn.resize import PixelShuffle, PixelUnshuffle, Upsample
from chainrule.nn.unfold import Fold, Unfold

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Bilinear",
    "CELU",
    "ConstantPad1d",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "ELU",
    "Embedding",
    "Flatten",
    "Fold",
    "functional",
    "GELU",
    "GLU",
    "GroupNorm",
    "HalfMSELoss",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "init",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocallyConnected2d",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MSELoss",
    "MulticlassSVMLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "PixelShuffle",
    "PixelUnshuffle",
    "PReLU",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReLU",
    "ReLU6",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "RMSNorm",
    "SELU",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "Unflatten",
    "Unfold",
    "Upsample",
    "utils",
    "ZeroPad1d",
    "ZeroPad2d",
]


def __getattr__(name: str) -> Any:
    raise not_found("chainrule.nn", name, __all__)
