"""Commands of a page on their way to a training."""

import json
import os
import signal

import pytest
from starlette.testclient import TestClient

from chainrule.studio.app import make_app
from chainrule.studio.runs import Runs
from chainrule.studio.training import steering as module


@pytest.fixture
def training(make_run):
    """A run that this process seems to train, and that says where it stands."""
    run = make_run("xor-001", [0.5])
    run.claim()
    (run.folder / "control").mkdir()
    say(run)
    yield run
    run.release()


def say(run, **place):
    known = {"session": "s", "process": os.getpid(), "state": "running", "step": 7, "steps": 90}
    (run.folder / "place.json").write_text(json.dumps(known | place))


def send(client, asked, name="xor-001"):
    return client.post(f"/api/runs/{name}/control", json=asked)


def commands(run):
    files = sorted((run.folder / "control").iterdir())
    return [json.loads(path.read_text()) for path in files]


def test_commands_wait_in_their_order_with_the_session(client, training):
    for asked in ({"do": "pause"}, {"do": "rate", "rate": 0.01}, {"do": "step"}):
        answer = send(client, asked)
        assert (answer.status_code, answer.json()) == (202, {"asked": asked["do"]})
    assert commands(training) == [
        {"session": "s", "do": "pause", "rate": None},
        {"session": "s", "do": "rate", "rate": 0.01},
        {"session": "s", "do": "step", "rate": None},
    ]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("pause", 422),
        ({}, 422),
        ({"do": 1}, 422),
        ({"do": "jump"}, 422),
        ({"do": "rate"}, 422),
        ({"do": "rate", "rate": 0}, 422),
        ({"do": "rate", "rate": "0.1"}, 422),
        ({"do": "rate", "rate": True}, 422),
        ({"do": "pause", "more": "x" * 20_000}, 422),
    ],
)
def test_what_is_no_command_is_refused_in_a_sentence(client, training, asked, status):
    answer = send(client, asked)
    assert answer.status_code == status and answer.json()["error"] and answer.json()["remedy"]
    assert commands(training) == []


def test_a_form_of_another_page_is_none(client, training):
    answer = client.post("/api/runs/xor-001/control", content='{"do": "stop"}')
    assert answer.status_code == 422 and commands(training) == []


def test_nobody_trains(client, training):
    training.release()
    answer = send(client, {"do": "pause"})
    assert answer.status_code == 409
    assert answer.json()["remedy"].startswith("chainrule train --resume xor-001")
    assert send(client, {"do": "pause"}, "none").status_code == 404


@pytest.mark.parametrize("place", [{"process": 1}, {"state": "ended"}])
def test_a_place_of_another_process_takes_no_commands(client, training, place, monkeypatch):
    killed = []
    monkeypatch.setattr(module.os, "kill", lambda *words: killed.append(words))
    monkeypatch.setattr("chainrule.studio.runs._alive", lambda process: True)
    say(training, **place)
    assert send(client, {"do": "pause"}).status_code == 409
    assert send(client, {"do": "stop"}).status_code == 202  # who holds the lock is that process
    assert killed == [(os.getpid(), signal.SIGINT)] and commands(training) == []


def test_a_page_is_told_the_place(training, tmp_path):
    (found,) = Runs(tmp_path / "runs").list()
    assert found["status"] == "running"
    assert (found["place"]["step"], found["place"]["steps"]) == (7, 90)
    assert "session" not in found["place"]
    say(training, process=1)
    assert Runs(tmp_path / "runs").list()[0]["place"] is None


def test_two_studios_steer_one_training(client, training, tmp_path, assets):
    """Each has its own key; commands of both wait in the order of time, and both see the place."""
    app = make_app(Runs(tmp_path / "runs"), "another-key", 8766, assets)
    with TestClient(app, "http://127.0.0.1:8766") as other:
        assert other.get("/?token=another-key").status_code == 200
        for studio, asked in (
            (client, "pause"),
            (other, "step"),
            (client, "step"),
            (other, "stop"),
        ):
            assert send(studio, {"do": asked}).status_code == 202
        assert [command["do"] for command in commands(training)] == [
            "pause",
            "step",
            "step",
            "stop",
        ]
        say(training, step=8)
        runs = [studio.get("/api/runs").json()["runs"] for studio in (client, other)]
        places = [found[0]["place"] for found in runs]
        assert places[0] == places[1] and places[0]["step"] == 8
