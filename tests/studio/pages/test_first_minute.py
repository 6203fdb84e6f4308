"""The first minute of somebody new, in Chromium: ``make studio-test``."""

import pytest

pytestmark = pytest.mark.browser

SEVEN = [(0.25, 0.2), (0.5, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]


@pytest.mark.parametrize("page", ["desk"], indirect=True)
def test_train_draw_ask_and_go_down_to_a_pixel(page, tmp_path, studio):
    with studio(tmp_path) as (_, link):
        page.goto(link)
        page.get_by_role("button", name="Train LeNet on handwritten digits").click()
        # As soon as a step is kept the network is seen, and it goes on by itself.
        page.wait_for_url("**/network?run=lenet-001")
        page.locator(".layers canvas").first.wait_for()
        assert page.locator("button[aria-pressed=true]").inner_text() == "Follow"
        said = page.locator(".time output")
        before = said.inner_text()
        page.wait_for_function(
            "t => document.querySelector('.time output').innerText != t", arg=before
        )

        # All that one plays with is on the screen at once, and half of the maps.
        tops = [
            page.locator(what).first.bounding_box() for what in (".draw", ".classes", ".layers")
        ]
        assert all(box["y"] + box["height"] < 460 for box in tops[:2])
        assert tops[2]["y"] < 460

        box = page.locator(".draw canvas").first.bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=4)
        page.mouse.up()
        page.get_by_text("changed", exact=True).wait_for()
        page.locator(".ghost").first.wait_for()

        page.keyboard.press("b")
        page.wait_for_url("**seed=loss*")
        page.get_by_role("link", name="what would have to change for a 3?").click()
        page.locator(".seed", has_text="loss with target 3, of sample 0 alone").wait_for()
        assert (
            page.locator("[data-node] [data-map]").first.get_attribute("aria-label").count("error")
        )

        page.keyboard.press("f")
        page.get_by_text("purple: below zero").wait_for()
        page.locator(".column").nth(1).locator("[data-map='2']").click()
        page.locator(".board canvas").click(position={"x": 100, "y": 100})
        for _ in range(6):
            page.locator("aside dl").last.wait_for()
            if page.locator("aside").get_attribute("data-leaf"):
                break
            before = page.locator("aside h2").inner_text()
            page.locator("aside .terms a").first.click()
            page.wait_for_function(
                "t => document.querySelector('aside h2').innerText != t", arg=before
            )
        assert "data, as it entered from outside" in page.locator("aside .leaf").inner_text()
        assert page.locator(".layers .frame").count() >= 2  # the pixel, and what the unit sees
