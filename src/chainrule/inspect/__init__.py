"""INSPECT: what is seen of a model or a step: the board of back-propagation, pictures, counts."""

from chainrule.inspect.cost import cost, jacobian_order, why_backprop
from chainrule.inspect.draw import Drawing, draw, wiring
from chainrule.inspect.explain import PRESETS, Explanation, Overview, explain, explain_preset
from chainrule.inspect.filters import KERNELS, convolve, correlate, filter_picture, kernel
from chainrule.inspect.pictures import save_picture
from chainrule.inspect.retrieval import nearest
from chainrule.inspect.summary import Summary, summary
from chainrule.inspect.template import find_template, match_template

__all__ = [
    "KERNELS",
    "PRESETS",
    "Drawing",
    "Explanation",
    "Overview",
    "Summary",
    "convolve",
    "correlate",
    "cost",
    "draw",
    "explain",
    "explain_preset",
    "filter_picture",
    "find_template",
    "jacobian_order",
    "kernel",
    "match_template",
    "nearest",
    "save_picture",
    "summary",
    "why_backprop",
    "wiring",
]
