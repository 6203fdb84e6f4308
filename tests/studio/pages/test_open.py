"""Opening a script, a model, from Home, in Chromium."""

from urllib.parse import urlsplit

import pytest

from chainrule.train.runs import Run

pytestmark = pytest.mark.browser

SCRIPT = """
import time
import torch
torch.manual_seed(0)
layer = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
data = torch.tensor([[1.0, 2.0, 3.0]] * 5)
for _ in range(12):
    optimizer.zero_grad()
    layer(data).square().mean().backward()
    optimizer.step()
    time.sleep(0.1)
"""


def test_a_script_is_shown_as_soon_as_a_step_is_kept_and_a_model_at_once(
    page, studio, tmp_path, check
):
    (tmp_path / "own.py").write_text(SCRIPT)
    Run.create("xor", {"system": "xor", "epochs": 3}, tmp_path / "runs" / "xor-001").release()
    with studio(tmp_path) as (_, link):
        page.goto(link)
        name = page.get_by_label("A script, a model or a run's folder")
        name.fill("own.py")
        page.get_by_role("button", name="Open", exact=True).click()
        page.locator(".layers canvas").first.wait_for()
        assert "run=own-001" in page.url
        page.go_back()
        page.get_by_text("own.py", exact=True).first.wait_for()
        name.fill("../other.py")
        page.get_by_role("button", name="Open", exact=True).click()
        page.get_by_text("the folder in which the studio was started").wait_for()
        check(page, "home-open-refused")
        name.fill("4-3-2")
        name.press("Enter")
        page.locator(".layers canvas").first.wait_for()
        assert urlsplit(page.url).query == "run=4-3-2-untrained-001"
        page.wrongs[:] = [said for said in page.wrongs if "422" not in said]
