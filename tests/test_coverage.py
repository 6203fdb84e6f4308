"""docs/coverage.md: every item of the field's lectures has one row, and what a row names exists."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")

# The items: worked examples (A), formulas (B), systems (C), parts and advice (D), pictures and
# demonstrations (E), claims (F).
WITH_A_LETTER = (
    "A01b A02b A02c A07b A09b A09c A10b A12b A12c A13b A14b A14c A14d A14e A20b A20c A21b A23b "
    "A25b A35b A37b A40b A47b"
)
IDS = [
    *(f"A{n:02}" for n in range(1, 49)),
    *WITH_A_LETTER.split(),
    *(f"B{n}" for n in range(1, 51)),
    *(f"C{n}" for n in range(1, 23)),
    *(f"D{n}" for n in range(1, 16)),
    *(f"E{n}" for n in range(1, 23)),
    *(f"F{n}" for n in range(1, 32)),
]
OUT_OF_SCOPE = "out of scope"
ROW = re.compile(r"^\| ([A-F]\d+\w?) \| (.+?) \| (.+) \|$", re.MULTILINE)
ROWS = {match[1]: (match[2], match[3]) for match in ROW.finditer(PAGE)}
NAMES = {
    "cr": "chainrule",
    "F": "chainrule.nn.functional",
    "nn": "chainrule.nn",
    "optim": "chainrule.optim",
}


def named(cell):
    """What a row names, between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def is_missing(cell):
    return re.search(r"\bnot yet\b", cell) is not None


@cache
def functions_in(path):
    """Names of the test functions in a file, and of classes and their methods."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            found |= {f"{node.name}::{method.name}" for method in methods}
    return found


@cache
def verbs():
    from chainrule.cli.app import command_line

    return typer.main.get_command(command_line()).commands


def objects_of(verb):
    """The names that a verb takes as its first word."""
    from chainrule.cli.cost import COMPARISONS
    from chainrule.inspect import PRESETS
    from chainrule.models import MODELS
    from chainrule.systems import SYSTEMS

    own = {"train": SYSTEMS, "explain": PRESETS, "cost": {*COMPARISONS, *MODELS, *SYSTEMS}}
    return own.get(verb, {*PRESETS, *MODELS, *SYSTEMS, "last", "ops"})


def exists(name):
    """Whether a test, a command, a file or a Python name is there."""
    if "::" in name:
        path, _, test = name.partition("::")
        return (ROOT / path).is_file() and test in functions_in(path)
    first, *words = name.split()
    if first == "chainrule":
        if words[0] not in verbs():
            return False
        command = verbs()[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        plain = [word for word in words[1:] if not word.startswith("-")]
        return {word for word in words[1:] if word.startswith("--")} <= options and (
            not plain or subject(words[0], plain[0])
        )
    if first == "make":
        return re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if "/" in name:
        return (ROOT / name).exists()
    room, _, rest = name.partition(".")
    thing = importlib.import_module(NAMES[room])
    for part in rest.split("."):
        thing = getattr(thing, part)
    return True


def subject(verb, word):
    """Whether a verb knows its first word: a system, a preset, or what its help names."""
    known = objects_of(verb)
    return word in known or re.search(rf"\b{verb} {word}\b", verbs()[verb].help) is not None


def test_every_item_has_one_row():
    rows = [match[1] for match in ROW.finditer(PAGE)]
    assert [one for one in IDS if rows.count(one) != 1] == []
    assert [one for one in rows if one not in IDS] == []


def test_no_line_of_the_tables_is_misread():
    lines = re.findall(r"^\| (?!id |---)[^|]*\|.*$", PAGE, re.MULTILINE)
    assert [line for line in lines if not ROW.match(line)] == []


@pytest.mark.parametrize("item", ROWS)
def test_what_a_row_names_exists(item):
    cell = ROWS[item][1]
    assert named(cell) or is_missing(cell) or cell == OUT_OF_SCOPE
    assert [name for name in named(cell) if not exists(name)] == []


def test_the_page_counts_right():
    """The sentence at its head: how many items are shown, in part, not at all."""
    cells = [cell for _, cell in ROWS.values()]
    outside = cells.count(OUT_OF_SCOPE)
    whole = sum(not is_missing(cell) for cell in cells) - outside
    part = sum(is_missing(cell) and bool(named(cell)) for cell in cells)
    counts = f"Of {len(cells)} items {whole} are shown, {part} in part"
    missing = len(cells) - whole - part - outside
    assert f"{counts}, {missing} not yet, {outside} out of scope." in PAGE


@pytest.mark.parametrize(
    "name",
    [
        "tests/golden/test_sizes.py::test_nothing",
        "tests/golden/test_nowhere.py::test_a",
        "chainrule fly",
        "chainrule train nothing",
        "chainrule explain logistic --fly",
        "docs/nowhere.md",
        "make nothing",
    ],
)
def test_what_does_not_exist_is_found(name):
    assert not exists(name)
    with pytest.raises(AttributeError):
        exists("nn.Conv2D")
