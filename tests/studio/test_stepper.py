"""The stepper: what the server answers, the page in Chromium, and the file that it is saved as."""

from urllib.parse import quote, urlencode, urlsplit

import pytest
from tests.studio.keyboard import tab_to

from chainrule.inspect.explain.lines import LINES
from chainrule.studio.saved.export import ROUNDS
from chainrule.studio.stepper import stepper

OWN = {
    "formula": "L = (sigmoid(w*x + b) - t)**2/2 + lam*w**2/2",
    "values": "w = 0.8, b = -0.3, x = 1.5, t = 1, lam = 0.1",
}


def test_the_server_answers_with_the_examples_and_with_ones_own(client):
    listed = client.get("/api/stepper/examples").json()["examples"]
    assert [each["name"] for each in listed] == list(LINES)
    found = client.get("/api/stepper", params=OWN | {"rate": "0.5"}).json()
    assert found["learned"] == "w,b" and found["rate"] == 0.5
    assert found == stepper(OWN | {"rate": "0.5"})
    same = client.get("/api/stepper", params={"example": "logistic-l2"}).json()
    assert found["update"]["before"] == same["update"]["before"]


def test_next_values_are_the_updated_ones_to_the_last_bit():
    first = stepper({"example": "two-layer"})
    second = stepper({"example": "two-layer", "values": first["next"]})
    assert second["update"]["before"] == first["update"]["after"]
    for row in first["update"]["rows"]:
        node = first["nodes"][row["of"]]
        (again,) = [each for each in second["nodes"] if each["name"] == node["name"]]
        assert again["value"] == row["value"]


def test_a_division_by_zero_is_shown_as_it_is():
    found = stepper({"formula": "L = 2*w/0", "values": "w = 0.8"})
    loss = next(node for node in found["nodes"] if node["name"] == "L")
    assert "Infinity" in str(loss["value"]) and "/0" in str(loss)


