"""EXPLAIN: the chalkboard of back-propagation, from what a graph has recorded.

``board.py`` decides what stands on it, ``text.py`` and ``latex.py`` write it; ``overview.py`` sums
up a large graph, ``presets.py`` holds worked examples.
"""

from chainrule.inspect.explain.explanation import Explanation, explain
from chainrule.inspect.explain.overview import Overview
from chainrule.inspect.explain.presets import PRESETS, explain_preset

__all__ = ["PRESETS", "Explanation", "Overview", "explain", "explain_preset"]
