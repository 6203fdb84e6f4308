"""How any single number of a recorded step was computed, back to data, parameters and the seed.

``places.py`` index maps of ops, ``recipes.py`` their derivatives as graphs, ``parts.py`` what a
description is made of, ``trees.py`` an element as a tree, ``samples.py`` shares of a batch.
"""

from chainrule.inspect.element.elements import Addend, Element, Elements
from chainrule.inspect.element.parts import Link, More, Part
from chainrule.inspect.element.uses import Uses

__all__ = ["Addend", "Element", "Elements", "Link", "More", "Part", "Uses"]
