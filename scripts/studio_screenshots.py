"""Take the pictures of the studio that the README and the documentation show.

    python scripts/studio_screenshots.py

It trains LeNet with a record in a folder of its own, opens the pages in the system's Chromium and
writes docs/_static/studio/*.png. Whoever changes a page looks at what comes out.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "_static" / "studio"
CHAINRULE = (sys.executable, "-m", "chainrule")
RUN = "lenet-001"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SIZE: Any = {"width": 1280, "height": 800}
PATIENCE = 30_000  # milliseconds for what is waited for


def main() -> None:
    """Train, serve, open, write."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("The pictures need Chromium: python scripts/studio_browser.py installs it.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        trained = [*CHAINRULE, "train", "lenet", "--record", "--out", f"runs/{RUN}", "--json"]
        subprocess.run(trained, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with served(folder) as link:
            chromium = playwright.chromium.launch(executable_path=browser, args=list(FLAGS))
            page = chromium.new_page(viewport=SIZE, reduced_motion="reduce")
            page.set_default_timeout(PATIENCE)
            page.goto(link)
            for name, (address, prepare) in PICTURES.items():
                page.goto(f"http://{urlsplit(link).netloc}{address}")
                prepare(page)
                page.screenshot(path=FOLDER / f"{name}.png")
                print(f"{FOLDER.name}/{name}.png")
            chromium.close()


@contextmanager
def served(folder: str) -> Iterator[str]:
    """The link of a studio that serves a folder's runs."""
    command = [*CHAINRULE, "studio", "--no-browser", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        try:
            yield json.loads(text)["url"]
        finally:
            process.send_signal(signal.SIGINT)


def seen(selector: str) -> Callable[[Any], None]:
    """Waits until something is on the page."""

    def wait(page: Any) -> None:
        page.locator(selector).first.wait_for()
        page.wait_for_timeout(500)  # what is drawn after it

    return wait


def drawn(page: Any) -> None:
    """A 7 on the pad, and the classes' answer."""
    seen(".layers canvas")(page)
    box = page.locator(".draw canvas").first.bounding_box()
    for k, (x, y) in enumerate(((0.25, 0.25), (0.75, 0.25), (0.6, 0.5), (0.45, 0.85))):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if k == 0:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**edit=*")
    page.wait_for_timeout(1500)


# A picture's name: the address that it shows, and what is done there before.
PICTURES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "home": ("/", seen("a[href*=run]")),
    "network": (f"/network?run={RUN}", drawn),
    "backward": (f"/network?run={RUN}&mode=bar&seed=loss:3", seen(".layers canvas")),
    "stepper": ("/stepper?move=14", seen("main svg")),
    "graph": (f"/graph?run={RUN}", seen(".screen .box")),
    "training": (f"/training?run={RUN}", seen("main canvas")),
    "filters": (f"/filters?run={RUN}", seen("main canvas")),
    "lab": ("/lab", seen("main canvas")),
}

if __name__ == "__main__":
    main()
