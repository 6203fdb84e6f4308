"""The page Network in Chromium, on a model that no page knows: ``make studio-test``."""

import sys
from types import ModuleType, SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

pytestmark = pytest.mark.browser
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference

X = np.random.default_rng(0).normal(size=(12, 2, 9, 11)).astype(np.float32)
Y = np.arange(12) % 3
STEP = 3


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs: one that was recorded, of odd sizes with 40 maps in a layer, and one without."""
    folder = tmp_path_factory.mktemp("recorded")
    made = {}
    for name in ("odd-001", "plain-001"):
        config = {"system": "xor", "epochs": 2, "lr": 0.1}
        made[name] = Run.create("xor", config, folder / "runs" / name)
    cr.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 40, 2), nn.ReLU()
    )
    net = nn.Sequential(net, nn.Flatten(), nn.Linear(40 * 2 * 3, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    run = made["odd-001"]
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, Y), 6), epochs=2, verbose=False)
    for run in made.values():
        run.release()
    return folder, made["odd-001"].records


@pytest.fixture(scope="module")
def link(recorded, studio):
    with studio(recorded[0]) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query): the page with a selection, when it is there."""
    enter(page, link)

    def go(query, wait=".layers canvas"):
        page.goto(f"http://{urlsplit(link).netloc}/network?{query}")
        page.locator(wait).first.wait_for()

    return go


def nodes(records, kind="probe", step=STEP):
    step = records.tape(step, kind)._step
    values = {k: step.holds[n].node.result() for k, n in enumerate(step.order) if n in step.holds}
    bars = {k: step.bars[n].numpy() for k, n in enumerate(step.order) if n in step.bars}
    return step.order, {"value": values, "bar": bars}


def layer_of(records, op, nth=0):
    """The number of the nth node with this op; "add" is what the first convolution gave."""
    order, _ = nodes(records)
    return [k for k, node in enumerate(order) if node.op.name == op][nth]


def boxes(page):
    read = "all => all.map(e => { const b = e.getBoundingClientRect();"
    return page.locator(".layers canvas").evaluate_all(read + "return [b.x, b.y, b.width]; })")


def test_forward_and_backward_change_every_picture_in_place(page, show, check):
    show(f"run=odd-001&step={STEP}")
    check(page, "network")
    values, before = boxes(page), page.locator("[data-map]").evaluate_all("a => a.map(e => e.href)")
    assert page.get_by_text("+ 24 more", exact=True).count() == 2
    page.keyboard.press("b")
    page.get_by_text("blue: raising this value lowers the loss").wait_for()
    check(page, "network-backward")
    assert page.get_by_text("no signal").count() == 1  # of what entered from outside
    signals = boxes(page)
    assert signals == values[X.shape[1] :]  # the data have no error signal
    assert len(before) == page.locator("[data-map]").count()
    page.keyboard.press("f")
    page.get_by_text("purple: below zero").wait_for()
    assert boxes(page) == values


def tokens(page, scale, names):
    read = "name => getComputedStyle(document.documentElement).getPropertyValue(name)"
    texts = [page.evaluate(read, f"--{scale}-{name}").strip() for name in names]
    return np.array([[int(text[k : k + 2], 16) for k in (1, 3, 5)] for text in texts], float)


FIVE = ("lowest", "low", "zero", "high", "highest")


@at_a_desk
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("mode", ["value", "bar"])
def test_colours_are_the_values(page, show, recorded, theme, mode):
    _, arrays = nodes(recorded[1])
    node = layer_of(recorded[1], "add")
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    show(f"run=odd-001&step={STEP}&node={node}&unit=1&mode={mode}&sample=2", ".board canvas")
    of = arrays[mode][node][2].astype(float)
    scale = np.percentile(np.abs(of), 99.5) or np.abs(of).max()
    stops = tokens(page, "signed" if mode == "value" else "signal", FIVE)
    place = np.clip((of[1] / scale + 1) / 2, 0, 1) * 4
    read = """(e, shape) => {
        const context = e.getContext("2d"), [rows, columns] = shape;
        const w = e.width / columns, h = e.height / rows, found = [];
        for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++)
            found.push([...context.getImageData(c * w + 1, (r + 1) * h - 2, 1, 1).data]);
        return found;
    }"""
    pixels = np.array(page.locator(".board canvas").evaluate(read, list(of[1].shape)))[:, :3]
    for k in range(3):
        wanted = np.interp(place.reshape(-1), range(5), stops[:, k])
        assert np.abs(pixels[:, k] - wanted).max() <= 1


def test_a_unit_shows_what_it_reads(page, show, recorded, check):
    node = layer_of(recorded[1], "max_pool")
    show(f"run=odd-001&step={STEP}&node={node}&unit=2,1,3", ".sources canvas")
    page.get_by_text("reads 4 values of").wait_for()
    framed = page.locator(".sources .picture").get_attribute("aria-label")
    assert framed.endswith("map 2, rows 2 to 3, columns 6 to 7 framed")
    check(page, "network-unit")
    page.keyboard.press("t")
    page.locator("section table a").first.wait_for()
    _, arrays = nodes(recorded[1])
    shown = page.locator("section table a").evaluate_all("all => all.map(e => e.dataset.value)")
    assert shown == [v.item().hex() for v in arrays["value"][node][0, 2].reshape(-1)]
    check(page, "network-table")


