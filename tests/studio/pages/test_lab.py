"""The convolution lab in Chromium: ``make studio-test``."""

import random
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from scipy import signal
from tests.studio.pixels import assert_colours

from chainrule.inspect.sliding import pooled, slide
from chainrule.studio.lab.inputs import image_of, kernel_of, numbers_of

pytestmark = pytest.mark.browser
at_a_desk = pytest.mark.parametrize("page", ["desk"], indirect=True)  # the size makes no difference
on_a_phone = pytest.mark.parametrize("page", ["phone"], indirect=True)  # where it is narrow

A06 = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


@pytest.fixture(scope="module")
def link(tmp_path_factory, studio):
    with studio(tmp_path_factory.mktemp("lab")) as (_, link):
        yield link


@pytest.fixture
def show(page, link, enter):
    """show(query): the lab with a view, when it is there."""
    enter(page, link)

    def go(query, wait=".plane"):
        page.goto(f"http://{urlsplit(link).netloc}/lab?{query}")
        page.locator(wait).first.wait_for()

    return go


def shown(page, node, kind="value", within="main"):
    """What stands on the page of a node: its numbers by their index."""
    found = page.locator(f"{within} [data-node='{node}'][data-kind='{kind}']")
    read = "all => all.map(e => [e.dataset.index, e.dataset.value])"
    return {
        tuple(map(int, index.split(","))): float.fromhex(value)
        for index, value in found.evaluate_all(read)
    }


def as_dict(array):
    return {index: value.item() for index, value in np.ndenumerate(np.asarray(array))}


def products(page):
    read = "all => all.map(e => e.dataset.product)"
    return list(map(float.fromhex, page.locator("[data-product]").evaluate_all(read)))


