"""Data: from files and drawings to batches.

`digits` (shipped) and `rasterise` (strokes of a pen) make images.
"""

from chainrule.data.digits import digits
from chainrule.data.strokes import rasterise

__all__ = ["digits", "rasterise"]