@pytest.mark.parametrize("page", ["desk"], indirect=True)
@pytest.mark.parametrize("mode", ["value", "bar"])
def test_the_code_that_is_shown_draws_the_record(page, show, recorded, mode, monkeypatch):
    show(f"run=odd-001&step={STEP}&sample=2&mode={mode}")
    page.get_by_role("button", name="Save odd-001").first.click()
    page.get_by_role("button", name="Show code").click()
    code = page.locator("pre code").inner_text()

    drawn = {}

    def subplots(rows, columns, squeeze):
        axes = np.empty((rows, columns), object)
        for row, column in np.ndindex(rows, columns):
            at = drawn.setdefault(column, [])
            imshow = lambda picture, at=at, **how: at.append(picture)  # noqa: E731
            axes[row, column] = SimpleNamespace(imshow=imshow, set_title=lambda title: None)
        return None, axes

    plot = ModuleType("matplotlib.pyplot")
    plot.subplots, plot.show = subplots, lambda: None
    whole = ModuleType("matplotlib")
    whole.pyplot = plot
    monkeypatch.setitem(sys.modules, "matplotlib", whole)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", plot)
    monkeypatch.chdir(recorded[0])
    exec(code, {})
    tape = recorded[1].tape(STEP, "probe")
    first = getattr(tape["0.0"], mode).numpy()[2]
    assert np.array_equal(drawn[0], first)
    assert len(drawn) == page.locator(".column").count() - 1  # all but the data


@pytest.mark.parametrize("page", ["desk"], indirect=True)
def test_what_is_not_a_number_is_seen(page, show, recorded):
    node = layer_of(recorded[1], "parameter")
    index = "0,0,0,0"
    show(f"run=odd-001&step={STEP}&number={node}.value.{index}", "aside form")
    page.get_by_label("New value").fill("3e38")  # its sums overflow, and inf - inf is no number
    page.get_by_role("button", name="Set").click()
    page.get_by_text("changed", exact=True).wait_for()
    page.locator(".column .nan").first.wait_for()
    magenta = tokens(page, "not-a", ["number"])[0].tolist()
    read = """e => {
        const {data} = e.getContext("2d").getImageData(0, 0, e.width, e.height), found = new Set();
        for (let k = 0; k < data.length; k += 4) found.add([...data.slice(k, k + 3)].join());
        return [...found];
    }"""
    seen = page.locator(".column:has(.nan) canvas").first.evaluate(read)
    assert ",".join(f"{c:.0f}" for c in magenta) in seen


@at_a_desk
def test_probabilities_are_those_of_the_recorded_softmax(page, show, recorded):
    show(f"run=odd-001&step={STEP}&sample=4")
    logs = nodes(recorded[1])[1]["value"][layer_of(recorded[1], "log_softmax")][4]
    shown = page.locator(".classes .percent").all_inner_texts()
    assert shown == [f"{100 * p:.1f} %" for p in np.exp(logs.astype(float))]


@at_a_desk
def test_back_and_forward_and_time(page, show):
    show("run=odd-001&kind=batch&step=1")
    page.get_by_text("step 1, epoch").wait_for()
    page.keyboard.press(".")
    page.get_by_text("step 2, epoch").wait_for()
    page.keyboard.press("]")
    page.wait_for_url("**sample=1*")
    page.go_back()
    page.wait_for_function("!location.search.includes('sample')")
    page.go_back()
    page.get_by_text("step 1, epoch").wait_for()
    page.go_forward()
    page.get_by_text("step 2, epoch").wait_for()
    page.get_by_role("slider", name="Recorded step").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("step 3, epoch").wait_for()
    page.keyboard.press("b")  # also while the slider has the focus
    page.wait_for_url("**mode=bar*")


def test_from_a_layer_to_a_leaf_by_keyboard(page, show, recorded, check):
    node = layer_of(recorded[1], "add")
    show(f"run=odd-001&step={STEP}")
    page.locator(f"[data-node='{node}'] [data-map='1']").focus()
    page.keyboard.press("Enter")
    page.locator(".board:focus").wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.locator("aside h2:focus").wait_for()
        if page.locator("aside .leaf").count():
            break
        before = page.locator("aside h2").inner_text()
        page.keyboard.press("Tab")  # close
        page.keyboard.press("Tab")  # the number itself
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_function("t => document.querySelector('aside h2').innerText != t", arg=before)
    assert "data, as it entered from outside" in page.locator("aside .leaf").inner_text()
    # The pixel is marked, and on each channel what the open unit sees.
    assert page.locator(".layers .frame").count() == 1 + X.shape[1]
    check(page, "network-leaf")
    page.keyboard.press("Escape")
    page.locator("aside").wait_for(state="detached")
    page.locator(".board:focus").wait_for()
    page.keyboard.press("Escape")
    page.locator(f"[data-node='{node}'] [data-map='1']:focus").wait_for()


@pytest.mark.parametrize(
    ("query", "says", "action"),
    [
        ("", "Choose the run to look into.", "odd-001"),
        ("run=plain-001", "was trained without a record", None),
        ("run=odd-001&step=99", "Step 99 of the probe was not kept.", "Show the nearest one"),
    ],
)
def test_states_say_one_sentence_and_one_action(page, show, check, query, says, action):
    show(query, ".page p")
    page.get_by_text(says).wait_for()
    check(page, f"network-state-{says.split()[0]}")
    if action is None:
        assert page.locator("code").inner_text() == "chainrule train xor --record"
    else:
        page.get_by_role("main").get_by_role("link", name=action).click()
        page.locator(".layers canvas").first.wait_for()


@at_a_desk
def test_a_run_that_is_not_there(page, show):
    show("run=none", "[role=alert]")
    assert "the run none" in page.get_by_role("alert").inner_text()
    page.wrongs.clear()  # the browser itself writes of an answer 422
