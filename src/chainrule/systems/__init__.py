"""SYSTEMS: what ``chainrule train NAME`` trains or computes, from one unit to whole networks."""

from __future__ import annotations

from chainrule.systems.boards import LOGISTIC, LOGISTIC_L2, MULTIVARIATE, NEURON, TWO_LAYER
from chainrule.systems.classification import (
    LENET,
    LENET_1998,
    LENET_LECTURE,
    MLP,
    SOFTMAX_REGRESSION,
)
from chainrule.systems.counts import JACOBIAN_ORDER, WHY_BACKPROP
from chainrule.systems.filtering import FILTERS
from chainrule.systems.inpainting import INPAINT_MLP
from chainrule.systems.matching import TEMPLATE_MATCHING
from chainrule.systems.perceptrons import MLP_BINARY, MLP_REGRESSION
from chainrule.systems.retrieval import RETRIEVAL
from chainrule.systems.sharing import LOCALLY_CONNECTED
from chainrule.systems.system import Figure, Parts, Recipe, Report, System
from chainrule.systems.xor import XOR, XOR_2_2_1

__all__ = ["SYSTEMS", "Figure", "Parts", "Recipe", "Report", "System"]

SYSTEMS: dict[str, System] = {
    "logistic": LOGISTIC,
    "logistic-l2": LOGISTIC_L2,
    "multivariate": MULTIVARIATE,
    "neuron": NEURON,
    "two-layer": TWO_LAYER,
    "xor": XOR,
    "xor-2-2-1": XOR_2_2_1,
    "why-backprop": WHY_BACKPROP,
    "jacobian-order": JACOBIAN_ORDER,
    "filters": FILTERS,
    "locally-connected": LOCALLY_CONNECTED,
    "template-matching": TEMPLATE_MATCHING,
    "retrieval": RETRIEVAL,
    "softmax-regression": SOFTMAX_REGRESSION,
    "mlp-binary": MLP_BINARY,
    "mlp-regression": MLP_REGRESSION,
    "mlp": MLP,
    "lenet": LENET,
    "lenet-1998": LENET_1998,
    "lenet-lecture": LENET_LECTURE,
    "inpaint-mlp": INPAINT_MLP,
}
