"""``cr.look``: one pass in the studio of this process, framed by a notebook on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.studio import look as module
from chainrule.studio.access import FRAMED, HEADERS
from chainrule.studio.pages import ASSETS
from chainrule.train.records import Records

X = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1])


@pytest.fixture(autouse=True)
def built(request, monkeypatch, tmp_path):
    """Pages that stand for the built ones, where no browser looks at them."""
    if "browser" not in request.keywords and not (ASSETS / "index.html").exists():
        monkeypatch.setattr(module, "check_built", lambda folder: None)


@pytest.fixture
def model():
    cr.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )


def tape_of(look):
    return Records(look._server.folder / "runs" / look.run / "record").tape(0)


def test_nothing_of_the_model_changes_and_the_record_is_that_of_a_plain_pass(model):
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    look = cr.look(model, X, Y)
    assert all((value.numpy() == state[name]).all() for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    loss = nn.functional.cross_entropy(model(cr.tensor(X)), cr.tensor(Y))  # the same dropout
    loss.backward()
    assert look.loss == loss.item()
    bar = tape_of(look)["0.weight"].bar.numpy()
    assert bar.tobytes() == model[0].weight.grad.numpy().tobytes()


def test_what_goes_in_may_have_been_computed(model):
    x = (cr.rand(2, 64) * 2).reshape(2, 1, 8, 8)
    x.tolist()
    look = cr.look(model, x)
    (data,) = (node for node in tape_of(look).graph.leaves if node.shape == (2, 1, 8, 8))
    assert data.op.name == "data"


def test_losses(model):
    model.eval()
    values = cr.tensor(np.ones((5, 3), np.float32))
    output = model(cr.tensor(X))
    assert cr.look(model, X).loss == output.sum().item()
    assert cr.look(model, X, values).loss == nn.functional.mse_loss(output, values).item()
    assert cr.look(model, X, Y, lambda out, y: out.abs().max()).loss == output.abs().max().item()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda net: cr.look(3, X), cr.UsageError, "got a int, needs a Module"),
        (lambda net: cr.look(net, X, Y, lambda out, y: out), cr.ShapeError, r"\(5, 3\)"),
        (lambda net: cr.look(net, X, Y, 3), cr.UsageError, "needs a function"),
        (lambda net: cr.look(net, X[:, :, :4]), cr.ShapeError, "Linear"),
    ],
)
def test_what_can_not_be_looked_at_leaves_no_run(model, call, error, words):
    folder = module._Server.shared().folder / "runs"
    before = sorted(folder.iterdir())
    with pytest.raises(error, match=words):
        call(model)
    assert sorted(folder.iterdir()) == before


def test_one_server_for_all_looks_and_nobody_without_the_key(model):
    first, second = cr.look(model, X), cr.look(model, X)
    assert first.run != second.run
    assert first.url.replace(first.run, "") == second.url.replace(second.run, "")
    with pytest.raises(HTTPError, match="403") as refused:
        urlopen(first.url.partition("?")[0])
    with refused.value as answer:  # it holds a connection
        sent = answer.headers["Content-Security-Policy"]
    assert sent == FRAMED["Content-Security-Policy"]


def test_only_pages_of_this_machine_may_frame_it(model):
    policy = FRAMED["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors http://localhost:* http://127.0.0.1:*")
    assert HEADERS["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert {name: text for name, text in FRAMED.items() if "Policy" not in name} == {
        name: text for name, text in HEADERS.items() if "Policy" not in name
    }


@pytest.fixture
def notebook():
    """notebook(html): the port of a server of another origin, whose page holds a cell."""
    servers = []

    def serve(html):
        page = f"<!doctype html><html lang=en><title>cell</title><body>{html}</body></html>"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_cell_shows_the_pass_under_either_name_of_this_machine(page, model, notebook, host):
    look = cr.look(model, X, Y)
    page.goto(f"http://{host}:{notebook(look._repr_html_())}/")
    frame = page.frame_locator("iframe")
    frame.locator(".layers canvas").first.wait_for()
    assert frame.locator("h1").inner_text() == "Network"
    assert page.frames[1].url.startswith(f"http://{host}:")
    assert "token" not in page.frames[1].url
    page.get_by_text("Graph", exact=True).click()
    page.get_by_text("Graph of").wait_for()
    page.wrongs[:] = [said for said in page.wrongs if "favicon" not in said]


@pytest.mark.browser
def test_a_cell_of_tensors_and_modules_fits_and_is_accessible(page, model, notebook, check):
    w = cr.tensor(X[:2, 0, :3, :3], requires_grad=True)
    (w * w).sum().backward()
    pieces = [w, cr.tensor(X), model, cr.graph(model(cr.tensor(X)))]
    html = "".join(piece._repr_html_() for piece in pieces)
    page.goto(f"http://localhost:{notebook(f'<main><h1>Cells</h1>{html}</main>')}/")
    page.locator("img").first.wait_for()
    sizes = page.locator("img").evaluate_all("all => all.map(e => e.naturalWidth)")
    assert min(sizes) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_text("Conv2d 40 parameters").click()
    page.get_by_text("f32[4,1,3,3]").first.wait_for()
