"""The reference, made when the pages are built, so that it cannot be out of date.

``.. public:: chainrule.nn`` describes every name in ``chainrule.nn.__all__``, under headings that
are the first sentences of the files where they stand.  ``.. verbs::`` shows every command's help.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docstrings import restructured, title
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import signature, stringify_signature
from sphinx.util.nodes import nested_parse_with_titles

INHERITED = {"Tensor"}  # one class in several files: its bases are not for users
UNSAID = {"forward", "extra_repr", "function"}  # what every layer has, said once for Module
SAID_BY = {"Module", "Function"}


class Public(SphinxDirective):
    """``.. public:: MODULE`` with ``:only: exceptions`` or ``:without: exceptions``."""

    required_arguments = 1
    option_spec = {"only": str, "without": str}

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        lines = "\n\n".join(self._page(module)).splitlines()
        return parsed(self, lines)

    def _page(self, module: ModuleType) -> Iterator[str]:
        groups: dict[str, list[str]] = {}
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, ModuleType) or not self._wanted(thing):
                continue
            groups.setdefault(_home(thing, module), []).append(name)
        if "only" not in self.options:
            yield _loaded_later(module)
        for home, names in groups.items():
            heading = title(importlib.import_module(home).__doc__)
            if len(groups) > 1:
                yield f"{heading}\n{'-' * len(heading)}"
            yield from (entry(module, name) for name in names)

    def _wanted(self, thing: object) -> bool:
        exception = isinstance(thing, type) and issubclass(thing, Exception)
        return exception if "only" in self.options else not exception


def _loaded_later(module: ModuleType) -> str:
    """The names that stand at the top level too, but are described in their own rooms."""
    rooms: dict[str, list[str]] = {}
    for name, room in getattr(module, "_LATER", {}).items():
        if room != f"{module.__name__}.{name}":
            rooms.setdefault(room, []).append(f"``{name}``")
    if not rooms:
        return ""
    lists = (f"{', '.join(names)} of ``{room}``" for room, names in rooms.items())
    return f"At this level too, loaded when they are asked for: {'; '.join(lists)}."


class Verbs(SphinxDirective):
    """``.. verbs::``: the help of each command, as a terminal of 100 columns shows it."""

    def run(self) -> list[nodes.Node]:
        import typer
        from typer.testing import CliRunner

        from chainrule.cli.app import command_line

        os.environ["COLUMNS"] = "100"
        app = command_line()
        group = typer.main.get_command(app)
        lines: list[str] = []
        for words in ([], *([name] for name in group.commands)):
            shown = CliRunner().invoke(app, [*words, "--help"], prog_name="chainrule")
            if shown.exit_code:
                raise self.error(f"chainrule {' '.join(words)} --help: {shown.output}")
            heading = " ".join(["chainrule", *words])
            lines += [heading, "-" * len(heading), "", ".. code-block:: text", ""]
            lines += ["   " + line.rstrip() for line in shown.output.splitlines()] + [""]
        return parsed(self, lines)


def parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    """What the lines of reStructuredText mean."""
    node = nodes.section(document=directive.state.document)
    source, _ = directive.get_source_info()
    nested_parse_with_titles(directive.state, StringList(lines, source, items=None), node)
    return node.children


def _home(thing: Any, module: ModuleType) -> str:
    """The module whose first sentence is the heading over a name."""
    home = getattr(thing, "__module__", None) or module.__name__
    return home if home.startswith("chainrule") else module.__name__


def entry(module: ModuleType, name: str) -> str:
    """One public name."""
    thing = getattr(module, name)
    if isinstance(thing, type):
        kind = "exception" if issubclass(thing, Exception) else "class"
        body = [restructured(thing.__doc__ or ""), *(_members(thing))]
    elif callable(thing):
        kind, body = "function", [restructured(thing.__doc__ or "")]
    else:
        return described("data", name, module, _value(thing))
    return described(kind, name + _signature(thing), module, "\n\n".join(body))


def described(kind: str, head: str, module: ModuleType | None, body: str) -> str:
    """A description as the Python domain wants it, the body indented."""
    where = f"\n   :module: {module.__name__}" if module else ""
    if head in dir(builtins):  # bool in a signature is Python's, not the number type
        where += "\n   :no-index:"
    indented = "\n".join("   " + line if line else "" for line in body.splitlines())
    return f".. py:{kind}:: {head}{where}\n\n{indented}"


def _signature(thing: Any) -> str:
    if isinstance(thing, type) and issubclass(thing, Exception):
        return ""
    try:
        found = signature(thing)
    except (TypeError, ValueError):
        return "()"
    parameters = [p for p in found.parameters.values() if p.name != "self"]
    result = inspect.Signature.empty if isinstance(thing, type) else found.return_annotation
    found = found.replace(parameters=parameters, return_annotation=result)
    return stringify_signature(found, unqualified_typehints=True)


def _value(thing: Any) -> str:
    """What is said of a name that is neither a class nor a function."""
    if isinstance(thing, dict):
        return "Names: " + ", ".join(f"``{key}``" for key in thing) + "."
    return restructured(getattr(thing, "summary", "") or f"``{thing!r}``")


def _members(cls: type) -> Iterator[str]:
    """Methods and properties that say what they do, in the order of the file."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__ if cls.__name__ in INHERITED else (cls,)):
        if base.__module__.startswith("chainrule"):
            found |= vars(base)
    unsaid = set() if cls.__name__ in SAID_BY else UNSAID
    for name, member in found.items():
        if name.startswith("_") or name in unsaid:
            continue
        bare = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        doc = getattr(bare, "__doc__", None)
        if isinstance(member, property):
            yield described("property", name, None, restructured(doc or ""))
        elif inspect.isfunction(bare) and doc:
            option = {staticmethod: "staticmethod", classmethod: "classmethod"}.get(type(member))
            head = name + _signature(getattr(cls, name) if option else bare)
            text = described("method", head, None, restructured(doc))
            yield text.replace("\n\n", f"\n   :{option}:\n\n", 1) if option else text


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.add_directive("public", Public)
    app.add_directive("verbs", Verbs)
    return {"parallel_read_safe": True}
