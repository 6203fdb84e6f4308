"""SYSTEMS: what ``chainrule train NAME`` trains or computes, from one unit to whole networks."""

from __future__ import annotations

from chainrule.systems.classification import LENET
from chainrule.systems.system import Figure, Parts, Recipe, Report, System
from chainrule.systems.xor import XOR

__all__ = ["SYSTEMS", "Figure", "Parts", "Recipe", "Report", "System"]

SYSTEMS: dict[str, System] = {
    "lenet": LENET,
    "xor": XOR,
}
