"""Runs' folders that look like a training's, and the guarded application beside them."""

import asyncio
import contextlib
import json
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient

from chainrule.studio.app import make_app
from chainrule.studio.runs import Runs
from chainrule.train.runs import Run

PORT, TOKEN = 8765, "a-token"
CONFIG = {"system": "xor", "epochs": 3, "lr": 0.05}


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """make_run(name, losses, **config): a run in runs/ that nobody trains any more."""
    monkeypatch.chdir(tmp_path)

    def make(name, losses=(), **config):
        run = Run.create("xor", CONFIG | config, tmp_path / "runs" / name)
        for epoch, loss in enumerate(losses):
            run.add_figures(epoch, {"loss": loss})
        run.release()
        return run

    (tmp_path / "runs").mkdir()
    return make


@pytest.fixture
def assets(tmp_path):
    """Built pages, as small as they can be."""
    folder = tmp_path / "assets"
    (folder / "hashed").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>studio</title>")
    (folder / "hashed" / "index-1234.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def client(make_run, assets, tmp_path):
    """Someone who came by the link."""
    app = make_app(Runs(tmp_path / "runs"), TOKEN, PORT, assets)
    with TestClient(app, f"http://127.0.0.1:{PORT}") as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


@pytest.fixture
def stranger(client):
    """Someone without the link: the same application, no cookie."""
    with contextlib.closing(TestClient(client.app, f"http://127.0.0.1:{PORT}")) as stranger:
        yield stranger


@pytest.fixture
def change_config():
    """change_config(run, **values) writes its config.json, whatever becomes of it."""

    def change(run, **values):
        path = run.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.fixture
def get(client):
    """get(path): status and text for a path as it stands; a client would tidy its dots."""

    async def ask(path):
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            await asyncio.Event().wait()  # it has said all, and stays

        cookie = f"{client.app.cookie}={TOKEN}".encode()
        scope = {"type": "http", "method": "GET", "path": unquote(path), "query_string": b""}
        scope |= {"headers": [(b"host", f"127.0.0.1:{PORT}".encode()), (b"cookie", cookie)]}
        await client.app(scope | {"raw_path": path.encode(), "root_path": ""}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], body.decode()

    return lambda path: asyncio.run(ask(path))
