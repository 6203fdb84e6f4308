"""INSPECT: what is seen of a model or a step: the board of back-propagation, pictures, counts."""

from chainrule.inspect.cost import cost, jacobian_order, why_backprop
from chainrule.inspect.draw import Drawing, draw
from chainrule.inspect.explain import Explanation, explain
from chainrule.inspect.overview import Overview
from chainrule.inspect.presets import PRESETS, explain_preset
from chainrule.inspect.summary import Summary, summary
from chainrule.inspect.wiring import wiring

__all__ = [
    "PRESETS",
    "Drawing",
    "Explanation",
    "Overview",
    "Summary",
    "cost",
    "draw",
    "explain",
    "explain_preset",
    "jacobian_order",
    "summary",
    "why_backprop",
    "wiring",
]
