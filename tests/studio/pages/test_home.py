"""The page Home in Chromium, at the size of a desk and of a phone: ``make studio-test``."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder of runs that were trained: one whole, one short."""
    folder = tmp_path_factory.mktemp("trained")
    for words in (["xor"], ["mlp-binary", "--epochs", "3"]):
        command = [sys.executable, "-m", "chainrule", "train", *words, "--json"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "runs"


@pytest.fixture
def runs(trained, tmp_path):
    """A copy of them, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture
def link(tmp_path, studio):
    with studio(tmp_path) as (_, link):
        yield link


@pytest.fixture(scope="module")
def standing(trained, studio):
    """A studio that all tests share which change nothing."""
    with studio(trained.parent) as (_, link):
        yield link


def test_without_runs_there_is_one_button_and_it_trains(page, tmp_path, studio, check):
    with studio(tmp_path) as (_, link):
        page.goto(link)
        button = page.get_by_role("main").get_by_role("button")
        assert button.inner_text() == "Train LeNet on handwritten digits"
        assert "token" not in page.url
        check(page, "welcome")
        button.click()
        page.wait_for_url("**/network?run=lenet-001*")  # as soon as a step was kept
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Home").click()
        progress = page.get_by_role("progressbar", name="Progress of lenet-001")
        progress.first.wait_for()
        page.get_by_text(re.compile(r"running, epoch [1-9]\d* of 30")).first.wait_for()
        assert int(progress.first.get_attribute("value")) >= 1
        assert page.get_by_role("button", name="Train xor", exact=True).is_disabled()
        check(page, "training")


def test_runs_and_systems(page, standing, check):
    page.goto(standing)
    for name, words in (("xor-001", "finished"), ("mlp-binary-001", "finished")):
        row = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))
        assert words in row.inner_text()
    assert "wanted 4" in page.get_by_role("article").filter(has_text="XOR with 8").inner_text()
    card = page.get_by_role("article").filter(has=page.get_by_text("mlp-binary", exact=True))
    assert "Not run here by its whole recipe." in card.inner_text()
    card = page.get_by_role("article").filter(has=page.get_by_text("lenet", exact=True))
    assert "Not run here." in card.inner_text()
    check(page, "home")


@at_a_desk
def test_a_run_that_trains_elsewhere_is_seen_live(page, runs, link):
    page.goto(link)
    page.get_by_role("heading", name="xor-001").wait_for()
    command = [sys.executable, "-m", "chainrule", "train", "xor", "--json"]
    with subprocess.Popen(command, cwd=runs.parent, stdout=subprocess.DEVNULL):
        row = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="xor-002"))
        row.get_by_text("running").wait_for()
        row.get_by_text("finished").wait_for()


def test_back_and_forward_lead_through_the_selection(page, standing, check):
    page.goto(f"{standing}&run=none&step=x")
    page.get_by_text("There is no run none.").wait_for()
    page.wrongs.clear()  # the browser itself writes of an answer 404
    page.get_by_role("link", name="xor-001").click()
    page.get_by_role("heading", name="Figures by epoch").wait_for()
    assert urlsplit(page.url).query == "run=xor-001"
    assert page.get_by_role("rowheader", name="200", exact=True).is_visible()
    check(page, "run")
    page.get_by_role("link", name="Close xor-001").click()
    assert urlsplit(page.url).query == ""
    page.go_back()
    page.get_by_role("heading", name="Figures by epoch").wait_for()
    assert urlsplit(page.url).query == "run=xor-001"
    page.go_forward()
    page.get_by_role("heading", name="Figures by epoch").wait_for(state="detached")
    page.reload()
    page.get_by_role("heading", name="xor-001").wait_for()


@at_a_desk
def test_the_command_opens_with_a_run(page, runs, tmp_path, studio):
    with studio(tmp_path, "xor-001") as (_, link):
        page.goto(link)
        page.get_by_role("heading", name="Figures by epoch").wait_for()
        assert urlsplit(page.url).query == "run=xor-001"


def test_it_is_driven_by_keyboard(page, standing, check):
    page.goto(standing)
    page.get_by_role("heading", name="xor-001").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    for _ in range(20):
        page.keyboard.press("Tab")
        if "xor-001" in page.evaluate("document.activeElement.textContent"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Figures by epoch").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Figures by epoch").wait_for(state="detached")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.wait_for()
    assert "dark or light" in keys.inner_text()
    check(page, "keys")
    page.emulate_media(color_scheme="light")
    page.keyboard.press("Escape")
    keys.wait_for(state="hidden")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.get_by_role("heading", name="xor-001").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_damaged_run_says_why_and_the_others_stay(page, runs, link, check):
    (runs / "xor-001" / "config.json").write_text("{")
    page.goto(link)
    page.get_by_text("config.json, which is damaged").wait_for()
    page.get_by_role("heading", name="mlp-binary-001").wait_for()
    check(page, "damaged")


def test_the_server_goes_and_comes_back(page, runs, tmp_path, studio, check):
    with studio(tmp_path) as (_, link):
        page.goto(link)
        page.get_by_role("heading", name="xor-001").wait_for()
        port = str(urlsplit(link).port)
    page.get_by_text("The studio's server does not answer").wait_for()
    check(page, "gone")
    with studio(tmp_path, "--port", port) as (_, link):
        page.get_by_text("The studio was started anew: open the link").wait_for()
        assert page.get_by_role("heading", name="xor-001").is_visible()
        page.goto(link)
        page.get_by_role("heading", name="xor-001").wait_for()
        assert page.get_by_text("started anew").count() == 0
    page.wrongs.clear()  # the browser itself writes of each try


@at_a_desk
def test_strangers_see_one_sentence(page, standing):
    place = urlsplit(standing)
    page.goto(f"http://{place.netloc}/?token=wrong")
    assert page.inner_text("body").startswith("The key in this link is not that of the studio")
    page.goto(f"http://{place.netloc}/")
    assert page.inner_text("body").startswith("Open the link that chainrule studio printed")
    page.wrongs.clear()


@at_a_desk
def test_another_page_reaches_nothing(page, standing):
    page.goto(standing)
    page.get_by_role("heading", name="xor-001").wait_for()
    origin = f"http://{urlsplit(standing).netloc}"
    page.route("http://evil.example/", lambda route: route.fulfill(body="<h1>evil</h1>"))
    page.goto("http://evil.example/")
    asked = """url => fetch(url, {credentials: "include", method: "POST"})
        .then((answer) => answer.status, () => "no")"""
    assert page.evaluate(asked, f"{origin}/api/train") == "no"
    heard = """url => new Promise(done => {
        const socket = new WebSocket(url);
        socket.onopen = () => done("open");
        socket.onclose = () => done("closed");
    })"""
    assert page.evaluate(heard, f"{origin.replace('http', 'ws')}/api/live") == "closed"
    page.wrongs.clear()


@at_a_desk
def test_the_pages_are_small(page, standing):
    sizes = []
    page.on("response", lambda r: sizes.append(len(r.body())) if r.url.endswith(".js") else None)
    page.goto(standing)
    page.get_by_role("heading", name="xor-001").wait_for()
    assert 10_000 < sum(sizes) < 180_000  # a third of that once compressed
