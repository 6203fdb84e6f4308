import json

import pytest

from chainrule.studio.training import processes as module
from chainrule.systems import SYSTEMS


@pytest.fixture
def slow_training(monkeypatch):
    program = "import sys, time\nprint('begun', file=sys.stderr, flush=True)\ntime.sleep(60)"
    monkeypatch.setattr(module, "COMMAND", (module.sys.executable, "-c", program))


def said(answer):
    """The one form of all errors."""
    body = answer.json()
    assert set(body) == {"error", "remedy"}
    assert all(text.endswith((".", "?")) for text in body.values())
    assert answer.headers["cache-control"] == "no-store"
    return body["error"]


def test_runs(client, make_run):
    assert client.get("/api/runs").json() == {"runs": []}
    make_run("xor-001", [0.5])
    answer = client.get("/api/runs")
    assert [run["name"] for run in answer.json()["runs"]] == ["xor-001"]
    assert answer.headers["cache-control"] == "no-store"


def test_one_run(client, make_run):
    make_run("xor-001", [0.5, 0.25])
    found = client.get("/api/runs/xor-001").json()
    assert found["config"]["system"] == "xor"
    assert found["history"] == [{"loss": 0.5}, {"loss": 0.25}]


@pytest.mark.parametrize(
    "name", ["none", "..", "%2e%2e", "..%2fruns%2fxor-001", "xor-001%2f..", "%00", "%c3%bc"]
)
def test_no_such_run(get, make_run, name):
    make_run("xor-001")
    status, text = get(f"/api/runs/{name}")
    assert status == 404
    assert set(json.loads(text)) == {"error", "remedy"}


def test_a_damaged_run(client, make_run):
    (make_run("xor-001").folder / "config.json").write_text("{")
    make_run("xor-002")
    listed = client.get("/api/runs").json()["runs"]
    assert {run["name"]: run["status"] for run in listed}["xor-001"] == "damaged"
    answer = client.get("/api/runs/xor-001")
    assert answer.status_code == 422
    assert "config.json, which is damaged" in said(answer)


def test_systems(client):
    found = client.get("/api/systems").json()["systems"]
    assert [system["name"] for system in found] == list(SYSTEMS)


def test_train(client, slow_training):
    assert client.get("/api/train").json()["state"] == "idle"
    answer = client.post("/api/train", json={"system": "xor"})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert client.get("/api/train").json()["system"] == "xor"
    again = client.post("/api/train", json={"system": "lenet"})
    assert again.status_code == 409
    assert said(again) == "xor runs, and one thing runs at a time."


def test_train_what_there_is_not(client):
    answer = client.post("/api/train", json={"system": "lent"})
    assert answer.status_code == 422
    assert "Did you mean lenet?" in said(answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"system": 3}', b"\xff", b"[" * 5000, b'{"system": "' + b"x" * 20000],
)
def test_what_is_no_request(client, body):
    answer = client.post(
        "/api/train", content=body, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 422
    said(answer)


def test_a_form_of_another_page_is_no_request(client):
    assert client.post("/api/train", content=b'{"system": "xor"}').status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nothing", 404), ("DELETE", "/api/runs", 405), ("PUT", "/api/train", 405)],
)
def test_the_rest_of_the_api_is_an_error(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    said(answer)


def test_no_such_page_is_one_sentence(client):
    answer = client.get("/no-page")
    assert (answer.status_code, answer.text) == (404, "Not Found: the studio begins at /.\n")
    assert client.post("/").status_code == 405
