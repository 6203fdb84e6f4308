"""What holds for all tests: the same cases everywhere, verified plans, a cache of their own."""

import math
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

from chainrule.run import backend

os.environ["CHAINRULE_VERIFY"] = "1"  # after each pass of the compiler

# Processes that tests start find what was compiled before; CHAINRULE_TEST_CACHE keeps it.
_cache = "" if os.environ.get("CHAINRULE_TEST_CACHE") else tempfile.mkdtemp(prefix="chainrule-")
os.environ["CHAINRULE_CACHE"] = _cache or os.environ["CHAINRULE_TEST_CACHE"]

# A failure in CI is a failure on your desk.
settings.register_profile(
    "chainrule", derandomize=True, deadline=None, database=None, max_examples=60
)
settings.load_profile("chainrule")


@pytest.fixture(autouse=True, scope="session")
def no_word_of_long_compilations():
    """They are long on a busy machine: what a test prints would depend on it."""
    backend.LONG = math.inf


def pytest_unconfigure():
    if _cache:
        shutil.rmtree(_cache, ignore_errors=True)
