"""What notebooks show: every piece by itself, escaped, with the numbers of the array."""

import base64
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.notebook import Branch, array_html, graph_html, tree_html

VOID = {"img", "br"}


class Balanced(HTMLParser):
    """Notes what is open; fails on an end without its beginning, and on anything from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            assert name not in ("src", "href") or value.startswith("data:")
            assert not name.startswith("on")
        assert tag != "img" or dict(attrs)["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def pictures(html):
    """u8[H,W,4] of each PNG."""
    found = []
    for text in re.findall(r"data:image/png;base64,([^\"]+)", html):
        data = base64.b64decode(text)
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        size = struct.unpack(">I", data[33:37])[0]
        lines = np.frombuffer(zlib.decompress(data[41 : 41 + size]), np.uint8)
        lines = lines.reshape(height, -1)
        assert (lines[:, 0] == 0).all()
        found.append(lines[:, 1:].reshape(height, width, 4))
    return found


def test_colours_are_the_values():
    value = np.array([[0.0, 1.0, -2.0], [np.nan, 4.0, -0.5]])
    (picture,) = pictures(array_html(value, "x"))
    purple, green, magenta = [91, 42, 134], [27, 99, 53], [176, 0, 127]
    assert picture[0, 0, 3] == 0  # zero is the page itself
    assert picture[0, 1].tolist() == [*green, round(255 / 4)]
    assert picture[0, 2].tolist() == [*purple, round(255 / 2)]
    assert picture[1, 0].tolist() == [*magenta, 255]
    assert picture[1, 1, 3] == 255 and picture[1, 2].tolist() == [*purple, round(255 / 8)]


def test_a_gradient_has_other_colours_even_where_it_is_never_negative():
    w = cr.tensor([1.0, -2.0], requires_grad=True)
    (w * cr.tensor([3.0, 0.0])).sum().backward()
    html = w._repr_html_()
    Balanced(html)
    value, gradient = pictures(html)
    assert gradient[0, 0].tolist() == [151, 69, 0, 255] and gradient[0, 1, 3] == 0
    assert value[0, 0, :3].tolist() == [27, 99, 53]
    assert "raises the loss" in html


def test_figures_are_those_of_all_numbers():
    value = np.arange(-2.0, 8.0).reshape(2, 5)
    value[0, 0] = np.inf
    html = array_html(value, "x", "mul")
    assert "min −1, mean 3, max 7, rms 3.958, 1 of 10 exactly zero, 1 infinite" in html
    assert "<td>inf</td>" in html and "<td>−1</td>" in html and "mul" in html


def test_many_maps_and_large_ones_are_said():
    html = array_html(np.ones((5, 4, 3, 3)), "x")
    assert len(pictures(html)) == 16 and "+ 4 more" in html
    html = array_html(np.arange(600 * 700.0).reshape(600, 700), "x")
    (picture,) = pictures(html)
    assert picture.shape[:2] == (200, 234) and "every 3rd" in html


@pytest.mark.parametrize(
    "value",
    [
        cr.zeros(0),
        cr.zeros(3, 0, 2),
        cr.tensor(2.5),
        cr.tensor(True),
        cr.tensor([True, False]),
        cr.arange(7),
        cr.zeros(3, 3),
        cr.full((2, 2), float("nan")),
        cr.tensor([[1, 2], [3, 4]], dtype=cr.uint8),
        cr.randn(2, 3, 4, 5, dtype=cr.float64),
    ],
)
def test_odd_tensors_have_whole_pieces(value):
    Balanced(value._repr_html_())


def test_names_are_escaped():
    bad = '"><script>alert(1)</script>'
    w = cr.ones(2, 2, requires_grad=True)
    w.name = bad
    for html in (
        w._repr_html_(),
        cr.graph(w * 2)._repr_html_(),
        tree_html(Branch(bad, bad, 1, [(bad, bad)], [])),
        graph_html(bad, bad, ""),
    ):
        Balanced(html)
        assert "<script" not in html


def test_a_module_is_a_tree_with_counts_and_shapes():
    shared = nn.Linear(3, 3)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(shared, nn.ReLU()), shared)
    html = net._repr_html_()
    Balanced(html)
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)
    words = " ".join(text.split())
    assert words == (
        "Sequential 32 parameters 0 Conv2d 20 parameters weight f32[2,1,3,3] bias f32[2] "
        "1 Sequential 12 parameters 0 Linear 12 parameters weight f32[3,3] bias f32[3] 1 ReLU "
        "2 Linear 12 parameters weight f32[3,3] bias f32[3]"
    )


def test_a_graph_and_a_tape_have_their_picture_and_their_nodes():
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with cr.record() as tape:
        loss = net(cr.ones(4, 3)).mean()
        before = cr.graph(loss)._repr_html_()
        loss.backward()
    for html in (before, tape._repr_html_()):
        Balanced(html)
        (svg,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
        assert "Linear" in base64.b64decode(svg).decode()
        assert "matmul" in html and "return" in html


def test_a_graph_that_its_backward_has_used_up_is_not_drawn_in_pieces():
    loss = nn.Linear(3, 2)(cr.ones(4, 3)).mean()
    graph = cr.graph(loss)
    loss.backward()
    assert "svg" not in graph._repr_html_()


def test_a_graph_that_is_too_large_to_draw_lists_its_nodes_alone():
    net = nn.Sequential(*(nn.Sequential(nn.Linear(1, 1)) for _ in range(310)))
    html = cr.graph(net(cr.ones(1, 1)))._repr_html_()
    Balanced(html)
    assert "svg" not in html and "<details open>" in html


def test_looking_loads_nothing_from_outside():
    code = (
        "import sys, chainrule as cr; cr.ones(2)._repr_html_(); cr.nn.Linear(1, 1)._repr_html_();"
        "print([m for m in ('starlette', 'uvicorn', 'PIL', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
