"""INSPECT: what is seen of a model or a step: the board of back-propagation and more."""

from chainrule.inspect.explain import Explanation, explain
from chainrule.inspect.presets import PRESETS, explain_preset

__all__ = ["PRESETS", "Explanation", "explain", "explain_preset"]
