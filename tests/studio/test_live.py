import pytest

from chainrule.studio import live as module
from chainrule.studio.runs import Runs
from chainrule.studio.training import processes as training

LIVE = "ws://127.0.0.1:8765/api/live"  # with its host: the client would call itself testserver


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)


def test_all_is_told_first_then_what_changes(client, make_run):
    run = make_run("xor-001", [0.5])
    make_run("xor-002")
    with client.websocket_connect(LIVE) as page:
        first = page.receive_json()
        assert first["all"] and {run["name"] for run in first["runs"]} == {"xor-001", "xor-002"}
        assert first["training"]["state"] == "idle"
        run.add_figures(1, {"loss": 0.25})
        change = page.receive_json()
        assert [(found["name"], found["epoch"]) for found in change["runs"]] == [("xor-001", 2)]
        assert "all" not in change and "training" not in change
        run.release()


def test_a_run_that_is_gone_is_told(client, make_run, tmp_path):
    make_run("xor-001")
    with client.websocket_connect(LIVE) as page:
        page.receive_json()
        (tmp_path / "runs" / "xor-001").rename(tmp_path / "elsewhere")
        assert page.receive_json() == {"runs": [], "gone": ["xor-001"]}


def test_a_training_is_told(client, monkeypatch):
    command = (training.sys.executable, "-c", "import sys; sys.exit('no')")
    monkeypatch.setattr(training, "COMMAND", command)
    with client.websocket_connect(LIVE) as page:
        page.receive_json()
        client.post("/api/train", json={"system": "xor"})
        states = [page.receive_json()["training"]["state"]]
        while states[-1] != "failed":
            states.append(page.receive_json()["training"]["state"])
        assert set(states) <= {"running", "failed"}


def test_a_page_that_comes_back_is_told_all_again(client, make_run):
    make_run("xor-001")
    for _ in range(2):
        with client.websocket_connect(LIVE) as page:
            assert page.receive_json()["all"]


def test_what_a_page_says_is_not_heard(client, make_run):
    with client.websocket_connect(LIVE) as page:
        page.receive_json()
        page.send_text("hello")
        page.send_bytes(b"\xff")
        make_run("xor-001")
        assert page.receive_json()["runs"]


def test_a_look_that_fails_ends_it(client, monkeypatch):
    """So the page says that nobody answers, and asks again, instead of showing what is old."""
    monkeypatch.setattr(Runs, "list", lambda self: 1 / 0)
    with pytest.raises(ExceptionGroup) as raised, client.websocket_connect(LIVE) as page:
        page.receive_json()
    assert raised.group_contains(ZeroDivisionError)
