"""Regenerate the blocks of README.md that show files and real output; ``--check`` only compares.

A block is a fence under a comment that says where its text comes from:

    <!-- file: examples/quickstart.py -->      the file, as it is
    <!-- run: chainrule explain logistic -->   what the command prints

Exit code 1 with a diff if ``--check`` finds a block that differs.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- (file|run): (.+?) -->\n```\w*\n)(.*?)(```\n)", re.DOTALL)


def text_of(kind: str, source: str) -> str:
    """What belongs into a block."""
    if kind == "file":
        return (ROOT / source).read_text(encoding="utf-8")
    command, *arguments = shlex.split(source)
    tool = [sys.executable] if command == "python" else [str(Path(sys.executable).parent / command)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [*tool, *arguments], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        sys.exit(f"readme: `{source}` failed with exit code {done.returncode}:\n{done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines()) + "\n"


def main() -> None:
    """Rewrite README.md, or compare it."""
    old = README.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda m: m[1] + text_of(m[2], m[3]) + m[5], old)
    if "--check" not in sys.argv[1:]:
        README.write_text(new, encoding="utf-8")
    elif old != new:
        diff = difflib.unified_diff(
            old.splitlines(), new.splitlines(), "committed", "now", lineterm=""
        )
        sys.exit("\n".join([*diff, "readme: the blocks differ; run `make readme` and commit."]))


if __name__ == "__main__":
    main()
