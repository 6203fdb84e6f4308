"""The graph of a recorded step as one file: what stands in it, and that it opens without a server.

The answers in it are the server's own, bit for bit.
"""

import json
import re
from base64 import b64decode

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.cli import main
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import IndexRangeError, UsageError
from chainrule.studio.saved import graph_file
from chainrule.studio.saved.graph_file import save_graph
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

X = np.random.default_rng(0).normal(size=(6, 2, 40, 7)).astype(np.float32)
AT = "/api/runs/kept-001/steps/batch/1"


def trained(folder):
    """A recorded training of a small network on tall pictures."""
    run = Run.create("xor", {"system": "xor", "epochs": 1, "lr": 0.1}, folder / "runs" / "kept-001")
    cr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 38 * 5, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    data = TensorDataset(X, np.arange(6) % 3)
    trainer.fit(DataLoader(data, 3), epochs=1, verbose=False)
    run.release()
    return run


@pytest.fixture
def run(client, tmp_path):
    return trained(tmp_path)


@pytest.fixture
def built(assets, monkeypatch):
    """Built pages that can be saved, as small as they can be."""
    (assets / "saved").mkdir()
    for ending in ("js", "css"):
        (assets / "saved" / f"saved.{ending}").write_text("")
    whole = graph_file.graph_file
    monkeypatch.setattr(
        graph_file, "graph_file", lambda *words, **more: whole(*words, **more, assets=assets)
    )


def embedded(path):
    return json.loads(re.search(r'id="embedded">(.*?)</script>', path.read_text(), re.S)[1])


def test_the_answers_are_the_servers(client, run, built, tmp_path):
    found = embedded(
        save_graph(run, tmp_path / "g.html", step=1, kind="batch", sample=2, mode="bar")
    )
    assert found["page"] == "/graph?run=kept-001&step=1&kind=batch&sample=2&mode=bar"
    answers = found["answers"]
    assert answers["/api/runs/kept-001/steps"] == {"batch": [1], "probe": []}
    for path in (
        f"{AT}/tree",
        f"{AT}/sizes?sample=2&what=value",
        f"{AT}/sizes?sample=2&what=update",
    ):
        assert answers[path] == client.get(path).json()
    nodes = len(answers[f"{AT}/tree"]["op"])
    pictures = [path for path in answers if "/thumbnails?" in path]
    assert len(pictures) == 2 * nodes
    for path in pictures:
        assert answers[path] == client.get(path).json()


def test_pictures_become_coarser_before_a_file_is_too_large(run, built, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_file, "FOR_PAGES", graph_file.MOST_BYTES - 37_000)
    found = embedded(save_graph(run, tmp_path / "g.html", kind="batch"))
    pictures = [
        thumb
        for path, answer in found["answers"].items()
        if "/thumbnails?" in path
        for thumb in answer["thumbnails"]
    ]
    assert max(thumb["rows"] for thumb in pictures) == 14
    values = next(t for t in pictures if t["rows"] and t["maps"] == 2)
    cells = np.frombuffer(b64decode(values["numbers"]), "<f4")
    assert np.isin(cells, X).all()
    monkeypatch.setattr(graph_file, "FOR_PAGES", graph_file.MOST_BYTES)
    found = embedded(save_graph(run, tmp_path / "h.html", kind="batch"))
    assert not any(
        answer["thumbnails"] for path, answer in found["answers"].items() if "/thumbnails?" in path
    )


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"step": 9, "kind": "batch"}, UsageError, "got step 9, needs a batch that was kept: 0, 1"),
        ({"kind": "other"}, UsageError, "kind 'other', needs batch or probe"),
        ({"kind": "batch", "sample": 3}, IndexRangeError, "got sample 3, needs 0 to 2"),
    ],
)
def test_what_was_not_kept_is_refused(run, built, tmp_path, asked, error, says):
    with pytest.raises(error, match=says):
        save_graph(run, tmp_path / "g.html", **asked)
    assert not (tmp_path / "g.html").exists()


def test_the_command_and_the_shown_code_make_the_same_file(run, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "kept-001", "--save", "a.html", "--step", "1"]) == 0
    code = [
        "import chainrule as cr",
        "from chainrule.studio.saved.graph_file import save_graph",
        'run = cr.open_run("kept-001")',
        'save_graph(run, "graph.html", step=1, kind="probe", sample=0)',
    ]
    exec("\n".join(code), {})  # as the page's "Show code" writes it
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "graph.html").read_bytes()


def test_a_run_without_a_record_is_refused(make_run, tmp_path):
    with pytest.raises(UsageError, match="no batch, needs a run with a record"):
        save_graph(make_run("plain-001"), tmp_path / "g.html")


def test_the_server_gives_the_same_file(client, run, built, tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.studio.recorded.steps.graph_file", graph_file.graph_file)
    path = save_graph(run, tmp_path / "g.html", step=1, kind="batch", sample=1, opened="Sequential")
    answer = client.get(f"{AT}/file?sample=1&open=Sequential")
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.content == path.read_bytes()


@pytest.mark.browser
def test_a_saved_graph_opens_without_a_server(page, tmp_path, check, monkeypatch):
    run = trained(tmp_path)
    path = save_graph(run, tmp_path / "g.html", kind="batch", opened="Sequential")
    assert path.stat().st_size < 2_000_000
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.locator("canvas").first.wait_for()
    assert page.locator("[data-item]").count() > 4
    if page.size == "desk":  # a phone has the outline, which is no picture
        page.get_by_role("button", name="Save Graph of kept-001").click()
        page.get_by_role("button", name="Show code").click()
        monkeypatch.chdir(tmp_path)
        exec(page.get_by_role("region", name="Python of Graph of kept-001").inner_text(), {})
        assert (tmp_path / "graph.html").read_bytes() == path.read_bytes()
    page.keyboard.press("b")
    page.get_by_text("error signals of the loss of all 3 samples").wait_for()
    page.keyboard.press("u")
    page.get_by_text("what the optimizer changed").wait_for()
    page.keyboard.press("f")
    page.keyboard.press("/")
    page.keyboard.type("relu")
    page.keyboard.press("Enter")
    page.locator("[data-node-panel]").wait_for()
    page.get_by_text("root mean square").wait_for()
    check(page, "graph-saved")
    node = int(page.locator("[data-node-panel]").get_attribute("data-node-panel"))
    number = page.get_by_role("link", name="Largest value")
    at = tuple(map(int, number.get_attribute("data-index").split(",")))
    held = run.records.tape(1, "batch")._step
    exact = held.holds[held.order[node]].node.result()[at].item().hex()
    assert float.fromhex(number.get_attribute("data-value")).hex() == exact
    number.click()
    drawer = page.locator("aside")
    drawer.get_by_text("chainrule studio kept-001").wait_for()
    assert float.fromhex(drawer.locator("dd code").inner_text()).hex() == exact
    path = drawer.locator("code.command").last.inner_text()
    assert path.startswith("/graph?run=kept-001&step=1&kind=batch&")
    number = f"{node}.value.{'%2C'.join(map(str, at))}"
    assert path.endswith(f"&number={number}&open=Sequential&find=relu")
    check(page, "graph-saved-number")
    page.go_back()
    drawer.wait_for(state="detached")
    page.go_back()
    page.locator("[data-node-panel]").wait_for(state="detached")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
