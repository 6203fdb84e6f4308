"""DRAW: models, losses and wirings as SVG, without any program but this one.

``drawing.py`` chooses; ``graph.py``, ``layers.py``, ``neurons.py``, ``blocks.py`` and ``wiring.py``
make a kind of picture each; ``layout.py`` gives boxes their places, ``svg.py`` writes shapes and
words.
"""

from chainrule.inspect.draw.drawing import STYLES, draw, names_of
from chainrule.inspect.draw.svg import Drawing
from chainrule.inspect.draw.wiring import wiring

__all__ = ["STYLES", "Drawing", "draw", "names_of", "wiring"]
