"""Every example in a docstring runs."""

import doctest
import importlib
from pathlib import Path

import pytest

import chainrule

EXTRAS = {"sympy", "torch", "onnx", "cupy", "llvmlite", "torchvision", "matplotlib", "tensorboard"}


PACKAGE = Path(chainrule.__file__).parent
MODULES = [
    ".".join(("chainrule", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in sorted(PACKAGE.rglob("*.py"))
    # A peer of the benchmark belongs in a process of its own: JAX objects to any fork.
    if path.name != "__main__.py" and not path.match("bench/with_*.py")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            pytest.skip(f"{error.name} is an optional extra")
        raise
    chainrule.manual_seed(0)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
