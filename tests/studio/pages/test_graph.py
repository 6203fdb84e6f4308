"""The page Graph in Chromium, on models that no page knows: ``make studio-test``."""

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from tests.studio.pixels import assert_colours, size_at_the_ends

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


class Block(nn.Module):
    """A branch around two layers."""

    def __init__(self, maps):
        super().__init__()
        self.one, self.two = nn.Conv2d(maps, maps, 3, padding=1), nn.Conv2d(maps, maps, 1)

    def forward(self, x):
        return cr.relu(self.two(cr.tanh(self.one(x))) + x)


class Loop(nn.Module):
    """One layer, again and again."""

    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        for _ in range(60):
            x = cr.tanh(self.cell(x))
        return self.last(x)


def train(folder, name, net, x):
    config = {"system": "xor", "epochs": 2, "lr": 0.1}
    run = Run.create("xor", config, folder / "runs" / name)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    record = Recording(run.folder, "all")
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record)
    trainer.fit(DataLoader(TensorDataset(x, Y), 6), epochs=2, verbose=False)
    run.release()
    return run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs: branches and two equal blocks; a long loop; one without a record."""
    folder = tmp_path_factory.mktemp("drawn")
    cr.manual_seed(0)
    blocks = [nn.Conv2d(2, 3, 3), Block(3), Block(3)]
    net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(3 * 7 * 9, 3))
    run = train(folder, "odd-001", net, X)
    train(folder, "loop-001", Loop(), X.reshape(12, -1)[:, :4].copy())
    config = {"system": "xor", "epochs": 2, "lr": 0.1}
    Run.create("xor", config, folder / "runs" / "plain-001").release()
    return folder, run.records


@pytest.fixture(scope="module")
def link(recorded, studio):
    with studio(recorded[0]) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query): the page with a selection, when it is there."""
    enter(page, link)

    def go(query, wait=".box, [role=treeitem]"):
        page.goto(f"http://{urlsplit(link).netloc}/graph?{query}")
        page.locator(wait).first.wait_for()

    return go


def boxes(page):
    read = """all => Object.fromEntries(all.map(e => { const b = e.getBoundingClientRect();
        return [e.dataset.item, [b.x, b.y, b.width].map(Math.round)]; }))"""
    return page.locator("[data-item]").evaluate_all(read)


def item(page, name):
    """The box or row that has a name."""
    return page.locator("[data-item]").filter(has=page.get_by_text(name, exact=True)).first


def nodes(records, kind="probe", step=STEP):
    held = records.tape(step, kind)._step
    values = {k: held.holds[n].node.result() for k, n in enumerate(held.order) if n in held.holds}
    bars = {k: held.bars[n].numpy() for k, n in enumerate(held.order) if n in held.bars}
    return held.order, {"value": values, "bar": bars}


def numbers(page):
    """What each number of the chosen node says it is, with all its bits."""
    links = page.locator("[data-node-panel] a[data-value]")
    return links.evaluate_all("all => all.map(e => ({...e.dataset}))")


def test_forward_backward_and_update_leave_everything_in_its_place(page, show, check):
    show(f"run=odd-001&step={STEP}&kind=batch&open=Sequential,1", "canvas")
    before = boxes(page)
    check(page, "graph")
    page.keyboard.press("b")
    page.get_by_text("blue: raising this value lowers the loss").wait_for()
    assert boxes(page) == before
    if page.size == "desk":
        thick = page.locator("path.line").evaluate_all(
            "all => all.map(e => parseFloat(getComputedStyle(e).strokeWidth))"
        )
        assert max(thick) > 4 > 2 > min(thick)
    check(page, "graph-backward")
    page.keyboard.press("u")
    page.get_by_text("what the optimizer changed").wait_for()
    assert boxes(page) == before
    page.keyboard.press("f")
    page.get_by_text("purple: below zero").wait_for()


def test_a_module_opens_in_place_and_the_browser_goes_back(page, show, check):
    show(f"run=odd-001&step={STEP}")
    before = boxes(page)
    block = item(page, "1")
    number = block.get_attribute("data-item")
    block.locator("a").first.dispatch_event("click") if page.size == "desk" else block.click()
    page.wait_for_url("**open=Sequential%2C1*")
    item(page, "two").wait_for()
    after = boxes(page)
    assert len(after) > len(before)
    x, y, _ = before[number]
    assert abs(after[number][0] - x) <= 2 and abs(after[number][1] - y) <= 2
    check(page, "graph-open")
    page.go_back()
    item(page, "two").wait_for(state="detached")
    assert set(boxes(page)) == set(before)


