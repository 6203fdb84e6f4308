"""A small recorded graph in the stepper: its moves are those of the record's own leaves."""

from urllib.parse import urlsplit

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer
from chainrule.train.runs import Run

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
Y = np.arange(4) % 2


def train(run, width=2):
    """One recorded step of a small network."""
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, Y), 4), epochs=1, verbose=False)
    return run


def loss_of(client, run, kind="batch"):
    graph = client.get(f"/api/runs/{run}/steps/{kind}/0").json()
    return graph["losses"][0]


def test_its_error_signals_are_the_recorded_ones(client, make_run):
    run = train(make_run("tiny-001", [0.5]))
    at = "/api/runs/tiny-001/steps/batch/0"
    answer = client.get(f"{at}/stepper?node={loss_of(client, 'tiny-001')}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["title"].endswith("of step 0") and found["next"] == ""
    step = run.records.tape(0, "batch")._step
    recorded = {n.name: step.bars[n].numpy() for n in step.order if n.op.name == "parameter"}
    signals = {found["nodes"][row["of"]]["name"]: row["value"] for row in found["backward"]}
    shown = [value for value in signals.values() if value["shape"]]
    for name, bar in recorded.items():
        near = [v for v in shown if v["shape"] == list(bar.shape)]
        assert any(
            np.allclose(np.reshape(v["values"], v["shape"]), bar, rtol=1e-4, atol=1e-6)
            for v in near
        ), name
    assert all(row["agrees"] for row in found["check"]["rows"])
    assert found["update"]["lower"]


def test_what_is_no_small_scalar_is_refused_in_a_sentence(client, make_run):
    train(make_run("tiny-001", [0.5]))
    train(make_run("wide-001", [0.5]), width=2000)
    at = "/api/runs/{}/steps/batch/0/stepper?node={}"
    graph = client.get("/api/runs/tiny-001/steps/batch/0").json()
    array = next(k for k, node in enumerate(graph["nodes"]) if node["shape"])
    for path, words in [
        (at.format("tiny-001", array), "needs a number that the program computes"),
        (at.format("wide-001", loss_of(client, "wide-001")), "needs at most 5,000"),
        (at.format("tiny-001", 999), "node 999"),
        (at.format("tiny-001", "x"), "whole number"),
    ]:
        answer = client.get(path)
        assert answer.status_code == 422 and words in answer.json()["error"]


@pytest.fixture(scope="module")
def link(tmp_path_factory, studio):
    folder = tmp_path_factory.mktemp("sent")
    run = train(Run.create("xor", {"system": "xor"}, folder / "runs" / "tiny-001"))
    run.release()
    with studio(folder) as (_, link):
        yield link


@pytest.mark.browser
def test_the_graph_page_sends_its_loss(page, link, tmp_path):
    page.goto(link)
    base = f"http://{urlsplit(link).netloc}"
    asked = "fetch('/api/runs/tiny-001/steps/batch/0').then(r => r.json()).then(g => g.losses[0])"
    loss = page.evaluate(asked)
    page.goto(f"{base}/graph?run=tiny-001&step=0&kind=batch&node={loss}")
    page.get_by_role("link", name="Open in the stepper").click()
    page.locator(".given .katex-html").first.wait_for(state="attached")
    page.keyboard.press("End")
    page.locator("[data-phase=after]").wait_for()
    assert page.locator("tr[data-check]").count() == 4
    assert page.locator("tr.bad").count() == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Save").click()
    download.value.save_as(tmp_path / "sent.html")
    assert b"of step 0" in (tmp_path / "sent.html").read_bytes()
    page.get_by_role("link", name="Back to the graph").click()
    page.get_by_role("link", name="Open in the stepper").wait_for()
