"""The tape of ``cr.record()``: values and error signals of the very program that runs.

``tape.py`` keeps them while it runs, ``kept.py`` takes a step apart for a file and together again.
"""

from chainrule.tape.kept import kept_step, row_nodes, sample_nodes, tape_of
from chainrule.tape.tape import Entry, Tape, record

__all__ = ["Entry", "Tape", "kept_step", "record", "row_nodes", "sample_nodes", "tape_of"]
