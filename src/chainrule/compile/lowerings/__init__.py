"""What each op that is no formula becomes: importing this package fills ``lower.LOWERINGS``.

The rooms: ``reductions.py`` sums, extrema, moments, log-softmax; ``contractions.py`` the matrix
product and the three convolutions; ``pooling.py`` windows; ``places.py`` data-dependent places.
"""

from chainrule.compile.lowerings import contractions, places, pooling, reductions

__all__ = ["contractions", "places", "pooling", "reductions"]
