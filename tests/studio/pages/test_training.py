"""The page Training in Chromium, and a training that is steered from it: ``make studio-test``."""

import json
import re
import shutil
import subprocess
import sys
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.studio.pixels import stops

from chainrule.train.control import rate_changes, read_place
from chainrule.train.runs import Run

pytestmark = pytest.mark.browser
GONE = "The studio's server does not answer"
on_a_phone = pytest.mark.parametrize("page", ["phone"], indirect=True)  # where it is narrow
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two inputs: recorded, recorded otherwise, and without a record."""
    folder = tmp_path_factory.mktemp("cockpit")
    short = ["mlp-binary", "--epochs", "4"]
    for words in (["xor", "--record"], [*short, "--record"], ["xor", "--epochs", "12"]):
        command = [sys.executable, "-m", "chainrule", "train", *words, "--json"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def link(folder, studio):
    with studio(folder) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query, wait): the page with a selection, when it is there."""
    enter(page, link)

    def go(query, wait=".u-over"):
        page.goto(f"http://{urlsplit(link).netloc}/training?{query}")
        page.locator(wait).first.wait_for()

    return go


@pytest.fixture
def long_run(tmp_path, studio):
    """(its folder, link): a training that takes minutes, begun in another terminal."""
    words = ["mlp-binary", "--epochs", "4000", "--record", "--json"]
    command = [sys.executable, "-m", "chainrule", "train", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        run = tmp_path / "runs" / "mlp-binary-001"
        until(lambda: (read_place(run) or {"step": 0})["step"] > 50)
        with studio(tmp_path) as (_, link):
            yield run, link
        process.kill()


def until(true):
    for _ in range(2000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("twenty seconds were not enough")


def exact(locator):
    return float.fromhex(locator.get_attribute("data-value"))


def test_curves_maps_and_the_plane(page, show, folder, check):
    show("run=mlp-binary-001", ".plane canvas")
    page.locator(".strips canvas").first.wait_for()
    for heading in ("Loss", "Learning rate", "Samples a second", "Gradients", "Update ratio"):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    assert page.get_by_role("heading", name="Dead units").is_visible()
    rows = Run(folder / "runs" / "mlp-binary-001").records.statistics()
    loss = page.get_by_role("figure", name=re.compile("^Loss of")).locator("[data-value]").first
    assert exact(loss) == rows.losses[-1]
    check(page, "cockpit")


@on_a_phone
def test_each_number_of_a_step_is_the_recorded_one(page, show, folder, check):
    records = Run(folder / "runs" / "xor-001").records
    rows, step = records.statistics(), records.steps()[5]
    show(f"run=xor-001&step={step}")
    page.keyboard.press("t")
    page.get_by_role("table").wait_for()
    at = rows.steps.tolist().index(step)
    named = {pair: rows.values[at, k].item() for k, pair in enumerate(rows.names)}
    shown = {
        row.locator("th").inner_text(): exact(row.locator("td"))
        for row in page.get_by_role("row").all()[1:]
    }
    assert shown["loss, mean"] == rows.losses[at]
    assert shown["learning rate"] == named["training", "rate"]
    for name in ("fc1.weight", "fc2.bias"):
        assert shown[f"Gradients, {name}"] == named[name, "gradient"]
    assert shown["Saturated, tanh"] == named["tanh", "saturated"]
    check(page, "cockpit-table")


@at_a_desk
@pytest.mark.parametrize(("title", "kind"), [("Gradients", "gradient"), ("Saturated", "saturated")])
def test_colours_of_layers_by_steps_are_the_figures(page, show, folder, title, kind):
    """Through the legend: its ends, the powers of ten that are printed there or a share."""
    rows = Run(folder / "runs" / "xor-001").records.statistics()
    show("run=xor-001", ".strips canvas")
    heading = page.get_by_role("heading", name=title, exact=True)
    panel = page.locator(".panels > div").filter(has=heading)
    ends = panel.locator(".strips + .legend span").all_inner_texts()[::2][:2]
    strips = panel.locator(".strips .strip")
    labels = panel.locator(".strips .of").all_inner_texts()
    colours, end = stops(page, "ink"), rows.steps[-1] + 1
    assert labels and rows.steps[0] == 0
    # A column stands up to the next step with figures; it is looked at in its middle.
    middles = (rows.steps + np.append(rows.steps[1:], end)) / 2 / end
    read = """(e, middles) => {
        const pixels = e.getContext("2d").getImageData(0, 1, e.width, 1).data;
        return middles.map((at) => [...pixels.slice(4 * Math.floor(at * e.width)).slice(0, 3)]);
    }"""
    for k, label in enumerate(labels):
        values = rows.values[:, rows.names.index((label, kind))].astype(float)
        if kind == "gradient":
            low, high = (float(end.replace("−", "-").removeprefix("1e")) for end in ends)
            share = (np.log10(values) - low) / (high - low)
        else:
            share = values
        ink = np.where(values == 0, 0, 0.08 + 0.92 * np.clip(share, 0, 1)) * 4
        found = np.array(strips.nth(k).locator("canvas").evaluate(read, middles.tolist()), float)
        for c in range(3):
            wanted = np.interp(ink, range(5), colours[:, c])
            assert np.abs(found[:, c] - wanted).max() <= 1, label


@at_a_desk
def test_the_plane_goes_through_time_and_units(page, show, folder):
    show("run=xor-001&step=0", ".plane canvas")
    first = page.locator(".board .map").evaluate("e => e.toDataURL()")
    page.keyboard.press(".")
    page.get_by_text("after step 1, each unit").wait_for()
    assert page.locator(".board .map").evaluate("e => e.toDataURL()") != first
    page.get_by_role("link", name="tanh, unit 3").click()
    page.get_by_role("img", name=re.compile("^tanh, unit 3 over the plane")).wait_for()
    assert "node=tanh" in page.url and "unit=3" in page.url
    page.go_back()
    page.get_by_role("img", name=re.compile("^output over the plane")).wait_for()
    page.keyboard.press("o")
    page.wait_for_url("**/network?**step=1**")


@at_a_desk
def test_two_runs_and_a_logarithmic_axis(page, show):
    show("run=mlp-binary-001")
    page.get_by_label("Beside it").select_option("xor-001")
    page.get_by_text("xor-001, the same mean").wait_for()
    page.keyboard.press("l")
    page.wait_for_url("**axis=log**")
    assert "other=xor-001" in page.url


@at_a_desk
def test_a_click_on_a_curve_opens_the_nearest_kept_step(page, show, folder):
    show("run=mlp-binary-001")
    page.locator(".u-over").first.click(position={"x": 120, "y": 60})
    page.wait_for_url("**/network?**")
    step = int(re.search(r"step=(\d+)", page.url).group(1))
    assert step in Run(folder / "runs" / "mlp-binary-001").records.steps()
    page.locator(".layers canvas").first.wait_for()


@on_a_phone
@pytest.mark.parametrize(
    ("query", "says", "action"),
    [
        ("", "Choose the training to look at.", "xor-001"),
        ("run=xor-002", "is trained without a record", None),
    ],
)
def test_states_say_one_sentence_and_one_action(page, show, check, query, says, action):
    show(query, ".page p")
    page.get_by_text(says).wait_for()
    if action is None:
        assert page.locator("code").first.inner_text() == "chainrule train xor --record"
        page.locator(".u-over").first.wait_for()  # of its epochs
    else:
        page.get_by_role("main").get_by_role("link", name=action).click()
        page.locator(".u-over").first.wait_for()
        page.go_back()
        page.get_by_text(says).wait_for()
        check(page, "cockpit-no-run")


@at_a_desk
def test_a_run_that_is_not_there(page, show):
    show("run=none", "[role=alert]")
    assert "There is no run none." in page.get_by_role("alert").inner_text()
    page.wrongs.clear()  # the browser itself writes of an answer 404


def test_a_training_of_another_terminal_is_steered(page, long_run, check):
    run, link = long_run
    page.goto(link)
    page.goto(f"http://{urlsplit(link).netloc}/training?run={run.name}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("waits for you").wait_for()
    step = read_place(run)["step"]
    page.get_by_text(f"{step:,} of 100,000").wait_for()
    check(page, "cockpit-paused")
    page.keyboard.press("s")
    page.get_by_text(f"{step + 1:,} of 100,000").wait_for()
    assert read_place(run)["state"] == "paused"
    page.get_by_role("slider", name="Recorded step").wait_for()
    page.get_by_text(f"Open step {step} in Network").wait_for()  # the single step was kept
    page.get_by_label("New learning rate").fill("0.002")
    page.keyboard.press("Enter")
    until(lambda: rate_changes(run))
    assert rate_changes(run)[0].rates == [0.002] and rate_changes(run)[0].step == step + 1
    page.get_by_label("New learning rate").blur()
    page.keyboard.press("p")
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_text("changed at step").wait_for()
    page.get_by_role("button", name="Stop mlp-binary-001").click()
    page.get_by_role("button", name="Stop it, keeping its last step").click()
    page.get_by_text("interrupted after epoch").wait_for()
    kept = Run(run).read_checkpoint()
    assert kept["step"] > step + 1
    assert json.loads((run / "place.json").read_text())["state"] == "ended"


@on_a_phone
def test_home_stops_a_training_after_asking(page, long_run, check):
    run, link = long_run
    page.goto(link)
    page.get_by_role("button", name="Stop mlp-binary-001").click()
    page.get_by_role("button", name="Let it run").click()
    page.get_by_role("button", name="Stop mlp-binary-001").click()
    page.get_by_role("button", name="Stop it, keeping its last step").wait_for()
    check(page, "home-stop")
    page.get_by_role("button", name="Stop it, keeping its last step").click()
    page.get_by_text("interrupted after epoch").wait_for()
    assert Run(run).checkpoint.exists()


@at_a_desk
def test_the_link_works_from_another_page(page, link):
    text = f'<a href="{link}">the studio</a>'
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(body=text, content_type="text/html"),
    )
    page.goto("http://elsewhere.example/")
    page.get_by_role("link").click()
    page.get_by_role("heading", name="Runs").wait_for()
    assert "token" not in page.url
    page.goto("http://elsewhere.example/")
    page.evaluate(
        "url => document.querySelector('a').href = url",
        f"http://{urlsplit(link).netloc}/training?run=xor-001",  # a view, without the key
    )
    page.get_by_role("link").click()
    page.locator(".u-over").first.wait_for()


@at_a_desk
def test_a_tab_that_slept_is_told_all(page, link, folder):
    """Its socket was closed for long: what is new stands there, and what has gone does not."""
    asleep, sockets = False, []

    def connected(socket):
        if asleep:
            socket.close()
        else:
            socket.connect_to_server()
            sockets.append(socket)

    runs, main = folder / "runs", page.get_by_role("main")
    shutil.copytree(runs / "xor-002", runs / "old-001")
    page.route_web_socket("**/api/live", connected)
    page.goto(link)
    page.goto(f"http://{urlsplit(link).netloc}/training")
    main.get_by_role("link", name="old-001").wait_for()
    asleep = True
    sockets[-1].close()
    page.get_by_text(GONE).wait_for()
    (runs / "old-001").rename(runs / "new-001")
    asleep = False
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    main.get_by_role("link", name="new-001").wait_for()
    assert main.get_by_role("link", name="old-001").count() == 0
    page.get_by_text(GONE).wait_for(state="detached")
    shutil.rmtree(runs / "new-001")
