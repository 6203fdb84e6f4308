"""Models that no page knows, on all pages that show records: ``make studio-test``.

Generated ones of odd sizes with branches, joins and a layer used twice; tokens; two inputs.
"""

import random
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from chainrule.run import backend, reference
from chainrule.train import save
from tests.studio import models
from tests.studio.bits import Recorded, Walk, all_numbers, compare

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
    """{name: run} of models of every kind, trained without machine code, which takes long to make."""
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
def show(page, link):
    """show(page's name, query): there, without a state of error."""
    page.context.request.get(link)  # the cookie

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
    """Neither its value nor anything else stands there as the last step: of a script none is known."""
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
