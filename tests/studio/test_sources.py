"""The source of the pages: it knows no layer and no model, so that it serves all of them."""

import re
from pathlib import Path

import pytest

from chainrule import models, nn
from chainrule.systems import SYSTEMS

SOURCES = Path(__file__).parents[2] / "studio" / "src"
FILES = sorted(
    path
    for path in SOURCES.rglob("*")
    if path.suffix in (".ts", ".svelte") and not path.name.endswith(".test.ts")
)
LAYERS = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
# A page and an example of the stepper have the names of systems too.
MODELS = {*models.MODELS, *SYSTEMS} - {"filters", "logistic-l2"}
# Words of a language that happen to be names too.
PLAIN = {"Module", "Parameter", "Buffer"}
# Home offers one system to those who have trained nothing yet.
ALLOWED = {("pages/Home.svelte", "lenet")}

COMMENT = re.compile(r"/\*.*?\*/|<!--.*?-->|(?<![:\"'`/])//[^\n]*", re.S)
LITERAL = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`", re.S)


def named(text):
    """Names of layers and models in the string literals of a source."""
    literals = LITERAL.findall(COMMENT.sub(" ", text))
    whole = {literal[1:-1] for literal in literals} & MODELS
    words = {word for literal in literals for word in re.findall(r"\w+", literal)}
    return whole | (words & (LAYERS - PLAIN))


def test_there_are_sources_and_names():
    assert len(FILES) > 80 and {"Conv2d", "Linear", "Softmax"} <= LAYERS and "lenet5" in MODELS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_no_source_names_a_layer_or_a_model(path):
    found = named(path.read_text("utf-8"))
    place = path.relative_to(SOURCES).as_posix()
    assert {name for name in found if (place, name) not in ALLOWED} == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('if (op === "Conv2d") draw();', {"Conv2d"}),
        ("const known = ['lenet5', `a ${n} ReLU`];", {"lenet5", "ReLU"}),
        ('// as "Linear" does\nconst url = "http://x/lenet5"; /* "ReLU" */', set()),
    ],
)
def test_a_name_would_be_found(text, found):
    assert named(text) == found
