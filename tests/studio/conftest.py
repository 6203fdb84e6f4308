"""Runs' folders that look like a training's, the guarded application beside them, a browser."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient

from chainrule.studio.app import make_app
from chainrule.studio.runs import Runs
from chainrule.train.runs import Run

PORT, TOKEN = 8765, "a-token"
CONFIG = {"system": "xor", "epochs": 3, "lr": 0.05}


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """make_run(name, losses, **config): a run in runs/ that nobody trains any more."""
    monkeypatch.chdir(tmp_path)

    def make(name, losses=(), **config):
        run = Run.create("xor", CONFIG | config, tmp_path / "runs" / name)
        for epoch, loss in enumerate(losses):
            run.add_figures(epoch, {"loss": loss})
        run.release()
        return run

    (tmp_path / "runs").mkdir()
    return make


@pytest.fixture
def assets(tmp_path):
    """Built pages, as small as they can be."""
    folder = tmp_path / "assets"
    (folder / "hashed").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>studio</title>")
    (folder / "hashed" / "index-1234.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def client(make_run, assets, tmp_path):
    """Someone who came by the link."""
    app = make_app(Runs(tmp_path / "runs"), TOKEN, PORT, assets)
    with TestClient(app, f"http://127.0.0.1:{PORT}") as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


@pytest.fixture
def stranger(client):
    """Someone without the link: the same application, no cookie."""
    with contextlib.closing(TestClient(client.app, f"http://127.0.0.1:{PORT}")) as stranger:
        yield stranger


@pytest.fixture
def change_config():
    """change_config(run, **values) writes its config.json, whatever becomes of it."""

    def change(run, **values):
        path = run.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.fixture
def get(client):
    """get(path): status and text for a path as it stands; a client would tidy its dots."""

    async def ask(path):
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            await asyncio.Event().wait()  # it has said all, and stays

        cookie = f"{client.app.cookie}={TOKEN}".encode()
        scope = {"type": "http", "method": "GET", "path": unquote(path), "query_string": b""}
        scope |= {"headers": [(b"host", f"127.0.0.1:{PORT}".encode()), (b"cookie", cookie)]}
        await client.app(scope | {"raw_path": path.encode(), "root_path": ""}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], body.decode()

    return lambda path: asyncio.run(ask(path))


# ---------------------------------------------------------------- in Chromium

SIZES = {"desk": (1280, 800), "phone": (390, 844)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
AXE = Path(__file__).parents[2] / "studio" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = os.environ.get("CHAINRULE_SCREENSHOTS")  # a folder for pictures of each state

# Text that is cut or lies over other text, and what is too small to read or to touch.
GEOMETRY = """(least) => {
    const found = [];
    const seen = (e) =>
        e.checkVisibility({visibilityProperty: true}) &&
        !e.closest(".unseen, .skip, .katex-mathml");
    const root = document.documentElement;
    if (root.scrollWidth > window.innerWidth) found.push(`page ${root.scrollWidth} wide`);
    const texts = [];
    const sheet = [...document.querySelectorAll("aside")].find((e) =>
        getComputedStyle(e).position === "fixed" && e.offsetWidth > 0.9 * window.innerWidth);
    const open = document.querySelector("dialog[open]") ?? sheet ?? document.body; // it covers
    const walker = document.createTreeWalker(open, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); ) {
        const owner = node.parentElement;
        if (!node.data.replaceAll("\u200b", "").trim() || !seen(owner)) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const scrolls = owner.closest("[role=region], nav ul");
        const size = parseFloat(getComputedStyle(owner).fontSize);
        if (size < 12) found.push(`${node.data}: ${size} px`);
        for (const box of range.getClientRects()) {
            if (!scrolls && (box.left < -0.5 || box.right > window.innerWidth + 0.5))
                found.push(`${node.data}: outside`);
            // What floats over the page's end has its height left free there.
            if (!scrolls && !owner.closest("[data-floats]")) texts.push([node.data, box]);
        }
        const style = getComputedStyle(owner);
        if (style.overflow === "hidden" && owner.scrollWidth > owner.clientWidth + 1)
            found.push(`${node.data}: cut`);
    }
    texts.sort(([, a], [, b]) => a.top - b.top);
    for (let i = 0; i < texts.length; i += 1) for (let j = i + 1; j < texts.length; j += 1) {
        const [[one, a], [two, b]] = [texts[i], texts[j]];
        if (b.top > a.bottom) break; // and so do all that come after it
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 4) found.push(`${one} over ${two}`);
    }
    for (const target of open.querySelectorAll("a, button")) {
        if (!seen(target)) continue;
        const box = target.getBoundingClientRect();
        if (box.width < least || box.height < least) found.push(`${target.textContent}: small`);
    }
    return found;
}"""


@pytest.fixture(scope="session")
def chromium():
    """The system's own Chromium; without one these tests fail."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "these tests need Chromium: python scripts/studio_browser.py installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def studio():
    """studio(folder, *words): (process, link) of the command, in a folder."""
    return _studio


@contextlib.contextmanager
def _studio(folder, *words):
    """(process, link) of the command, in a folder."""
    command = [sys.executable, "-m", "chainrule", "studio", "--no-browser", "--json", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, "the studio ended"
                text += line
            yield process, json.loads(text)["url"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.fixture(params=SIZES)
def page(chromium, request):
    """An empty page of one size; at its end nothing may have gone wrong in it."""
    width, height = SIZES[request.param]
    touch = request.param == "phone"
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        has_touch=touch,
        is_mobile=touch,
        reduced_motion="reduce",
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.least, page.size, page.wrongs = 44 if touch else 24, request.param, []
    page.on("console", lambda said: page.wrongs.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.wrongs.append(str(error)))
    yield page
    try:
        assert page.wrongs == []
    finally:
        context.close()


@pytest.fixture(scope="session")
def enter():
    """enter(page, link): its browser gets the key of the studio, without waiting for a page."""
    return lambda page, link: page.context.request.get(link)


@pytest.fixture(scope="session")
def check():
    """check(page, name): in both themes nothing is cut, covered, too small or too wide."""
    return _check


def _check(page, name):
    """In both themes nothing is cut, covered, too small or too wide; axe finds nothing serious."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{page.size}-{theme}.png", full_page=True)
        assert page.evaluate(GEOMETRY, page.least) == []
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text(encoding="utf-8"))
        wanted = {"resultTypes": ["violations"]}  # of the others it need not say which and why
        if theme == "dark":  # what axe asks of names and roles has no theme
            wanted["runOnly"] = ["color-contrast"]
        found = page.evaluate("wanted => axe.run(wanted)", wanted)["violations"]
        assert [v["help"] for v in found if v["impact"] in ("serious", "critical")] == []
