"""What is changed on the page Network, in Chromium: drawings, maps, weights, seeds, directions."""

import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.inspect.rerun import Off, Seed, Write, rerun
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

pytestmark = pytest.mark.browser
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference

X = np.random.default_rng(0).uniform(size=(12, 1, 11, 10)).astype(np.float32)
Y = np.arange(12) % 3
STEP, SAMPLE = 2, 4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recorded run of a small network on pictures of an odd size."""
    folder = tmp_path_factory.mktemp("changed")
    config = {"system": "xor", "epochs": 2, "lr": 0.1}
    run = Run.create("xor", config, folder / "runs" / "small-001")
    cr.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 4 * 4, 3)
    )
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, Y), 6), epochs=2, verbose=False)
    run.release()
    return folder, run.records


@pytest.fixture(scope="module")
def link(recorded, studio):
    with studio(recorded[0]) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query): the page with a selection, when it is there."""
    enter(page, link)

    def go(query, wait=".layers canvas"):
        page.goto(f"http://{urlsplit(link).netloc}/network?run=small-001&{query}")
        page.locator(wait).first.wait_for()

    return go


AT = f"step={STEP}&sample={SAMPLE}"
SCORES = ".classes .score a"


def node_of(tape, op, nth=0):
    order = tape._step.order
    return [k for k, node in enumerate(order) if node.op.name == op][nth]


def array(tape, number, kind="value"):
    node, step = tape._step.order[number], tape._step
    return step.holds[node].node.result() if kind == "value" else step.bars[node].numpy()


def bits(page, where=SCORES):
    return page.locator(where).evaluate_all("all => all.map(e => e.dataset.value)")


def hexes(numbers):
    return [number.item().hex() for number in numbers.reshape(-1)]


def wait_for_bits(page, wanted, where=SCORES):
    read = "([w, all]) => `${[...document.querySelectorAll(w)].map(e => e.dataset.value)}` === all"
    page.wait_for_function(read, arg=[where, ",".join(wanted)])


@pytest.fixture(scope="module")
def probe(recorded):
    return recorded[1].tape(STEP, "probe")


@pytest.fixture(scope="module")
def scores(probe):
    """The node of the class scores."""
    return probe._step.order.index(probe._step.order[node_of(probe, "log_softmax")].inputs[0])


def drag(page, box, points):
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def test_a_drawing_is_answered_and_undone(page, show, probe, scores, check):
    recorded = hexes(array(probe, scores)[SAMPLE])
    show(AT)
    assert bits(page) == recorded
    pad = page.locator(".draw canvas").first
    pad.scroll_into_view_if_needed()
    drag(page, pad.bounding_box(), [(0.3, 0.2), (0.7, 0.2), (0.5, 0.8)])
    page.locator(".badge").wait_for()
    page.locator(".ghost").first.wait_for()
    assert bits(page) != recorded
    check(page, "network-drawn")
    page.keyboard.press("b")  # nobody has said what it is: the class that it is taken for
    page.wait_for_url("**seed=loss*")
    page.locator(".seed p", has_text="alone").wait_for(state="attached")
    check(page, "network-drawn-backward")
    page.keyboard.press("f")
    page.get_by_role("button", name="Clear the drawing").click()
    page.wait_for_function("!location.search.includes('edit=')")
    wait_for_bits(page, recorded)
    assert page.locator(".badge").count() == 0


def test_a_map_that_is_off_runs_the_program_without_it(page, show, probe, scores, check):
    conv = node_of(probe, "add")
    wanted = hexes(array(rerun(probe, [], [Off(conv, (1,))]), scores)[SAMPLE])
    recorded = hexes(array(probe, scores)[SAMPLE])
    assert wanted != recorded
    show(f"{AT}&node={conv}&unit=1", ".board canvas")
    page.keyboard.press("o")
    wait_for_bits(page, wanted)
    page.get_by_text("map 1 of 0 is off").wait_for()
    check(page, "network-off")
    page.keyboard.press("o")
    wait_for_bits(page, recorded)


@at_a_desk
def test_a_weight_is_nudged_and_undone_one_by_one(page, show, probe, scores):
    weight = node_of(probe, "parameter", 2)
    assert probe._step.order[weight].name == "4.weight"
    recorded = hexes(array(probe, scores)[SAMPLE])
    show(f"{AT}&number={weight}.value.1,3", "aside form")
    page.get_by_label("New value").fill("2.5")
    page.get_by_role("button", name="Set").click()
    changed = rerun(probe, [Write(weight, (1, 3), np.float32(2.5))])
    once = hexes(array(changed, scores)[SAMPLE])
    wait_for_bits(page, once)
    page.get_by_role("button", name="More by").click()
    page.wait_for_function(
        "all => `${[...document.querySelectorAll('.classes .score a')].map(e => e.dataset.value)}`"
        " !== all",
        arg=",".join(once),
    )
    page.locator(".page h1").click()
    page.keyboard.press("z")
    wait_for_bits(page, once)
    page.keyboard.press("z")
    wait_for_bits(page, recorded)