@pytest.mark.parametrize("page", ["desk"], indirect=True)  # a phone has the outline
def test_equal_blocks_look_the_same(page, show):
    show(f"run=odd-001&step={STEP}&open=Sequential")
    one, two = (item(page, name).get_attribute("data-item") for name in "12")
    show(f"run=odd-001&step={STEP}&open=Sequential,1,2")
    at = boxes(page)
    within = [
        sorted(
            (at[k][0] - at[of][0], at[k][1] - at[of][1], at[k][2])
            for k in at
            if k != of and at[of][0] < at[k][0] < at[of][0] + at[of][2]
        )
        for of in (one, two)
    ]
    assert len(within[0]) > 3
    assert np.abs(np.array(within[0]) - np.array(within[1])).max() <= 1


def test_every_number_is_the_recorded_one(page, show, recorded, check):
    order, arrays = nodes(recorded[1])
    bias = next(k for k, node in enumerate(order) if node.name == "0.bias")
    for mode in ("value", "bar"):
        show(f"run=odd-001&step={STEP}&node={bias}&mode={mode}", "[data-node-panel] td a")
        found = numbers(page)
        exact = [value.item().hex() for value in arrays[mode][bias]]
        assert [each["value"] for each in found] == exact
        assert {(each["node"], each["kind"]) for each in found} == {(str(bias), mode)}
    check(page, "graph-node")
    page.locator("[data-node-panel] td a").first.click()
    page.locator("aside h2").wait_for()
    assert page.locator("aside .number a").get_attribute("data-value") == exact[0]
    check(page, "graph-number")
    page.keyboard.press("Escape")
    page.locator("aside").wait_for(state="detached")


@pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference
@pytest.mark.parametrize(("mode", "scale"), [("value", "signed"), ("bar", "signal")])
def test_the_colours_of_a_thumbnail_are_the_values(page, show, recorded, mode, scale):
    order, arrays = nodes(recorded[1])
    node = next(k for k, each in enumerate(order) if each.op.name == "tanh")
    show(f"run=odd-001&step={STEP}&node={node}&mode={mode}&sample=2", "[data-node-panel] canvas")
    of, shown = arrays[mode][node][2], page.locator("[data-node-panel] .maps [role=img]")
    named = [re.search(r" map (\d+),", text)[1] for text in shown.evaluate_all(
        "all => all.map(e => e.ariaLabel)")]  # fmt: skip
    assert sorted(named) == ["0", "1", "2"]
    for k, number in enumerate(named):
        canvas = shown.nth(k).locator("canvas")
        assert_colours(canvas, of[int(number)], scale, size_at_the_ends(of))


@at_a_desk
def test_search_dims_the_rest_and_enter_goes_on(page, show, recorded):
    order, _ = nodes(recorded[1])
    tanh = [k for k, node in enumerate(order) if node.op.name == "tanh"]
    show(f"run=odd-001&step={STEP}")
    page.keyboard.press("/")
    page.keyboard.type("tanh")
    page.get_by_text("2 found").first.wait_for()
    assert page.locator(".dim").count() > 0
    for node in (*tanh, tanh[0]):
        page.keyboard.press("Enter")
        page.locator(f"[data-node-panel='{node}']").wait_for()
    found = page.locator(f"[data-item='{tanh[0]}']")
    assert "dim" not in (found.get_attribute("class") or "").split()
    assert "1" in parse_qs(urlsplit(page.url).query)["open"][0].split(",")


def test_the_outline_is_driven_by_keys(page, show):
    show(f"run=odd-001&step={STEP}")
    if page.size == "desk":
        page.keyboard.press("o")
    first = page.locator("[role=treeitem]").first
    first.wait_for()
    first.focus()
    page.keyboard.press("ArrowDown")  # the model
    for _ in range(20):
        if page.locator("[role=treeitem]:focus[aria-expanded=false]").count():
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.locator("[role=treeitem]:focus[aria-expanded=true]").wait_for()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("[data-node-panel]").wait_for()
    page.locator("[role=treeitem]:focus").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator("[role=treeitem]:focus[aria-expanded=false]").wait_for()
    page.keyboard.press("Escape")
    page.locator("[data-node-panel]").wait_for(state="detached")


