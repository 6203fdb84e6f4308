"""The whole framework in one place: what is recorded is handed to a backend.

``storage.py`` decides what is pending and alive; here that work meets the backend that computes it.
"""

from __future__ import annotations

from chainrule import storage
from chainrule.run import reference

__all__: list[str] = []

storage.execute = reference.run