def test_slide_forward_and_backward(page, show, check):
    show("")
    wanted = slide(A06, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    for node in ("x", "w", "y"):
        assert shown(page, node, within=".planes") == as_dict(getattr(wanted, node).numpy())
    page.locator("body").press("b")
    page.get_by_text("blue, raising this value lowers the loss").wait_for()
    check(page, "lab-backward")
    for node in ("x", "w", "y"):
        bar = getattr(wanted, f"{node}_bar").numpy()
        assert shown(page, node, "bar", ".planes") == as_dict(bar)
    page.locator("body").press("f")
    page.get_by_role("button", name="Play").wait_for()


@at_a_desk
@pytest.mark.parametrize("bar", [False, True])
def test_colours_are_the_numbers(page, show, bar):
    query = "image=hook&kernel=corner&padding=same"
    show(f"{query}{'&mode=bar' if bar else ''}")
    wanted = slide(image_of("hook", 7, 2), kernel_of("corner", 2), padding="same")
    page.locator(f".planes [data-kind={'bar' if bar else 'value'}]").first.wait_for()
    pictures = page.locator(".planes .group .plane:first-child canvas")
    for k, name in enumerate(("x_bar", "w_bar", "y_bar") if bar else "xwy"):
        of = getattr(wanted, name).numpy()
        of = of.reshape(of.shape[-2:])
        scale = "signal" if bar else "signed" if of.min() < 0 else "ink"
        assert_colours(pictures.nth(k), of, scale, np.abs(of).max())


@at_a_desk
def test_the_window_moves_by_keys_and_plays(page, show):
    show("")
    outputs = page.locator(".planes .group").nth(2).locator("text")
    assert outputs.count() == 9
    for key in ("ArrowRight", "ArrowDown"):
        page.locator("body").press(key)
    page.locator(".sum .name", has_text="y[1, 1]").wait_for()
    assert products(page) == [1, 0, 1, 0, 1, 0, 0, 0, 1] and "at=y.0%2C1%2C1" in page.url
    page.locator("body").press(" ")
    page.locator(".sum .name", has_text="y[0, 1]").wait_for()  # it begins at the first one
    assert outputs.count() == 2  # the output fills
    page.locator("body").press(" ")
    page.get_by_role("link", name="Show the whole output").click()
    page.wait_for_function("!location.search.includes('fill')")
    assert outputs.count() == 9
    page.locator("body").press("Escape")
    page.locator(".sum .name", has_text="y[0, 0]").wait_for()


@at_a_desk
def test_every_walk_through_numbers_ends_at_data(page, show):
    chooser = random.Random(3)
    query = "image=hook&kernel=corner&padding=full&dilation=2&op=convolution&mode=bar"
    options = {"padding": "full", "dilation": 2, "mode": "convolution"}
    wanted = slide(image_of("hook", 7, 2), kernel_of("corner", 2), **options)
    show(query)
    ends = 0
    for _ in range(12):
        name = page.locator(".sum .name").inner_text()
        result = float.fromhex(page.locator(".sum .result a").get_attribute("data-value"))
        links = page.locator(".sum ol a")
        if links.count() == 0:
            said = page.locator(".sum").inner_text()
            leaves = ("It comes from above", "It is data", "It is a number of the kernel")
            assert any(leaf in said for leaf in leaves) or result == 0
            ends += 1
            show(f"{query}&at={chooser.choice(['x.0,1,2', 'w.0,0,1,2'])}")
            continue
        rest = page.locator("[data-rest]").evaluate_all("all => all.map(e => e.dataset.rest)")
        terms = products(page) + list(map(float.fromhex, rest))
        assert len(terms) <= 13 and sum(terms) == pytest.approx(result, rel=1e-12)
        assert float.fromhex(page.locator("[data-sum]").first.get_attribute("data-sum")) == (
            pytest.approx(result, rel=1e-12))  # fmt: skip
        for index, value in shown(page, "y", "bar", ".sum ol").items():
            assert value == wanted.y_bar.numpy()[index]
        for index, value in shown(page, "x", "value", ".sum ol").items():
            assert value == wanted.x.numpy()[index]
        links.nth(chooser.randrange(links.count())).click()
        page.wait_for_function("t => document.querySelector('.sum .name').innerText != t", arg=name)
    assert ends >= 2


@at_a_desk
def test_back_and_forward_lead_through_settings(page, show):
    show("")
    outputs = page.locator(".planes .group").nth(2).locator("text")
    page.get_by_role("combobox", name="padding").select_option("full")
    outputs.nth(48).wait_for()
    assert outputs.count() == 49
    page.get_by_role("combobox", name="kernel is").select_option("convolution")
    page.get_by_text("as it slides: flipped").wait_for()
    page.go_back()
    page.get_by_text("as it slides: flipped").wait_for(state="detached")
    page.go_back()
    outputs.nth(9).wait_for(state="detached")
    assert outputs.count() == 9
    page.go_forward()
    page.wait_for_url("**padding=full*")


def test_paint_by_hand_and_by_keys(page, show):
    show("")
    page.locator("body").press("p")
    page.get_by_label("Paint with").fill("7")
    board = page.get_by_role("application", name="the image")
    cell = board.bounding_box()["width"] / 5
    board.click(position={"x": 3.5 * cell, "y": 0.5 * cell})
    page.wait_for_url("**image=1+1+1+7+0*")
    seven = "[data-node=x][data-index='0,0,3'][data-value='0x1.c000000000000p+2']"
    page.locator(f".planes {seven}").wait_for()
    wanted = np.array(A06, float)
    wanted[0, 3] = 7
    y = signal.correlate2d(wanted, kernel_of("cross", 2), "valid")
    assert shown(page, "y", within=".planes") == as_dict(y[None])
    board = page.get_by_role("application", name="the kernel")
    board.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**kernel=1+7+1_0+1+0_1+0+1*")


@at_a_desk
def test_type_and_load(page, show, tmp_path):
    from PIL import Image

    show("")
    page.get_by_text("Type the kernel").click()
    field = page.get_by_label("Numbers of the kernel")
    field.fill("1/2, 0\n0, −1")
    field.blur()
    page.wait_for_url("**kernel=1%2F2+0_0+-1*")
    page.locator(".planes .group").nth(1).get_by_text("2 × 2").wait_for()
    assert shown(page, "w", within=".planes")[0, 0, 0, 0] == 0.5
    half = np.zeros((30, 30), np.uint8)
    half[15:] = 255
    Image.fromarray(half, "L").save(tmp_path / "half.png")
    page.locator("input[type=file]").set_input_files(tmp_path / "half.png")
    page.wait_for_url("**image=0+0*")
    image = numbers_of(parse_qs(urlsplit(page.url).query)["image"][0], 2, "image")
    assert image.tolist() == [[0.0] * 12] * 6 + [[1.0] * 12] * 6


@at_a_desk
def test_which_kernel_stride_and_padding(page, show):
    show("image=hook")
    links = page.get_by_role("list", name="Kernel, stride and padding").get_by_role("link")
    assert [t.replace(" ", "") for t in links.all_inner_texts()] == [
        "F1,S3,P0", "F3,S2,P0", "F3,S3,P1", "F5,S1,P0", "F5,S2,P1", "F5,S3,P2", "F7,S1,P1",
        "F7,S2,P2", "F7,S3,P3"]  # fmt: skip
    links.nth(2).click()
    page.locator("code", has_text="⌊(7 + 1 + 1 − 3) / 3⌋ + 1 = 3").first.wait_for()


def test_copies_add_up(page, show, check):
    show("tab=copies")
    check(page, "lab-copies")
    y = [[1, 5, 7, 2], [0, -2, -4, 1], [2, 6, 4, -3], [0, -2, -2, 1]]
    for k in range(2):  # the sum of all copies, and the convolution
        plane = page.locator(".two .plane").nth(k).locator("text")
        values = plane.evaluate_all("all => all.map(e => e.dataset.value)")
        assert list(map(float.fromhex, values)) == np.ravel(y).tolist()
    factors = page.locator(".layers li > a").all_inner_texts()
    assert factors == ["w[1, 1] = −1", "w[0, 1] = 2", "w[0, 0] = 1"]
    page.get_by_role("button", name="One copy less").click()
    page.get_by_text("2 of 3 copies added up").wait_for()
    page.locator("body").press("b")
    page.get_by_text("is what one pixel is sent by its windows").wait_for()
    wanted = slide(image_of("small", 12, 2), kernel_of("two", 2), padding="full",
                   mode="convolution")  # fmt: skip
    for k in range(2):  # the sum of all copies of ȳ, and back-propagation
        values = page.locator(".two .plane").nth(k).locator("text")
        read = values.evaluate_all("all => all.map(e => e.dataset.value)")
        assert list(map(float.fromhex, read)) == wanted.x_bar.numpy().ravel().tolist()


@at_a_desk
def test_wiring_matrix_and_columns(page, show, check):
    show("tab=wiring")
    check(page, "lab-wiring")
    weights = page.locator(".wirings figcaption").all_inner_texts()
    assert [text.split()[-2] for text in weights] == ["25", "13", "3"]
    assert page.get_by_text("is the output of the convolution, bit for bit").count() == 1
    page.locator(".wirings figure").nth(2).locator(".matrix").click(position={"x": 5, "y": 100})
    page.wait_for_url("**at=y.0%2C0%2C3*")
    page.locator(".sum .name", has_text="y[0, 3]").wait_for()
    page.locator("body").press("b")
    page.get_by_text("The transposed matrix times ȳ is x̄").wait_for()
    page.locator(".wirings figure").nth(2).locator(".matrix").hover(position={"x": 60, "y": 100})
    page.locator(".sum .name", has_text="x̄[0, 2]").wait_for()  # a column: what x̄ is sent
    sent = page.get_by_label("what each window sends").locator("text")
    assert sent.count() == 15 and len(products(page)) == 3
    assert page.locator(".wirings figure").nth(2).locator("line.strong").count() == 3
    show("tab=wiring&dims=2&image=picture&size=30")
    page.get_by_role("link", name="Make the image smaller").click()
    page.get_by_role("region", name="Matrix").locator("canvas").wait_for()


def test_pooling(page, show, check):
    show("tab=pool&image=lecture&every=1&mode=bar")
    check(page, "lab-pool-backward")
    wanted = pooled(A06, 2, 1)
    assert shown(page, "x", "bar", ".planes") == as_dict(wanted.x_bar.numpy()[None])
    show("tab=pool&image=lecture&every=1&at=y.0,0,0")
    page.get_by_text("3 are equal: the first of them").wait_for()
    show("tab=pool&image=lecture&around=1&dilation=2")
    wanted = pooled(A06, 2, 2, padding=1, dilation=2)
    page.get_by_text("padding: never the largest").first.wait_for()
    assert shown(page, "y", within=".planes") == as_dict(wanted.y.numpy()[None])


def test_several_channels(page, show, check):
    show("tab=channels&image=1 2_3 4__5 6_7 8&kernel=1__10___2__-1")
    assert shown(page, "y", within=".planes") == as_dict(
        [[[51, 62], [73, 84]], [[-2.75, -1.75], [-0.75, 0.25]]]
    )
    show("tab=channels&at=y.1,2,3")
    assert len(products(page)) == 12
    page.get_by_text("+ 15 more").wait_for()
    check(page, "lab-channels")
    listed = products(page)
    page.get_by_role("button", name="Show all 27 products").click()
    page.get_by_text("+ 15 more").wait_for(state="detached")
    assert len(products(page)) == 27
    assert min(map(abs, listed)) >= sorted(map(abs, products(page)))[-12]


@on_a_phone
@pytest.mark.parametrize(
    ("query", "says"),
    [("kernel=mean-9", "needs one that fits into 5×5"), ("image=1 2_3", "rows of several lengths")],
)
def test_what_cannot_be_computed_says_so_and_how_to_go_on(page, show, check, query, says):
    show(query, "[role=alert]")
    assert says in page.get_by_role("alert").inner_text()
    page.wrongs.clear()  # the browser itself writes of an answer 422
    if query.startswith("kernel"):
        check(page, "lab-wrong")
    page.get_by_role("link", name="Begin anew").click()
    page.locator(".plane").first.wait_for()
    page.wrongs.clear()


@on_a_phone
def test_tables(page, show, check):
    show("image=four&padding=same")
    page.locator("body").press("t")
    page.locator(".plane table").first.wait_for()
    wanted = slide(image_of("four", 12, 2), kernel_of("cross", 2), padding="same")
    assert shown(page, "y", within=".planes") == as_dict(wanted.y.numpy())
    check(page, "lab-table")
