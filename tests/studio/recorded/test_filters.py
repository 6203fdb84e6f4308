"""The page Filters: what the server tells of a run's filters, and the page in Chromium."""

import base64
import random
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.studio.pixels import assert_colours, size_at_the_ends

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.inspect.reach import reach
from chainrule.studio.recorded import filters as films
from chainrule.studio.recorded.filters import Films, filters
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

X = np.random.default_rng(0).normal(size=(12, 3, 9, 11)).astype(np.float32)
Y = np.arange(12) % 3
STEP = 3


class Skip(nn.Module):
    """A path with holes beside one that hands on."""

    def __init__(self, count):
        super().__init__()
        self.wide, self.relu = nn.Conv2d(count, count, 3, padding=2, dilation=2), nn.ReLU()

    def forward(self, x):
        return self.relu(self.wide(x)) + x


def train(run, net, x, wanted="all", epochs=2):
    cr.manual_seed(0)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    record = Recording(run.folder, wanted)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record)
    trainer.fit(DataLoader(TensorDataset(x, Y), 6), epochs=epochs, verbose=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs: odd sizes, colours, a dead filter and two alike; without convolutions; of one step."""
    folder = tmp_path_factory.mktemp("filters")
    made = {}
    for name in ("odd-001", "flat-001", "line-001", "one-001", "plain-001"):
        config = {"system": "xor", "epochs": 2, "lr": 0.1}
        made[name] = Run.create("xor", config, folder / "runs" / name)
    cr.manual_seed(0)
    first = nn.Conv2d(3, 5, 3, stride=2)
    with cr.no_grad():
        first.bias[1] = -1000.0
        first.weight[4] = -2 * first.weight[2]
    net = nn.Sequential(first, nn.ReLU(), Skip(5), nn.Conv2d(5, 40, 1), nn.ReLU())
    train(made["odd-001"], nn.Sequential(net, nn.Flatten(), nn.Linear(40 * 4 * 5, 3)), X)
    net = nn.Sequential(nn.Flatten(), nn.Linear(99, 6), nn.ReLU(), nn.Linear(6, 3))
    train(made["flat-001"], net, X[:, 0])
    train(made["line-001"], nn.Sequential(nn.Linear(11, 6), nn.Linear(6, 3)), X[:, 0, 0])
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(99, 3))
    train(made["one-001"], net, X, "steps=0", epochs=1)
    for run in made.values():
        run.release()
    return folder, {name: run.records for name, run in made.items()}


def weights_of(records, name, kind="probe"):
    """f32[steps, …] as Python reads them."""
    return np.stack([records.tape(step, kind)[name].value for step in records.steps(kind)])


# ---------------------------------------------------------------- the server


def loaded(records, name, kind="probe"):
    """A film, all parts of it: (the last part, numbers)."""
    reader, parts, begin = Films(), [], 0
    while True:
        part = reader.film(records, kind, name, begin)
        shape = (len(part["steps"]), len(part["filters"]), len(part["channels"]))
        numbers = np.frombuffer(base64.b64decode(part["numbers"]), "<f4")
        parts.append(numbers.reshape(*shape, part["rows"], part["columns"]))
        begin += len(part["steps"])
        if begin == len(part["all"]):
            return part, np.concatenate(parts)


@pytest.mark.parametrize("seconds", [100, -1])
def test_a_film_has_the_recorded_weights_in_as_many_parts_as_it_takes(
    recorded, monkeypatch, seconds
):
    monkeypatch.setattr(films, "SECONDS", seconds)  # −1: one step an answer
    records = recorded[1]["odd-001"]
    part, numbers = loaded(records, "0.0.weight")
    weights = weights_of(records, "0.0.weight")
    assert part["all"] == records.steps("probe")
    assert part["filters"] == [0, 1, 2, 3, 4] and part["channels"] == [0, 1, 2]
    assert numbers.tobytes() == weights.tobytes()
    assert part["most"][-1] == np.abs(weights[-1]).max()
    assert part["alive"][-1][1] == 0 and part["samples"][-1] == 12


def test_of_many_filters_the_largest_at_the_end_are_shown(recorded):
    records = recorded[1]["odd-001"]
    part, numbers = loaded(records, "0.3.weight")
    weights = weights_of(records, "0.3.weight")
    sizes = (weights[-1].astype(float) ** 2).mean((1, 2, 3))
    assert part["filters"] == sorted(np.argsort(-sizes)[:16].tolist())
    assert (numbers == weights[:, part["filters"]]).all()


def test_what_is_read_is_kept_and_not_without_end(recorded, monkeypatch):
    records, reader = recorded[1]["odd-001"], Films()
    read, reads = [], films._read
    monkeypatch.setattr(films, "_read", lambda *what: read.append(what) or reads(*what))
    reader.film(records, "probe", "0.0.weight", 0)
    first = len(read)
    reader.film(records, "probe", "0.0.weight", 0)
    assert len(read) == first > 0
    monkeypatch.setattr(films, "BYTES", 1)
    reader.film(records, "probe", "0.3.weight", 0)
    assert len(reader._frames) == 1


def test_filters_of_a_step(recorded):
    records = recorded[1]["odd-001"]
    step = films.Step(records.tape(0, "probe"), 12)
    first, wide, last = filters(step)
    assert (first["colours"], wide["colours"], last["colours"]) == (True, False, False)
    assert first["alive"][1] == 0 and first["most"][1] == 0
    (pair,) = first["pairs"]
    assert (pair["first"], pair["second"]) == (2, 4) and pair["cosine"] == pytest.approx(-1)
    assert len(last["shown"]) == 16 and last["filters"] == 40


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("films/probe?name=none", "filters 'none' in the last kept probe"),
        ("films/other?name=0.0.weight", "'other', needs batch or probe"),
        ("films/probe?name=0.0.weight&from=-1", "from as a whole number"),
        ("steps/probe/3/reach?node=99999&index=0", "node 99999"),
        ("steps/probe/3/reach?node=0&index=0,9,9", "index (0, 9, 9)"),
        ("steps/probe/3/reach?node=0&index=a", "numbers such as"),
        ("steps/probe/77/filters", "step 77"),
    ],
)
def test_what_can_not_be_answered_is_refused_in_a_sentence(recorded, assets, path, words):
    from starlette.testclient import TestClient

    from chainrule.studio.app import make_app
    from chainrule.studio.runs import Runs

    app = make_app(Runs(recorded[0] / "runs"), "a-token", 8765, assets)
    with TestClient(app, "http://127.0.0.1:8765") as client:
        client.get("/?token=a-token")
        answer = client.get(f"/api/runs/odd-001/{path}")
    assert answer.status_code == 422
    assert words in answer.json()["error"]


# ---------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def link(recorded, studio):
    with studio(recorded[0]) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query): the page with a selection, when it is there."""
    enter(page, link)

    def go(query, wait=".formula dl"):
        page.goto(f"http://{urlsplit(link).netloc}/filters?{query}")
        page.locator(wait).first.wait_for()

    return go


def layers_of(page):
    return page.locator(".tile").evaluate_all("all => all.map(e => Number(e.dataset.node))")


@pytest.mark.browser
def test_units_show_exactly_what_moves_them(page, show, recorded, check):
    """Chosen by chance, in layers by chance: lit are the cells that Python says, and no others."""
    show(f"run=odd-001&step={STEP}")
    check(page, "filters")
    tape = recorded[1]["odd-001"].tape(STEP, "probe")
    order = tape._step.order
    draws = random.Random(5)
    layers = layers_of(page)
    for _ in range(5):
        node = draws.choice(layers[1:])
        shape = order[node].shape[1:]
        at = [draws.randrange(size) for size in shape]
        unit = at if len(shape) == 3 else [0, *at]
        show(f"run=odd-001&step={STEP}&node={node}&unit={','.join(map(str, unit))}&sample=1")
        seen = reach(tape, node, (1, *at))
        tile = page.locator(f".tile[data-node='{layers[0]}']")
        tile.get_by_text(f"{len(seen[layers[0]]):,} of 297", exact=True).wait_for()
        cells = {(int(r), int(c)) for _, _, r, c in seen[layers[0]]}
        pixels = tile.locator("svg path").evaluate_all("""paths => {
            const lit = [];
            for (const path of paths.slice(0, 1)) {
                const svg = path.ownerSVGElement, w = svg.width.baseVal.value / 11;
                for (let r = 0; r < 9; r++) for (let c = 0; c < 11; c++)
                    if (!path.isPointInFill(new DOMPoint((c + 0.5) * w, (r + 0.5) * w)))
                        lit.push([r, c]);
            }
            return lit;
        }""")
        if len(cells) < 99:
            assert {tuple(cell) for cell in pixels} == cells
        else:
            assert tile.locator("svg").count() == 0
        value = page.locator(".own a[data-value]").get_attribute("data-value")
        assert value == tape._step.holds[order[node]].node.result()[(1, *at)].item().hex()


@pytest.mark.browser
def test_from_a_filter_to_its_map_to_a_unit_by_keyboard_and_back(page, show, check):
    show(f"run=odd-001&step={STEP}")
    page.locator("[data-filter='3']").focus()
    page.keyboard.press("Enter")
    page.locator("#filter:focus").wait_for()
    check(page, "filters-chosen")
    page.locator("section .map canvas").click(position={"x": 3, "y": 3})
    page.wait_for_url("**unit=3%2C0%2C0*")
    board = page.locator(".own .board")
    page.get_by_text("unit (0, 0) of map 3").wait_for()
    board.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.get_by_text("unit (1, 1) of map 3").wait_for()
    page.get_by_text("0 + 1 · 2 = 2").first.wait_for()
    page.keyboard.press("Escape")
    page.locator("#filter").wait_for(state="detached")
    page.go_back()
    page.locator("#filter").wait_for()


@pytest.mark.browser
def test_the_numbers_of_a_kernel_are_the_recorded_ones_and_open(page, show, recorded, check):
    show(f"run=odd-001&step={STEP}&filter=2&channel=1", "section table [data-kind='value']")
    (weights,) = weights_of(recorded[1]["odd-001"], "0.0.weight")[[STEP]]
    links = page.locator("section[aria-labelledby='filter'] td a")
    found = links.evaluate_all("all => all.map(e => e.dataset.value)")
    assert found == [value.item().hex() for value in weights[2, 1].reshape(-1)]
    links.nth(5).click()
    page.locator("aside .leaf").wait_for()
    assert "[2, 1, 1, 2]" in page.locator("aside h2").inner_text()
    check(page, "filters-number")


@pytest.mark.browser
@pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference
def test_the_colours_of_a_filters_map_and_of_its_kernels_are_the_values(page, show, recorded):
    records = recorded[1]["odd-001"]
    show(f"run=odd-001&step={STEP}&filter=2&sample=1", "section .map canvas")
    tape = records.tape(STEP, "probe")
    relu = next(node for node in tape._step.order if node.op.name == "relu")
    of = tape._step.holds[relu].node.result()[1]
    assert_colours(page.locator("section .map canvas"), of[2], "ink", size_at_the_ends(of))
    weights = weights_of(records, "0.0.weight")
    for channel in range(3):
        kernel = page.get_by_role("link", name=f"Channel {channel}").locator("canvas")
        assert_colours(kernel, weights[STEP, 2, channel], "signed", np.abs(weights).max())


@pytest.mark.browser
def test_flags_have_their_figures(page, show):
    show("run=odd-001&step=0&kind=probe")
    page.get_by_text("not zero on 0 of 12 samples, largest |value| 0").wait_for()
    page.get_by_text("cosine −1").wait_for()
    assert page.locator("[data-filter='1']").inner_text().split() == ["1", "dead"]
    assert page.locator("[data-filter='4']").inner_text().split() == ["4", "like", "2"]


@pytest.mark.browser
def test_filters_through_time_have_one_scale(page, show, recorded, check):
    show("run=odd-001&film=time&bank=0.2.wide.weight", "table canvas")
    weights = weights_of(recorded[1]["odd-001"], "0.2.wide.weight")
    page.get_by_text("in all 5 kept steps").wait_for()
    check(page, "filters-time")
    size = np.abs(weights).max()
    said = page.locator(".scale").inner_text()
    assert f"±{size:.4g}" in said
    film = page.get_by_role("region", name="Filters through the kept steps")
    assert film.locator("tbody canvas").count() == 5 * 5
    read = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    names = ["lowest", "low", "zero", "high", "highest"]
    texts = [page.evaluate(read, f"--signed-{name}") for name in names]
    stops = np.array([[int(text[k : k + 2], 16) for k in (1, 3, 5)] for text in texts])
    pixel = """e => [...e.getContext("2d").getImageData(e.width / 6, e.height / 6, 1, 1).data]"""
    canvas = film.locator("tbody tr").nth(3).locator("canvas").nth(2)
    along = (weights[2, 3, 0, 0, 0] / size + 1) * 2
    wanted = [np.interp(along, range(5), stops[:, k]) for k in range(3)]
    assert np.abs(np.array(canvas.evaluate(pixel))[:3] - wanted).max() <= 1
    film.locator("thead a").nth(1).click()
    page.wait_for_url("**step=1&**")
    page.keyboard.press("m")
    page.locator("[data-filter]").first.wait_for()
    page.keyboard.press("t")
    page.get_by_role("region", name="Table of the filters").wait_for()
    check(page, "filters-table")


@pytest.mark.browser
def test_playing_goes_through_the_steps_and_ends(page, show):
    show("run=odd-001&step=0")
    page.get_by_role("button", name="Play").click()
    page.get_by_text("step 4, epoch").wait_for()
    page.get_by_role("button", name="Play").wait_for()


@pytest.mark.browser
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
    check(page, f"filters-state-{says.split()[0]}")
    if action is None:
        assert page.locator("code").inner_text() == "chainrule train xor --record"
    else:
        page.get_by_role("main").get_by_role("link", name=action).click()
        page.locator(".formula dl").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("run=flat-001&filter=0", "its first linear layer, each in the shape of a sample"),
        ("run=line-001&filter=0", "its first linear layer, one strip a unit"),
        ("run=one-001&kind=batch&filter=0", "One step was kept"),
    ],
)
def test_other_models_and_one_step(page, show, check, query, says):
    show(query, "#filter")
    page.get_by_text(says).wait_for()
    if "one" in query:
        assert page.get_by_role("button", name="Play").is_disabled()
    check(page, f"filters-{query[4:8]}")
