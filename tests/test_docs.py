"""The pages in docs/: their examples run, their links lead somewhere, no room is left out."""

import doctest
import importlib
import importlib.util
import platform
import re
import runpy
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import chainrule as cr
from chainrule.run.llvm.emit import emit
from chainrule.run.llvm.engine import Engine

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")
INNER = {"backprop", "step"}  # rooms that no user calls


def page_id(path):
    return path.relative_to(ROOT).as_posix()


def examples(path):
    """The page's sessions as one text, each line where it is in the file."""
    text = path.read_text(encoding="utf-8")
    kept = []
    for fence in FENCE.finditer(text):
        if ">>>" in fence[1]:
            kept += [""] * (text.count("\n", 0, fence.start(1)) - len(kept))
            kept += fence[1].splitlines()
    return "\n".join(kept) + "\n"


def run(path):
    """How many examples of a page fail, and the names that it defines."""
    names = {}
    session = doctest.DocTestParser().get_doctest(examples(path), names, path.name, str(path), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    failed = runner.run(session, clear_globs=False).failed
    return failed, session.globs


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_examples_run(path):
    cr.manual_seed(0)
    failed, _ = run(path)
    assert failed == 0


@pytest.mark.parametrize("path", [*PAGES, *ROOT.glob("*.md")], ids=page_id)
def test_links_lead_to_files(path):
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_public_module_has_a_page_in_the_reference():
    pages = {
        line.removeprefix(".. public:: ")
        for path in (DOCS / "api").glob("*.rst")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(".. public:: ")
    }
    rooms = {f"chainrule.{name}" for name in dir(cr) if name in {*cr.__all__, *cr._LATER} - INNER}
    rooms |= {f"chainrule.{name}" for name in cr._LATER}
    modules = {name for name in rooms if isinstance(attribute(name), ModuleType)}
    for module in list(modules):
        names = getattr(importlib.import_module(module), "__all__", [])
        modules |= {
            f"{module}.{name}"
            for name in names
            if isinstance(attribute(f"{module}.{name}"), ModuleType)
        }
    assert modules - pages == set(), "each needs a page in docs/api and a line in docs/index.md"


def attribute(path):
    """What a dotted name of ours means."""
    thing = cr
    for name in path.split(".")[1:]:
        thing = getattr(thing, name)
    return thing


SHOWN = re.compile(
    r"<!-- run: python (examples/\w+\.py) -->\n```text\n(.*?)```$", re.DOTALL | re.MULTILINE
)
EXAMPLES = dict(SHOWN.findall((DOCS / "examples.md").read_text(encoding="utf-8")))


def test_every_example_is_shown():
    assert sorted(EXAMPLES) == sorted(page_id(path) for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES)
def test_an_example_prints_what_its_page_says(script, capsys):
    runpy.run_path(str(ROOT / script), run_name="__main__")
    printed = [line.rstrip() for line in capsys.readouterr().out.rstrip().splitlines()]
    assert printed == EXAMPLES[script].splitlines()


def loaded(path):
    """A file that stands outside the package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_op_of_the_page_on_adding_keeps_the_contract():
    contract = loaded(ROOT / "tests" / "test_contract.py")
    op = run(DOCS / "adding.md")[1]["Softsign"]()
    contract.check_words(op)
    for sample in contract.samples(op):
        for check in ("shape_rule", "vjp", "second_order", "reads", "strides"):
            getattr(contract, f"check_{check}")(op, sample)


IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.mark.skipif(not IS_X86, reason="LLVM is started for this processor's family alone")
def test_the_assembly_on_the_page_of_the_engine_is_what_llvm_makes():
    text = (DOCS / "engine.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- assembly: avx2 -->\n```text\n(.*?)\n```", text, re.DOTALL)[1]
    names = run(DOCS / "engine.md")[1]
    engine = Engine()
    engine.machine = names["avx2"]
    assembly = engine.assembly(emit(names["plan"].kernels[1], engine.machine).text)
    reader = loaded(ROOT / "tests" / "run" / "llvm" / "test_assembly.py")
    (loop,), on_the_stack = reader.on_the_stack(assembly)
    lines = [line.split() for line in loop]
    assert lines[: len(shown.splitlines())] == [line.split() for line in shown.splitlines()]
    counts = Counter(line[0] for line in lines)
    assert (counts["vfmadd231ps"], counts["vmovups"], counts["vbroadcastss"]) == (60, 10, 30)
    assert on_the_stack == []


def test_the_glossary_is_alphabetic():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = [word.casefold() for word in re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)]
    assert words == sorted(words) and len(words) > 50


@pytest.fixture(scope="module")
def docstrings():
    return loaded(DOCS / "docstrings.py")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("y = |x| * a_b", r"y = \|x\| \* a\_b"),
        ("y = tanh x      x̄ = ȳ (1 - y²)", "| y = tanh x\n| x̄ = ȳ (1 - y²)"),
        ("Takes `peak` or ``x * y``s", "Takes ``peak`` or ``x * y``\\ s"),
        ("So ``a *\n  b`` is code", "So ``a * b`` is code"),
        ("I. Newton, 1687", r"\I. Newton, 1687"),
        ("* one\n  more\n* two", "* one more\n* two"),
        ("A\n\nForm::\n\n  [x] y\n\nB", "A\n\nForm:\n\n.. code-block:: text\n\n   [x] y\n\nB"),
        ("So.\n>>> 1\n1", "So.\n\n.. code-block:: pycon\n\n   >>> 1\n   1"),
    ],
)
def test_a_docstring_loses_nothing(docstrings, docstring, expected):
    assert docstrings.restructured(docstring) == expected


def test_headings_are_first_sentences(docstrings):
    assert docstrings.title("Pooling: functions and layers.") == "Pooling"
    assert docstrings.title("The matrix product.\n\nMore.") == "The matrix product"
    assert docstrings.title("``autograd.grad`` and more: names") == "autograd.grad and more"
