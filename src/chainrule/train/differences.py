"""How two state dicts differ: a table of missing, unexpected and reshaped, with nearest names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.errors import nearest
from chainrule.graph import type_text

__all__ = ["differences"]

MOST_ROWS = 12


def differences(needed: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The table, or "" if names and shapes agree.

    >>> import chainrule as cr
    >>> print(differences({"fc1.weight": cr.ones(2, 3)}, {"fc.weight": cr.ones(2, 3)}))
      fc1.weight  needs f32[2,3]  has nothing; nearest fc.weight
      fc.weight   unexpected      has f32[2,3]
    """
    rows = []
    for name, tensor in needed.items():
        if name not in found:
            close = nearest(name, [n for n in found if n not in needed])
            hint = f"; nearest {close}" if close else ""
            rows.append((name, f"needs {_type(tensor)}", f"has nothing{hint}"))
        elif found[name].shape != tensor.shape:
            rows.append((name, f"needs {_type(tensor)}", f"has {_type(found[name])}"))
    rows += [(n, "unexpected", f"has {_type(t)}") for n, t in found.items() if n not in needed]
    left_out = len(rows) - MOST_ROWS
    shown = rows[:MOST_ROWS]
    widths = [max((len(row[column]) for row in shown), default=0) for column in (0, 1)]
    lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in shown]
    return "\n".join(lines + ([f"  and {left_out} more"] if left_out > 0 else []))


def _type(tensor: Any) -> str:
    return type_text(tensor.shape, tensor.dtype)
