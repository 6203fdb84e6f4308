"""The walls between rooms: who may import whom, how modules are called, how long they are."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "chainrule"

BANNED = {"utils", "util", "helpers", "common", "misc"}
NAMES_OF_PYTORCH = {"nn/utils.py"}  # a list of names that scripts import from there, no room
MOST_LINES = 600

# Rooms in the order of the data. A module may import what stands in its list (a folder: all of it).
BASE = ["errors", "dtypes", "files", "forks", "notebook"]
MATHEMATICS = [*BASE, "graph", "lines", "ops"]
HANDLE = [*MATHEMATICS, "random", "storage", "tracked", "tracing", "recording", "device", "tensor"]
TENSOR = [
    *HANDLE,
    "tape",
    "anomaly",
    "creation",
    "functions",
]
GRADIENTS = [*TENSOR, "vjps", "backprop", "func", "autograd", "gradcheck", "names"]
PLANS = [*MATHEMATICS, "compile"]
NETWORKS = [*GRADIENTS, "step", "nn"]
TRAINING = [*NETWORKS, "optim", "data", "train", "io", "models"]
SYSTEMS = [*TRAINING, "inspect", "systems"]

MAY_IMPORT = {
    "errors": [],
    "dtypes": BASE,
    "files": BASE,
    "forks": [],
    "notebook": [],
    "graph": [*BASE, "ops"],  # the type Op, in annotations
    "ops": MATHEMATICS,
    "lines": [*BASE, "graph"],
    "random": MATHEMATICS,
    "device": [*BASE, "run"],  # the number of threads is the workers'
    "storage": MATHEMATICS,
    "tensor": HANDLE,
    "vjps": TENSOR,
    "backprop": [*TENSOR, "vjps"],
    "func": GRADIENTS,
    "autograd": GRADIENTS,
    "gradcheck": [*GRADIENTS, "nn"],
    "names": TENSOR,
    "compile": PLANS,
    "run": [*PLANS, "run"],
    "step": [*GRADIENTS, "compile", "run", "nn", "optim"],
    "nn": [*NETWORKS],
    "optim": [*GRADIENTS, "optim"],
    "models": [*NETWORKS, "models"],
    "data": [*TENSOR, "data"],
    "train": [*TRAINING, "inspect"],
    "systems": SYSTEMS,
    "inspect": [*NETWORKS, "inspect", "run", "compile", "models", "optim"],
    "io": [*NETWORKS, "io", "optim"],
}
# What stands around the tensor obeys its rule.
for part in TENSOR[len(MATHEMATICS) :]:
    MAY_IMPORT.setdefault(part, TENSOR)
# These may import everything, and nothing else imports them.
AT_THE_TOP = {"studio", "cli", "bench", "__main__"}

ONLY_IN = {
    "llvmlite": "run/llvm",
    "cupy": "run/cuda",
    **dict.fromkeys(["starlette", "uvicorn", "websockets"], "studio"),
}
LAZY = {"run"}  # backends may be loaded when they are asked for


def imports(tree: ast.Module, package: str = "chainrule"):
    """(imported module's full name, whether inside a function, whether for types alone)"""

    def walk(node, inside, typing):
        for child in ast.iter_child_nodes(node):
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            types = typing or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            )
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                name = child.module or ""
                if child.level:
                    name = f"{package}.{name}".rstrip(".")
                if name == "chainrule":
                    yield from (
                        (f"chainrule.{alias.name}", inside, typing) for alias in child.names
                    )
                else:
                    yield name, inside, typing
            yield from walk(child, deeper, types)

    return walk(tree, False, False)


def room(name: str) -> str:
    """chainrule.ops.conv -> ops"""
    return name.split(".")[1]


def violations(path: Path, text: str) -> list[str]:
    """What a module at this path (relative to the package) does against the rules."""
    found = []
    here = path.parts[0].removesuffix(".py")
    lines = text.count("\n")
    if lines > MOST_LINES:
        found.append(f"{path} has {lines} lines, {MOST_LINES} at most")
    for part in {*path.parts[:-1], path.stem} & (BANNED | {f"_{name}" for name in BANNED}):
        if path.as_posix() in NAMES_OF_PYTORCH:
            continue
        found += [f"{path}: {part} says nothing about what is in it"]
    package = ".".join(("chainrule", *path.parts[:-1]))
    for name, inside, typing in imports(ast.parse(text), package):
        top = name.partition(".")[0]
        if top in ONLY_IN and not path.as_posix().startswith(ONLY_IN[top]):
            found.append(f"{path} imports {top}, which only {ONLY_IN[top]} may")
        if top != "chainrule" or name == "chainrule":
            continue
        there = room(name)
        if inside and there not in LAZY and here not in AT_THE_TOP:
            found.append(f"{path} imports {name} inside a function")
        if typing or path == Path("__init__.py"):
            continue
        if there in AT_THE_TOP and here not in AT_THE_TOP:
            found.append(f"{path} imports {name}: nothing imports {there}")
        elif here in MAY_IMPORT and there != here and there not in MAY_IMPORT[here]:
            found.append(f"{path} imports {name}, against the directions")
    return found


SOURCES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_walls(path):
    assert violations(path, (PACKAGE / path).read_text("utf-8")) == []


def test_every_room_has_a_rule():
    rooms = {path.parts[0].removesuffix(".py") for path in SOURCES} - {"__init__"}
    assert rooms <= set(MAY_IMPORT) | AT_THE_TOP


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("ops/conv.py", "from chainrule.tensor import Tensor", "against the directions"),
        ("ops/conv.py", "from chainrule import tensor", "against the directions"),
        ("ops/conv.py", "import chainrule.nn.linear", "against the directions"),
        ("run/reference.py", "from chainrule.optim import SGD", "against the directions"),
        ("compile/fuse.py", "from chainrule.run.reference import run", "against the directions"),
        ("nn/linear.py", "from chainrule.cli import main", "nothing imports cli"),
        ("nn/linear.py", "def f():\n    from chainrule.tensor import Tensor", "inside a function"),
        ("nn/linear.py", "def f():\n    from .module import Module", "inside a function"),
        ("step.py", "import llvmlite.binding", "only run/llvm"),
        ("run/llvm/engine.py", "import cupy", "only run/cuda"),
        ("cli/studio.py", "import uvicorn", "only studio"),
        ("data/utils.py", "", "says nothing"),
        ("train/_helpers/x.py", "", "says nothing"),
        ("nn/long.py", "\n" * 601, "601 lines"),
    ],
)
def test_a_planted_violation_is_caught(path, text, words):
    (found,) = violations(Path(path), text)
    assert words in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ops/conv.py", "from chainrule.ops.op import Op"),
        ("ops/op.py", "if TYPE_CHECKING:\n    from chainrule.tensor import Tensor"),
        ("run/llvm/engine.py", "import llvmlite.binding"),
        ("step.py", "def backend():\n    from chainrule.run.llvm import engine"),
        ("cli/train.py", "from chainrule.models import lenet"),
    ],
)
def test_what_is_allowed_passes(path, text):
    assert violations(Path(path), text) == []