def test_what_would_have_to_change_for_another_class(page, show, probe, scores, check):
    wanted = (int(Y[SAMPLE]) + 1) % 3
    show(AT)
    page.locator(".classes .share").nth(wanted).click()
    page.wait_for_url(f"**seed=loss%3A{wanted}*")
    said = f"loss with target {wanted}, of sample {SAMPLE} alone"
    page.locator(".seed p", has_text=said).wait_for(state="attached")
    target = next(k for k, n in enumerate(probe._step.order) if n.dtype.name == "int64")
    seeded = rerun(
        probe, [Write(target, (SAMPLE,), np.int64(wanted))], [], Seed(sample=SAMPLE), batch=12
    )
    wait_for_bits(page, hexes(array(seeded, scores, "bar")[SAMPLE]))
    check(page, "network-seed")
    if page.size == "phone":
        page.get_by_label("Error signals of").select_option(f"score of class {wanted}")
    else:
        page.get_by_role("link", name=f"score of class {wanted}").click()
    wait_for_bits(page, [float(k == wanted).hex() for k in range(3)])


@at_a_desk
def test_a_walk_after_an_edit_ends_in_a_leaf(page, show, probe, scores):
    conv = node_of(probe, "add")
    show(f"{AT}&node={conv}&unit=1", ".board canvas")
    page.keyboard.press("o")
    page.locator(".badge").wait_for()
    page.locator(".classes a.percent").first.click()
    for _ in range(12):
        page.locator("aside dl").last.wait_for()
        if page.locator("aside").get_attribute("data-leaf"):
            return
        before = page.locator("aside h2").inner_text()
        page.locator("aside .terms a").first.click()
        page.wait_for_function("t => document.querySelector('aside h2').innerText != t", arg=before)
    raise AssertionError(page.url)


def places(page):
    read = "all => all.map(e => { const b = e.getBoundingClientRect(); return [b.x, b.width]; })"
    return page.locator(".layers canvas").evaluate_all(read)


def test_the_optimizer_s_step_stands_where_the_parameters_are(page, show, recorded, check):
    kept = recorded[1].read(STEP, "batch")
    batch = recorded[1].tape(STEP)
    weight = node_of(batch, "parameter", 0)
    show(f"step={STEP}&kind=batch&node={weight}&unit=2", ".board canvas")
    before = places(page)
    page.keyboard.press("u")
    page.get_by_text("purple: the step lowers it").wait_for()
    assert places(page) == before
    check(page, "network-update")
    page.keyboard.press("t")
    page.locator("section table a").first.wait_for()
    moved = kept["after"]["0.weight"].numpy() - array(batch, weight)
    assert bits(page, "section table a[data-kind=update]") == hexes(moved[2])
    page.locator("section table a").first.click()
    page.locator("aside [data-role=after]").wait_for()
    after = page.locator("aside [data-role=after] [data-value]").get_attribute("data-value")
    assert after == kept["after"]["0.weight"].numpy()[2, 0, 0, 0].item().hex()
    check(page, "network-update-lines")


@at_a_desk
def test_a_unit_s_whole_field_is_framed_on_the_input(page, show, probe):
    pool = node_of(probe, "max_pool")
    show(f"{AT}&node={pool}&unit=1,2,1", ".layers .frame")
    cell = page.locator(".layers canvas").first.evaluate("e => e.clientWidth / 10")
    frame = page.locator(".layers .frame").first.evaluate("e => [e.offsetLeft, e.offsetWidth]")
    assert frame == pytest.approx([2 * cell, 4 * cell], abs=1)  # windows 2 to 3, each of 3 columns


@at_a_desk
def test_colours_are_held_through_time_and_by_choice(page, show):
    show("step=3")
    page.keyboard.press(",")
    page.wait_for_url("**hold=steps*")
    assert page.get_by_label("the same at all steps").is_checked()
    page.get_by_label("Colours end by").select_option("channel")
    page.get_by_text("each its own").first.wait_for()


@at_a_desk
def test_a_step_that_is_kept_now_is_shown_now(page, show, recorded):
    show("sample=0")
    said = page.locator(".time output")
    last = int(said.inner_text().split(",")[0].split()[1])
    records = recorded[1]
    new = last + 1 if last < 90 else last + 2
    shutil.copy(records.path(STEP, "probe"), records.path(new, "probe"))
    page.get_by_text(f"step {new},").wait_for()


def test_an_edit_that_the_server_has_forgotten(page, show, check):
    show(f"{AT}&edit=0123456789abcdef", "[role=alert]")
    page.wrongs.clear()  # the browser itself writes of an answer 404
    check(page, "network-forgotten")
    page.get_by_role("link", name="Undo all").click()
    page.locator(".layers canvas").first.wait_for()
