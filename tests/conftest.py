"""Hypothesis tries the same cases everywhere: a failure in CI is a failure on your desk."""

from hypothesis import settings

settings.register_profile(
    "chainrule", derandomize=True, deadline=None, database=None, max_examples=60
)
settings.load_profile("chainrule")