def test_the_table_says_the_same(page, show, check):
    show(f"run=odd-001&step={STEP}")
    names = set(boxes(page))
    page.keyboard.press("t")
    page.locator("table tbody tr").first.wait_for()
    rows = page.locator("table tbody tr").count()
    assert rows == len(names) or page.size == "phone"
    check(page, "graph-table")
    page.get_by_role("table").get_by_role("link", name="1", exact=True).click()
    page.wait_for_function("n => document.querySelectorAll('tbody tr').length > n", arg=rows)


def test_a_changed_leaf_runs_again_and_undo_returns_the_bits(page, show, recorded, check):
    order, arrays = nodes(recorded[1])
    bias = next(k for k, node in enumerate(order) if node.name == "0.bias")
    last = next(k for k, node in enumerate(order) if node.op.name == "log_softmax")
    show(f"run=odd-001&step={STEP}&node={bias}", "[data-node-panel] form")
    page.get_by_label("its new value").fill("2.5")
    page.get_by_role("button", name="Run again").click()
    page.get_by_text("changed", exact=True).wait_for()
    check(page, "graph-changed")
    edit = parse_qs(urlsplit(page.url).query)["edit"][0]
    exact = [value.item().hex() for value in arrays["value"][last][0]]
    query = f"run=odd-001&step={STEP}&node={last}"
    show(f"{query}&edit={edit}", "[data-node-panel] td a")
    assert [each["value"] for each in numbers(page)] != exact
    page.keyboard.press("x")
    page.wait_for_function("!location.search.includes('edit')")
    page.get_by_text("changed", exact=True).wait_for(state="detached")
    page.locator("[data-node-panel] td a").first.wait_for()
    page.wait_for_function(
        "v => document.querySelector('[data-node-panel] td a')?.dataset.value === v", arg=exact[0]
    )
    page.wait_for_function(
        """values => [...document.querySelectorAll("[data-node-panel] td a[data-value]")]
            .map((each) => each.dataset.value).join() === values""",
        arg=",".join(exact),
    )


def test_a_long_loop_opens_collapsed_and_as_a_whole(page, show, check):
    show("run=loop-001&kind=batch&step=1")
    assert 20 < page.locator("[data-item]").count() < 130
    if page.size == "phone":
        page.get_by_text("more", exact=False).first.wait_for()
        check(page, "graph-loop")
        return
    page.get_by_role("img", name="more").first.wait_for()
    check(page, "graph-loop")
    drawing = page.get_by_role("region", name="Graph of loop-001")
    frame, at = drawing.bounding_box(), boxes(page)
    assert min(x for x, _, _ in at.values()) > frame["x"]
    assert max(x + width for x, _, width in at.values()) < frame["x"] + frame["width"]
    # So small, boxes are no targets: a click makes what is there large enough to be read.
    assert drawing.locator("a").count() == 0
    drawing.click()
    page.wait_for_url("**view=*")
    drawing.get_by_role("link").first.wait_for()
    assert max(width for _, _, width in boxes(page).values()) > 100
    check(page, "graph-loop-larger")
    page.keyboard.press("0")
    page.wait_for_function("!location.search.includes('view')")


@pytest.mark.parametrize(
    ("query", "says", "action"),
    [
        ("", "Choose the run whose graph is drawn.", "odd-001"),
        ("run=plain-001", "was trained without a record", None),
        ("run=odd-001&step=99", "Step 99 of the probe was not kept.", "Show the nearest one"),
        ("run=odd-001&mode=update", "the probe updates nothing", "Show the batch"),
    ],
)
def test_states_say_one_sentence_and_one_action(page, show, check, query, says, action):
    show(query, ".page p")
    page.get_by_text(says).wait_for()
    check(page, f"graph-state-{says.split()[0]}")
    if action is None:
        assert page.locator("code").inner_text() == "chainrule train xor --record"
    else:
        page.get_by_role("main").get_by_role("link", name=action).click()
        page.locator("canvas").first.wait_for()
