"""Docstrings as reStructuredText: plain text with formulas, of which nothing may be lost.

A docstring is written to be read in a terminal, so ``*`` and ``|`` are mathematics and three spaces
set two formulas apart.  Only what is between backticks is code; everything else is taken literally.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from textwrap import dedent

__all__ = ["restructured", "title"]

LITERAL = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SPECIAL = re.compile(r"[\\*|_`]")
BULLET = re.compile(r"[-*] +")
ENUMERATOR = re.compile(r"[#\w]+[.)] ")
APART = re.compile(r" {3,}")  # between a formula, its derivative and its types


def restructured(docstring: str) -> str:
    r"""The same text in reStructuredText.

    >>> print(restructured("y = |x|      x̄ = ȳ sign(x)\n\nThe ``*`` of a*b stays."))
    | y = \|x\|
    | x̄ = ȳ sign(x)
    <BLANKLINE>
    The ``*`` of a\*b stays.
    """
    return "\n\n".join("\n".join(block) for block in _blocks(cleandoc(docstring)))


def title(docstring: str | None) -> str:
    """A heading from the first sentence of a module: what stands before its colon or full stop.

    >>> title("Pooling: functions and layers.")
    'Pooling'
    """
    first = (docstring or "").strip().partition("\n")[0]
    return re.split(r":(?: |$)|\.(?: |$)", first)[0].replace("``", "")


def _blocks(text: str) -> Iterator[list[str]]:
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        example = next((i for i, line in enumerate(lines) if line.startswith(">>>")), len(lines))
        prose, examples = lines[:example], lines[example:]
        if prose and all(line.startswith("  ") for line in prose):
            yield _code("text", dedent("\n".join(prose)).splitlines())
        elif prose and BULLET.match(prose[0]):
            yield [f"* {_escaped(item)}" for item in _items(prose)]
        elif prose:
            yield list(_paragraph(_on_one_line(prose)))
        if examples:
            yield _code("pycon", examples)


def _code(language: str, lines: list[str]) -> list[str]:
    return [f".. code-block:: {language}", "", *("   " + line for line in lines)]


def _items(lines: list[str]) -> list[str]:
    """Each item of a list on one line."""
    items: list[str] = []
    for line in lines:
        bullet = BULLET.match(line)
        if bullet:
            items.append(line[bullet.end() :])
        else:
            items[-1] += " " + line.strip()
    return items


def _on_one_line(lines: list[str]) -> list[str]:
    """The lines, no code running on from one to the next."""
    text = LITERAL.sub(lambda code: " ".join(code[0].split()), "\n".join(lines))
    return text.splitlines()


def _paragraph(lines: list[str]) -> Iterator[str]:
    """Prose; a line that sets formulas apart gives each of them a line of its own."""
    if lines[-1].endswith("::"):
        lines = [*lines[:-1], lines[-1][:-1]]
    for index, line in enumerate(lines):
        parts = APART.split(line.strip())
        if len(parts) > 1:
            yield from (f"| {_escaped(part)}" for part in parts)
            if index + 1 < len(lines):
                yield ""
        else:
            # "I. Newton" would begin a list numbered in Roman figures.
            yield ("\\" if ENUMERATOR.match(line.strip()) else "") + _escaped(line.strip())


def _escaped(text: str) -> str:
    """``text`` with nothing that reStructuredText would take for its own, code left as it is."""
    parts = LITERAL.split(text)
    parts[::2] = [SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2]]
    parts[1::2] = [f"``{part.strip('`')}``" for part in parts[1::2]]
    # Code must be followed by a space or a sign, or its end is not seen: ``N``×.
    for index in range(1, len(parts), 2):
        parts[index] = _spaced(parts[index - 1], parts[index], parts[index + 1])
    return "".join(parts)


def _spaced(before: str, code: str, after: str) -> str:
    left = "\\ " if before and (before[-1].isalnum() or before[-1] in "̄)]") else ""
    right = "\\ " if after and (after[0].isalnum() or after[0] in "×·([") else ""
    return left + code + right
