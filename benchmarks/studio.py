"""What the studio's pages take: ``python benchmarks/studio.py``, in the system's Chromium.

    scripts      compressed JavaScript, of all pages and of what Home loads
    paint        from the click on a link to the first paint, of each page
    stroke       from a move of the mouse on the drawing pad to the classes' new bars
    graph        ResNet-18's graph from the address to its boxes; script of a frame while zooming
    scrub        from one of 1,000 recorded steps to the next, until its pictures are there

Latencies depend on the machine and on what else it does: they are measured here, and no test
asserts them. Nothing else should run meanwhile.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

import chainrule as cr
from chainrule import models, nn, optim
from chainrule.bench.networks import NETWORKS
from chainrule.bench.with_chainrule import Chainrule
from chainrule.data import DataLoader, TensorDataset
from chainrule.studio.pages import ASSETS
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SIZE: Any = {"width": 1280, "height": 800}
STROKES, FRAMES, SCRUBBED, REPEATS = 40, 60, 100, 5
PATIENCE = 60_000  # milliseconds

# Calls back with the milliseconds from an event to the next change below an element.
STOPWATCH = """([target, event]) => {
    window.times = [];
    let begun = null;
    addEventListener(event, () => (begun ??= performance.now()), true);
    new MutationObserver(() => {
        if (begun !== null) window.times.push(performance.now() - begun);
        begun = null;
    }).observe(document.querySelector(target), {
        subtree: true, childList: true, attributes: true, characterData: true,
    });
}"""


def record(folder: Path, name: str, net: Any, shape: Sequence[int], steps: int) -> None:
    """A run of a network on random pictures, every step of which is recorded."""
    rng = np.random.default_rng(0)
    batch = shape[0]
    count = batch * min(steps, 20)
    x = rng.random((count, *shape[1:]), np.float32)
    data = DataLoader(TensorDataset(x, rng.integers(0, 10, count)), batch)
    config = {"system": name, "epochs": steps // (count // batch), "lr": 0.01}
    run = Run.create(name, config, folder / "runs" / name)
    optimizer = optim.SGD(net.parameters(), lr=0.01)
    recording = Recording(run.folder, "all")
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=recording)
    trainer.fit(data, epochs=config["epochs"], verbose=False)
    run.release()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The link of a studio that serves a folder's runs."""
    command = [sys.executable, "-m", "chainrule", "studio", "--no-browser", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        try:
            yield json.loads(text)["url"]
        finally:
            process.send_signal(signal.SIGINT)


def scripts() -> None:
    """Sizes of what is built, compressed as a server of the internet would."""
    sizes = {
        path.name: len(gzip.compress(path.read_bytes(), 9))
        for path in (ASSETS / "hashed").glob("*.js")
    }
    home = sum(size for name, size in sizes.items() if name.startswith(("index", "Home")))
    tell("scripts", f"{sum(sizes.values()) / 1e3:.0f} KB in all, {home / 1e3:.0f} KB for Home")


def paint(context: Any, go: Callable[..., None]) -> None:
    """First paint of each page, from the start of its navigation."""
    for path in ("/", "/network?run=lenet", "/graph?run=lenet", "/stepper", "/lab"):
        found = []
        for _ in range(REPEATS):
            page = context.new_page()
            go(page, path, "main h1")
            script = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            found.append(page.evaluate(script))
            page.close()
        tell("paint", f"{statistics.median(found) / 1e3:.2f} s  {path}")


def stroke(context: Any, go: Callable[..., None]) -> None:
    """Moves on the pad, each after the classes have answered the one before."""
    page = context.new_page()
    go(page, "/network?run=digits", ".layers canvas")
    pad = page.locator(".draw canvas").first
    box = pad.bounding_box()
    page.wait_for_timeout(1000)
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.wait_for_timeout(1000)
    page.evaluate(STOPWATCH, [".classes", "pointermove"])
    for k in range(STROKES):
        along = k / STROKES
        page.mouse.move(
            box["x"] + box["width"] * (0.3 + 0.4 * along),
            box["y"] + box["height"] * (0.2 + 0.6 * along),
        )
        page.wait_for_timeout(150)
    page.mouse.up()
    tell("stroke", spread(page.evaluate("times")))
    page.close()


def graph(context: Any, go: Callable[..., None]) -> None:
    """ResNet-18's graph: until it is drawn, and what a frame of zooming takes."""
    found = []
    for _ in range(REPEATS):
        page = context.new_page()
        go(page, "/graph?run=resnet18", ".screen .box")
        found.append(page.evaluate("performance.now()"))
        page.close()
    tell("graph", f"opens in {statistics.median(found) / 1e3:.2f} s")
    page = context.new_page()
    go(page, "/graph?run=resnet18", ".screen .box")
    page.wait_for_timeout(1000)
    box = page.locator(".screen").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable")
    page.evaluate("() => { window.frames_ = 0; const f = () => { frames_++;"
                  " requestAnimationFrame(f); }; f(); }")  # fmt: skip

    def now() -> tuple[float, int]:
        metrics = {
            m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]
        }
        return metrics["ScriptDuration"], page.evaluate("frames_")

    before = now()
    for k in range(FRAMES):
        page.mouse.wheel(0, -40 if k < FRAMES / 2 else 40)
        page.wait_for_timeout(16)
    after = now()
    frame = 1e3 * (after[0] - before[0]) / max(1, after[1] - before[1])
    tell("graph", f"{frame:.1f} ms of script a frame while zooming")
    page.close()