@pytest.mark.parametrize(
    ("given", "of", "column", "words"),
    [
        ({"formula": "w*(x", "values": ""}, "formula", 5, "needs “)”"),
        ({"formula": "w*2", "values": "w = [1"}, "values", 7, "needs “]”"),
        ({"formula": "w*x", "values": "w = 1"}, "formula", 3, "x, which has no value"),
        ({"formula": ""}, "formula", 1, "needs a formula"),
        ({"example": "none"}, "formula", None, "example 'none'"),
        ({"formula": "w*2", "values": "w = 1", "rate": "-1"}, "formula", None, "learning rate"),
        ({"formula": "w*2", "values": "w = 1", "rate": "nan"}, "formula", None, "learning rate"),
        ({"formula": "open(w)", "values": "w = 1"}, "formula", 1, "needs a function"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(client, given, of, column, words):
    answer = client.get("/api/stepper", params=given)
    assert answer.status_code == 422
    said = answer.json()
    assert words in said["error"] and said["remedy"]
    assert (said["of"], said.get("column")) == (of, column)


# ---------------------------------------------------------------- in Chromium


@pytest.fixture(scope="module")
def link(tmp_path_factory, studio):
    with studio(tmp_path_factory.mktemp("stepper")) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(wait, **query): the stepper there."""
    enter(page, link)

    def go(wait=".given .katex-html", **query):
        page.goto(f"http://{urlsplit(link).netloc}/stepper?{urlencode(query, quote_via=quote)}")
        page.locator(wait).first.wait_for(state="attached")

    return go


def shown(page, where):
    """{(node, kind, index): bits} of the numbers in a part of the page."""
    read = "all => all.map(e => [e.dataset.node, e.dataset.kind, e.dataset.index, e.dataset.value])"
    found = page.locator(f"{where} [data-node][data-value]").evaluate_all(read)
    return {(int(node), kind, index): value for node, kind, index, value in found}


def places(array):
    if not array["shape"]:
        return [""]
    if len(array["shape"]) == 1:
        return [str(k) for k in range(array["shape"][0])]
    rows, columns = array["shape"]
    return [f"{i},{j}" for i in range(rows) for j in range(columns)]


@pytest.mark.browser
@pytest.mark.parametrize("example", ["logistic-l2", "two-layer"])
def test_every_number_is_the_programs_own(page, show, check, example):
    script = stepper({"example": example})
    show(example=example, move=999)
    page.locator("[data-phase=after]").wait_for()
    if page.size == "phone":
        page.get_by_role("button", name="All lines").click()
    found = shown(page, ".lines")
    for k, node in enumerate(script["nodes"]):
        for index, bits in zip(places(node["value"]), node["value"]["hex"], strict=True):
            assert found[k, "value", index] == bits
    for row in script["backward"]:
        for index, bits in zip(places(row["value"]), row["value"]["hex"], strict=True):
            assert found[row["of"], "bar", index] == bits
    updated = shown(page, "[data-phase=update]")
    for row in script["update"]["rows"]:
        for index, bits in enumerate(row["value"]["hex"]):
            assert updated[row["of"], "updated", str(index)] == bits
    after = page.locator("[data-phase=after] [data-value]").last.get_attribute("data-value")
    assert after == script["update"]["after"]["hex"][0]
    graph = page.locator(".graph [role=region]")
    fits = graph.evaluate("e => [e.scrollWidth - e.clientWidth, e.clientWidth]")
    assert fits[0] <= 0, f"the graph is wider than its {fits[1]} pixels"
    if example == "two-layer":
        check(page, "stepper-end")


@pytest.mark.browser
def test_the_whole_stepper_by_keyboard(page, show, check):
    script = stepper({"example": "logistic-l2"})
    show()
    assert page.locator("[aria-label=Forward] li.coming").count() == 5
    assert page.locator("[aria-label=Forward] [data-value]").count() == 0
    for node in script["nodes"]:
        if node["kind"] == "computed":
            page.keyboard.press("ArrowRight")
            page.locator(
                f"li[aria-current=step][data-line='{script['nodes'].index(node)}']"
            ).wait_for()
    for row in script["backward"]:
        for count in range(1, max(1, len(row["addends"])) + 1):
            page.keyboard.press("ArrowRight")
            page.locator(f"li[aria-current=step][data-line='{row['of']}']").wait_for()
            if len(row["addends"]) > 1:
                text = page.locator("li[aria-current=step] .count").inner_text()
                assert text == f"{count} of {len(row['addends'])}"
                lit = page.locator("g.node.lit").get_attribute("data-graph")
                assert lit == str(row["of"])
    if page.size == "phone":
        _nothing_lies_under_the_controls(page)
    for phase in ("check", "update", "after"):
        page.keyboard.press("ArrowRight")
        page.locator(f"[data-phase={phase}]").wait_for()
    tab_to(page, "a.next")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "location.search.includes('values=') && !location.search.includes('move')"
    )
    page.keyboard.press("End")
    before = page.locator("[data-phase=after] [data-value]").first
    before.wait_for()
    page.wait_for_function(
        "bits => document.querySelector('[data-phase=after] [data-value]').dataset.value == bits",
        arg=script["update"]["after"]["hex"][0],
    )
    page.keyboard.press("Home")
    page.locator("[data-phase=after]").wait_for(state="detached")
    page.go_back()
    page.locator("[data-phase=after]").wait_for()
    page.keyboard.press("t")
    page.locator(".graph table").wait_for()


def _nothing_lies_under_the_controls(page):
    """At the end of the page no text is covered by what floats over it."""
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    covered = page.evaluate("""() => {
        const floats = document.querySelector("[data-floats]");
        const top = floats.getBoundingClientRect().top;
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        for (let node; (node = walker.nextNode()); ) {
            const owner = node.parentElement;
            if (!node.data.trim() || floats.contains(owner) || !owner.checkVisibility()) continue;
            if (owner.closest(".unseen, .skip, .katex-mathml, [role=region]")) continue;
            const range = document.createRange();
            range.selectNodeContents(node);
            if (range.getBoundingClientRect().bottom > top + 1) found.push(node.data);
        }
        return found;
    }""")
    assert covered == []


@pytest.mark.browser
def test_guessing_names_what_is_missing(page, show, check):
    show("#guess", example="logistic", game="guess", move=4)  # L̄ = 1 is shown, ȳ is asked
    field, verdict = page.locator("#guess"), page.locator("#verdict")
    for typed, words in [
        ("0.2891", "the sign is not"),
        ("5", "Not that"),
        ("x", "Type a number"),
        ("-0.2891", "Right."),
    ]:
        field.fill(typed)
        field.press("Enter")
        page.wait_for_function(
            "w => document.querySelector('#verdict').innerText.includes(w)", arg=words
        )
    field.press("Enter")
    page.wait_for_function("document.querySelector('.guess label').innerText.includes('z')")
    field.fill("-0.0836")  # −0.2891·(1 − 0.7109): without y
    field.press("Enter")
    assert "factor" in verdict.inner_text()
    check(page, "stepper-guess")


@pytest.mark.browser
def test_the_planted_bug_turns_the_check_red_and_is_found(page, show, check):
    script = stepper({"example": "logistic-l2"})
    (bug,) = script["planted"]
    show("tr.bad", game="bug")
    assert page.locator("tr.bad").get_attribute("data-check") == str(bug["of"])
    rows = page.locator("[aria-label=Backward] > li")
    rows.nth(1).get_by_role("button").click()
    page.get_by_text("Look for a value with several readers").wait_for()
    page.locator(f"[aria-label=Backward] > li[data-line='{bug['of']}']").get_by_role(
        "button"
    ).click()
    page.get_by_text("The last one wrote “=” for “+=”").wait_for()
    page.get_by_role("link", name="Show the right line").click()
    page.locator("li[aria-current=step] .count").wait_for()


@pytest.mark.browser
def test_ones_own_formula_notations_and_reuse(page, show, check):
    script = stepper(OWN)
    show(**OWN, move=999, naive="yes")
    counted = page.locator(".board > .count").inner_text()
    assert f"{script['reuse']['with']} with reuse" in counted
    assert f"{script['reuse']['without']} without" in counted
    page.keyboard.press("r")
    page.locator(".board > .count").wait_for(state="detached")
    page.keyboard.press("n")
    page.wait_for_url("**notation=leibniz*")
    page.locator("[data-latex*='\\\\frac{\\\\partial L}{\\\\partial w}']").first.wait_for(
        state="attached"
    )
    page.get_by_role("button", name="One’s own").click()
    page.get_by_role("textbox", name="Formula").fill("L = (w*x")
    page.get_by_role("button", name="Step through it").click()
    page.get_by_role("alert").wait_for()
    assert "at column 9" in page.get_by_role("alert").inner_text()
    check(page, "stepper-refused")
    page.wrongs.clear()  # the browser itself writes of an answer 422


@pytest.mark.browser
def test_a_saved_stepper_opens_without_a_server(page, show, tmp_path):
    show(example="logistic")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save").click()
    assert download.value.suggested_filename == "stepper.html"
    path = tmp_path / "steps.html"
    download.value.save_as(path)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.locator(".given .katex-html").first.wait_for()
    for n in range(ROUNDS):
        page.keyboard.press("End")
        page.locator("[data-phase=after]").wait_for()
        if n < ROUNDS - 1:
            page.get_by_role("link", name="Next step").click()
            page.locator("[data-phase=after]").wait_for(state="detached")
    page.get_by_text("This file ends here").wait_for()
    page.go_back()
    page.get_by_role("link", name="Next step").wait_for()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
