"""A page as one file: what stands in it, how large it may be, and that nothing is overwritten."""

import json
import re

import pytest

import chainrule as cr
from chainrule.errors import UsageError
from chainrule.inspect.explain.moves import moves
from chainrule.studio.saved.export import page_file, save_page, stepper_file
from chainrule.studio.stepper import stepper


@pytest.fixture
def built(assets):
    """Built pages that can be saved, as small as they can be."""
    (assets / "saved").mkdir()
    (assets / "saved" / "saved.js").write_text('const end = "</script><!---->";')
    (assets / "saved" / "saved.css").write_text("body { color: red }")
    return assets


def embedded(content):
    text = content.decode()
    return json.loads(re.search(r'id="embedded">(.*?)</script>', text, re.S)[1])


def test_the_file_holds_the_answers_under_their_paths(built):
    found = embedded(stepper_file({"example": "logistic"}, rounds=2, assets=built))
    assert found["page"] == "/stepper?example=saved"
    first, second = found["answers"].values()
    assert next(iter(found["answers"])) == "/api/stepper?example=saved"
    assert first == json.loads(json.dumps(stepper({"example": "logistic"})))
    assert second["update"]["before"] == first["update"]["after"]
    assert second["next"] == ""  # no further step is in the file


def test_a_graph_of_ones_own_is_saved(built):
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    found = moves((w * w).sum(), title="a < b", variables={"w": w})
    content = stepper_file(found=found, assets=built)
    (answer,) = embedded(content)["answers"].values()
    assert answer["nodes"][0]["name"] == "w" and answer["next"] == ""
    assert b"<title>a &lt; b</title>" in content


def test_nothing_in_it_ends_a_script_early(built):
    content = page_file("/stepper", {"/x": "</script><script>alert(1)</script>"}, "t", built)
    text = content.decode()
    assert text.count("</script>") == 2  # of the data and of the pages
    assert "<!--" not in text and "alert(1)" in text
    assert embedded(content)["answers"]["/x"].startswith("</script>")


def test_more_than_5_mb_is_refused(built):
    with pytest.raises(UsageError, match="needs at most 5,000,000"):
        page_file("/stepper", {"/x": "y" * 5_000_000}, "t", built)


def test_a_file_that_is_there_stays(tmp_path):
    path = save_page(tmp_path / "a.html", b"one")
    with pytest.raises(UsageError, match="which exists"):
        save_page(path, b"two")
    assert path.read_bytes() == b"one"
    save_page(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