def scrub(context: Any, go: Callable[..., None]) -> None:
    """The arrow key of the time bar, one step after the other."""
    page = context.new_page()
    go(page, "/network?run=lenet&step=100&kind=batch", ".layers canvas")
    page.wait_for_timeout(2000)
    slider = page.locator(".time input[type=range]")
    slider.focus()
    found = []
    for _ in range(SCRUBBED):
        before = page.evaluate("performance.now()")
        shown = page.locator("[data-step]").first.get_attribute("data-step")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "was => document.querySelector('[data-step]').dataset.step !== was", arg=shown
        )
        found.append(page.evaluate("performance.now()") - before)
    tell("scrub", spread(found))
    page.close()


def spread(milliseconds: Sequence[float]) -> str:
    """Median and tail of times."""
    if not milliseconds:
        return "nothing was measured"
    median, tail = np.percentile(milliseconds, [50, 95])
    return f"{median:.0f} ms median, {tail:.0f} ms at 95 %, of {len(milliseconds)}"


def tell(what: str, text: str) -> None:
    """A line of the result."""
    print(f"{what:10} {text}", flush=True)


def main() -> None:
    """All figures."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("This needs Chromium: python scripts/studio_browser.py installs it.")
    scripts()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        cr.manual_seed(0)
        train = ["train", "lenet", "--epochs", "1", "--record", "--out", "runs/digits"]
        command = [sys.executable, "-m", "chainrule", *train]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        record(folder, "lenet", models.build("lenet5"), (32, 1, 28, 28), 1000)
        resnet = Chainrule(NETWORKS["resnet18"](), "plain", 2).model
        record(folder, "resnet18", resnet, (4, 3, 32, 32), 2)
        with served(folder) as link:
            chromium = playwright.chromium.launch(executable_path=browser, args=list(FLAGS))
            context = chromium.new_context(viewport=SIZE)
            context.set_default_timeout(PATIENCE)
            first = context.new_page()
            first.goto(link)

            def go(page: Any, path: str, wait: str) -> None:
                page.goto(f"http://{urlsplit(link).netloc}{path}")
                page.locator(wait).first.wait_for()

            for figure in (paint, stroke, graph, scrub):
                figure(context, go)
            chromium.close()


if __name__ == "__main__":
    main()
