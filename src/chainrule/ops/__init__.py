"""MATHEMATICS: what is computed, and its derivative.  No backend is named here.

The rooms: ``op.py`` the contract of an op; ``elementwise.py``, ``history.py``, ``logic.py``,
``reduce.py``, ``movement.py``, ``linear.py``, ``conv.py``, ``pool.py``, ``index.py``,
``labels.py``, ``random.py`` the primitives; ``leaf.py`` where numbers enter; ``scalars.py`` and
``windows.py`` what several of them share.  Importing this package fills the registry.
"""

from chainrule.ops import (
    conv,
    elementwise,
    history,
    index,
    labels,
    leaf,
    linear,
    logic,
    movement,
    pool,
    random,
    reduce,
)
from chainrule.ops.op import REGISTRY, Elementwise, Op, Sample, register

__all__ = [
    "REGISTRY",
    "Elementwise",
    "Op",
    "Sample",
    "conv",
    "elementwise",
    "history",
    "index",
    "labels",
    "leaf",
    "linear",
    "logic",
    "movement",
    "pool",
    "random",
    "reduce",
    "register",
]
