"""What a handle holds, and when pending work is computed.

A ``Tensor`` is a handle on a ``Storage``: the node of its present value and a version.  Recording
an op makes a ``Recorded`` node and computes nothing; the thread's ``Recorder`` collects everything
that is *pending and alive* into one ``Program`` when somebody looks.  Four guarantees bind:

* PyTorch's numbers: a write gives the storage a new node, so the graph stays pure under aliasing.
* No node is computed twice.
* Looking is free and changes nothing.
* Memory is flat in a loop: a computed node drops its inputs unless it can still be differentiated,
  and its value unless somebody holds it or a later backward reads it.

Lifetimes are counted, not traced: ``holders`` counts handles, ``saves`` counts the readers in
histories that can still be differentiated.  Nodes refer to inputs only, so nothing waits for the
garbage collector.
"""

from chainrule.storage.counters import Stats, stats
from chainrule.storage.node import (
    COMPUTED,
    FAILED,
    PENDING,
    Hold,
    Leaf,
    Recorded,
    Storage,
    in_order,
)
from chainrule.storage.pending import Recorder, Row, recorder
from chainrule.storage.program import Program

__all__ = [
    "COMPUTED",
    "FAILED",
    "PENDING",
    "Hold",
    "Leaf",
    "Program",
    "Recorded",
    "Recorder",
    "Row",
    "Stats",
    "Storage",
    "in_order",
    "recorder",
    "stats",
]
