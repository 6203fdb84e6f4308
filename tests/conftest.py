"""What holds for all tests: the same cases everywhere, and plans that are verified."""

import os

from hypothesis import settings

os.environ["CHAINRULE_VERIFY"] = "1"  # after each pass of the compiler

# A failure in CI is a failure on your desk.
settings.register_profile(
    "chainrule", derandomize=True, deadline=None, database=None, max_examples=60
)
settings.load_profile("chainrule")
