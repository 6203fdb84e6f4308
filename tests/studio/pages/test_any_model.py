"""Models that no page knows, on all pages that show records: ``make studio-test``.

Generated ones of odd sizes with branches, joins and a layer used twice; tokens; two inputs.
"""

import random
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from tests.studio import models
from tests.studio.bits import READ, Recorded, Walk, all_numbers, compare, placed
from tests.studio.keyboard import tab_to

from chainrule.run import backend, reference
from chainrule.train import save

pytestmark = pytest.mark.browser
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference

STEP = 2
RUNS = ("made-001", "made-002", "tokens-001", "two-001")
PAGES = {
    "network": ".layers canvas",
    "graph": ".box, [role=treeitem]",
    "filters": ".formula dl, .page p",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{name: run} of models of every kind, trained without machine code: making it takes long."""
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backend, "chosen", lambda: reference)
        made = [models.made(folder, 1), models.made(folder, 2)]
        made += [models.tokens(folder), models.two(folder)]
    return {run.folder.name: run for run in made}


@pytest.fixture(scope="module")
def link(runs, studio):
    with studio(next(iter(runs.values())).folder.parents[1]) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(page's name, query): there, without a state of error."""
    enter(page, link)

    def go(name, query, wait=None):
        page.goto(f"http://{urlsplit(link).netloc}/{name}?{query}")
        page.locator(wait or PAGES[name]).first.wait_for()
        assert page.get_by_role("alert").count() == 0, page.get_by_role("alert").inner_text()

    return go


def kinds(run):
    return ["probe", "batch"] if run.records.steps("probe") else ["batch"]


def few(exact):
    """Computed nodes with an error signal, of whose numbers Graph shows all of a sample."""
    return [
        k
        for k, node in enumerate(exact.tape._step.order)
        if node.inputs and exact.has_bar(k) and np.prod(node.shape) <= 64
    ]


def columns(page):
    """The nodes that Network shows beside each other."""
    return page.locator(".column").evaluate_all("all => all.map(e => Number(e.dataset.node))")


@at_a_desk
@pytest.mark.parametrize("name", RUNS)
def test_every_number_on_every_page_is_the_recorded_one(page, show, runs, name):
    """Forward, backward and update, of layers by chance; all that stands on the page each time."""
    records, chance = runs[name].records, random.Random(name)
    for kind in kinds(runs[name]):
        exact = Recorded(records, STEP, kind)
        at = f"run={name}&step={STEP}&kind={kind}&sample=1"
        show("network", at)
        node = chance.choice([k for k in columns(page) if exact.has_bar(k)])
        page.locator(f".column[data-node='{node}'] [data-map]").first.click()
        page.keyboard.press("t")
        page.locator("section td a").first.wait_for()
        assert compare(page, exact) > models.CLASSES  # whose scores stand there anyway
        page.keyboard.press("b")
        page.locator(".classes [data-kind=bar]").first.wait_for()
        page.locator("section td [data-kind=bar]").first.wait_for()
        assert compare(page, exact) > models.CLASSES
        if kind == "batch" and name != "two-001":
            parameters = page.locator("[data-parameter]")
            parameters.nth(chance.randrange(parameters.count())).click()
            page.keyboard.press("u")
            page.locator("section td [data-kind=update]").first.wait_for()
            assert compare(page, exact) > models.CLASSES
        show("graph", f"{at}&node={chance.choice(few(exact))}", "[data-node-panel] td a")
        assert compare(page, exact)
        page.keyboard.press("b")
        page.locator("[data-node-panel] td [data-kind=bar]").first.wait_for()
        assert compare(page, exact)
    kind = kinds(runs[name])[0]
    show("filters", f"run={name}&step={STEP}&kind={kind}&filter=0", "#filter, .page p")
    assert compare(page, Recorded(records, STEP, kind))


@at_a_desk
def test_what_no_optimizer_has_moved_shows_no_step(page, show, runs):
    """Neither its value nor anything else stands there: of a script no step is known."""
    order = runs["two-001"].records.tape(STEP)._step.order
    scale = next(k for k, node in enumerate(order) if node.name == "scale")
    show("network", f"run=two-001&step={STEP}&mode=update&node={scale}", "section h2")
    page.get_by_text("No last step of scale was recorded.").wait_for()
    assert page.locator("main [data-kind=update]").count() == 0


WALKS = [
    ("network", "made-001", "kind=probe", "phone"),
    ("network", "tokens-001", "kind=batch&mode=bar", "desk"),
    ("graph", "made-002", "kind=batch&mode=bar", "desk"),
    ("graph", "two-001", "kind=batch", "phone"),
    ("filters", "made-002", "kind=probe&filter=0", "desk"),
]


@pytest.mark.parametrize(
    ("path", "name", "query", "page"), WALKS, ids=[f"{w[0]}-{w[1]}" for w in WALKS],
    indirect=["page"],
)  # fmt: skip
def test_60_clicks_on_numbers(page, show, runs, path, name, query):
    """300 in all: what the drawer shows gives its value, its operands are the record's own bits."""
    record = Recorded(runs[name].records, STEP, parse_qs(query)["kind"][0])
    query = f"run={name}&step={STEP}&{query}"
    if path == "graph":
        query += f"&node={random.Random(3).choice(few(record))}"
    show(path, query)
    if path == "network":
        page.locator(".column [data-map]").last.click()
        page.keyboard.press("t")
        page.locator("section td a").first.wait_for()
    walk = Walk(page, record, seed=4)
    walk.go(60)
    assert walk.computed > 20 and len(walk.leaves) > 2


def test_from_a_class_bar_down_to_a_pixel_by_keyboard(page, show, runs, check):
    """Tab and Enter alone, along the operands that come from the picture."""
    record = Recorded(runs["made-002"].records, STEP)
    order = record.tape._step.order
    picture = next(k for k, node in enumerate(order) if node.op.name == "data")
    from_it = {picture}
    for k, node in enumerate(order):
        if any(order.index(source) in from_it for source in node.inputs):
            from_it.add(k)
    show("network", f"run=made-002&step={STEP}&kind=probe")
    tab_to(page, ".classes a.percent")
    page.keyboard.press("Enter")
    for _ in range(60):
        page.locator("aside h2:focus").wait_for()
        if page.locator("aside").get_attribute("data-leaf"):
            break
        node = next(
            each["node"]
            for each in page.locator("aside .terms a").evaluate_all(READ)
            if int(each["node"]) in from_it and each["kind"] == "value"
        )
        before = page.url
        tab_to(page, f"aside .terms a[data-node='{node}']")
        page.keyboard.press("Enter")
        page.wait_for_function("url => location.href !== url", arg=before)
        page.locator("aside h2").wait_for()
        number = parse_qs(urlsplit(page.url).query)["number"][0].split(".")
        place = {"node": number[0], "kind": number[1], "index": number[2]}
        page.locator(placed("aside .number", place)).wait_for()
    assert "data, as it entered from outside" in page.locator("aside .leaf").inner_text()
    assert page.locator(f".column[data-node='{picture}'] .frame").count() == 1  # where it is
    check(page, "network-pixel")
    page.keyboard.press("Escape")
    page.locator("aside").wait_for(state="detached")


# ---------------------------------------------------------------- changes


@at_a_desk
def test_all_numbers_are_the_recorded_ones_again_after_undo(page, show, runs):
    """A pixel, a weight, a map that is off, on Network; a leaf's element on Graph."""
    exact = Recorded(runs["made-001"].records, STEP)
    order = exact.tape._step.order
    named = {node.name: k for k, node in enumerate(order)}
    picture = next(k for k, node in enumerate(order) if node.op.name == "data")
    last = next(k for k, node in enumerate(order) if node.op.name == "log_softmax")
    scores = order.index(order[last].inputs[0])
    conv = next(k for k, node in enumerate(order) if node.op.name == "conv") + 4  # with its bias
    at, seen = f"run=made-001&step={STEP}&kind=probe", ":is(.classes, aside .number)"

    def numbers(within):
        return [number[3] for number in all_numbers(page, within)]

    def wait_for(within, wanted, same):
        page.wait_for_function(
            """([css, wanted, same]) => {
                const all = [...document.querySelectorAll(css)].map((e) => e.dataset.value);
                return all.length > 0 && (all.join() === wanted) === same;
            }""",
            arg=[f"{within} [data-value][data-node]", ",".join(wanted), same],
        )

    for opened in (f"{picture}.value.0,0,3,4", f"{named['last.weight']}.value.1,2", None):
        layer = scores if opened else conv
        query = f"{at}&node={layer}&unit=0" + (f"&number={opened}" if opened else "")
        show("network", query, "aside form" if opened else ".board canvas")
        recorded = numbers(seen)
        assert numbers(".classes") == [v.item().hex() for v in exact.array(scores, "value")[0]]
        if opened:
            page.get_by_label("New value").fill("2.5")
            page.get_by_role("button", name="Set").click()
        else:
            page.keyboard.press("o")
        page.get_by_text("changed", exact=True).wait_for()
        wait_for(seen, recorded, False)
        page.locator(".page h1").click()
        page.keyboard.press("x")
        page.wait_for_function("!location.search.includes('edit')")
        wait_for(seen, recorded, True)
        assert compare(page, exact)
    panel = "[data-node-panel] td"
    show("graph", f"{at}&node={last}", f"{panel} a")
    recorded = numbers(panel)
    show("graph", f"{at}&node={named['last.bias']}", "[data-node-panel] form")
    page.get_by_label("element").fill("1")
    page.get_by_label("its new value").fill("-3")
    page.get_by_role("button", name="Run again").click()
    page.get_by_text("changed", exact=True).wait_for()
    edit = parse_qs(urlsplit(page.url).query)["edit"][0]
    show("graph", f"{at}&node={last}&edit={edit}", f"{panel} a")
    wait_for(panel, recorded, False)
    page.keyboard.press("x")
    page.wait_for_function("!location.search.includes('edit')")
    wait_for(panel, recorded, True)
    assert compare(page, exact)


# ---------------------------------------------------------------- one bit


@at_a_desk
def test_one_recorded_bit_that_changed_is_seen(page, show, runs):
    """The lowest bit of one number of a step: that number alone is another one, on each page."""
    run = runs["made-001"]
    records, step = run.records, 3
    path = records.path(step, "probe")
    whole = path.read_bytes()
    exact = Recorded(records, step)
    weight = next(k for k, n in enumerate(exact.tape._step.order) if n.name == "last.weight")
    views = [("network", f"node={weight}&unit=0", "section td a"),
             ("graph", f"number={weight}.value.1,2", "aside .number a")]  # fmt: skip

    def shown():
        found = []
        for name, query, wait in views:
            show(name, f"run={run.folder.name}&step={step}&kind=probe&{query}")
            if name == "network":
                page.keyboard.press("t")
            page.locator(wait).first.wait_for()
            found.append({number[:3]: number[3] for number in all_numbers(page, "body")})
        return found

    before = shown()
    kept = records.read(step, "probe")
    array = np.array(kept["values"][str(weight)])
    array.view(np.uint32)[1, 2] ^= 1
    kept["values"][str(weight)] = array
    try:
        save(kept, path)
        after = shown()
    finally:
        path.write_bytes(whole)
    place = (str(weight), "value", "1,2")
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert {at for at in old if old[at] != new[at]} == {place}
        assert old[place] == exact(weight, "value", "1,2").item().hex()
        assert new[place] == array[1, 2].item().hex()
    assert shown() == before


@at_a_desk
@pytest.mark.parametrize("name", PAGES)
def test_a_step_whose_file_is_damaged_says_so(page, link, enter, runs, name, check):
    """In a sentence, with what to do; the steps beside it stay readable."""
    run = runs["made-002"]
    path = run.records.path(3, "probe")
    whole = path.read_bytes()
    enter(page, link)
    at = f"http://{urlsplit(link).netloc}/{name}?run={run.folder.name}&kind=probe&step="
    try:
        path.write_bytes(whole[: len(whole) // 2])
        page.goto(f"{at}3")
        page.get_by_role("alert").wait_for()
        said = page.get_by_role("alert").inner_text()
        assert "made-002" in said and "probe-000003.safetensors" in said, said
        check(page, f"{name}-damaged")
        page.goto(f"{at}2")
        page.locator(PAGES[name]).first.wait_for()
        # Filters through time are those of all steps, so that one that is damaged is told of.
        told = page.get_by_role("alert").all_inner_texts()
        assert all("probe-000003.safetensors" in text for text in told)
        assert not told or name == "filters"
    finally:
        path.write_bytes(whole)
    page.wrongs[:] = [said for said in page.wrongs if "422" not in said]  # the browser's own
