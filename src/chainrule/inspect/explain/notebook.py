"""What a notebook shows of an explanation: plain text, LaTeX, Markdown."""

from __future__ import annotations

from html import escape

__all__ = ["Notebook"]


class Notebook:
    """The three ways that Jupyter asks for, from ``str``, ``to_latex`` and ``to_markdown``."""

    def to_latex(self) -> str:
        """What stands between dollar signs."""
        raise NotImplementedError(f"{type(self).__name__} has no to_latex")

    def to_markdown(self) -> str:
        """Text with tables or formulas."""
        raise NotImplementedError(f"{type(self).__name__} has no to_markdown")

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.to_latex()}\n$$"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()
