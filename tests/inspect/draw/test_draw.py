"""Pictures: well-formed, the same bytes each time, no word over another, and what they show."""

import json
import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.errors import DataError, GradientError, UsageError
from chainrule.inspect.draw import draw
from chainrule.inspect.draw.layout import layout
from chainrule.inspect.draw.svg import PALETTE, SHARED, Canvas, shortened, text_width
from chainrule.inspect.explain.presets import PRESETS, preset
from chainrule.nn import functional as F

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    """A residual path beside three branches."""

    def __init__(self, c):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, 4, 5, padding=2)
        self.c, self.p = nn.Conv2d(c, 4, 1), nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        x = (self.a(x).relu() + x).relu()
        return cr.cat([self.b(x), self.c(x), self.p(x)], 1)


def network():
    blocks = Block(8), Block(16), Block(24)
    return nn.Sequential(nn.Conv2d(1, 8, 3), *blocks, nn.Flatten(), nn.Linear(32 * 196, 10))


def pictures():
    cr.manual_seed(0)
    for name in PRESETS:
        yield name, draw(preset(name)[0])
    yield "lenet", draw(models.lenet5())
    yield "branches", draw(network(), (1, 16, 16))
    yield "loss", draw(F.cross_entropy(network()(cr.rand(2, 1, 16, 16)), cr.tensor([1, 2])))
    yield "xor with values", draw(models.xor(), cr.tensor([[1.0, 0.0]]))
    yield "xor's neurons", draw(models.xor(8), style="neurons")
    yield "many neurons", draw(models.mlp((784, 512, 16, 17, 2)), style="neurons")
    yield "lenet's blocks", draw(models.lenet5(), style="blocks")
    yield "blocks in two rows", draw(deep(), (3, 32, 32), style="blocks")
    yield "wiring", draw.wiring()
    yield "wide wiring", draw.wiring("shared", n=12, m=7)
    strange = cr.tensor([1.0, 2.0], requires_grad=True)
    strange.name = "<a & b>\x00 " + "long" * 30
    yield "a strange name", draw((strange * 2).sum())


def deep():
    layers = [nn.Conv2d(3, 16, 3, padding=1)]
    for _ in range(12):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


PICTURES = dict(pictures())


def boxes_of_words(root):
    """(left, top, right, bottom, words) of each text."""
    for element in root.iter(f"{SVG}text"):
        size, words = float(element.get("font-size")), element.text
        width = text_width(words, size, element.get("font-weight") == "bold")
        start = {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
        x, y = float(element.get("x")) - start * width, float(element.get("y"))
        yield x, y - 0.76 * size, x + width, y + 0.24 * size, words


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_sound(name):
    root = ElementTree.fromstring(PICTURES[name].svg)
    assert root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text
    left, top, width, height = map(float, root.get("viewBox").split())
    words = list(boxes_of_words(root))
    for a, b, c, d, text in words:
        assert left <= a and top <= b and c <= left + width and d <= top + height, text
    for one, two in combinations(words, 2):
        apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
        assert apart, (one, two)
    assert json.loads(json.dumps(PICTURES[name].data))["width"] > 0


@pytest.mark.parametrize("name", PICTURES)
def test_boxes_of_a_graph_are_apart_and_hold_their_words(name):
    nodes = PICTURES[name].data.get("nodes", [])
    for one, two in combinations(nodes, 2):
        apart_x = abs(one["x"] - two["x"]) >= (one["width"] + two["width"]) / 2
        apart_y = abs(one["y"] - two["y"]) >= (one["height"] + two["height"]) / 2
        assert apart_x or apart_y, (one["name"], two["name"])
    if nodes:
        edges = PICTURES[name].data["edges"]
        assert all(nodes[a]["y"] < nodes[b]["y"] for a, b in edges)
        root = ElementTree.fromstring(PICTURES[name].svg)
        rects = [
            [float(r.get(key)) for key in ("x", "y", "width", "height")]
            for r in root.iter(f"{SVG}rect")
        ][1:]
        for a, b, c, d, text in boxes_of_words(root):
            if not text.startswith(("v: value", "v̄: error")):
                inside = [x <= a and y <= b and c <= x + w and d <= y + h for x, y, w, h in rects]
                assert sum(inside) == 1, text


def test_the_same_bytes_each_time():
    for name, picture in pictures():
        assert picture.svg == PICTURES[name].svg, name


def test_a_small_graph_shows_values_and_error_signals():
    picture = PICTURES["logistic-l2"]
    rows = {node["name"]: node["lines"] + node["bars"] for node in picture.data["nodes"]}
    assert rows["w"] == ["0.8", "w̄ = −0.0091"]
    assert rows["z"] == ["= w·x + b", "0.9", "z̄ = −0.0594"]
    assert rows["Lreg"] == ["= L + λ·R", "0.07378", "L̄reg = 1"]
    assert "v̄ = ∂Lreg/∂v" in picture.svg
    names = [node["name"] for node in picture.data["nodes"]]
    edges = {(names[a], names[b]) for a, b in picture.data["edges"]}
    assert {("w", "w·x"), ("w", "w²"), ("z", "y"), ("L", "Lreg")} <= edges


def test_drawing_a_loss_changes_nothing():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    draw(loss)
    assert w.grad is None
    loss.backward()
    assert w.grad.tolist() == [2.0, 4.0]
    with pytest.raises(GradientError, match="whose backward has run"):
        draw(loss)


def test_values_that_were_read_before_are_there():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    loss = (w.exp() * w).sum()
    loss.item()
    assert draw(loss).data["nodes"][-1]["lines"] == ["= Σ(exp(w) ∘ w)", "17.5"]
    with cr.no_grad():
        assert draw((w * 2).sum()).data["nodes"][-1]["bars"] == []


def test_names_of_the_callers_variables():
    rate = cr.tensor(0.5, requires_grad=True)
    twice = rate * 2
    names = [node["name"] for node in draw(twice.exp()).data["nodes"]]
    assert names == ["rate", "twice", "L"]


def test_a_model_with_an_example_keeps_its_mode_and_its_statistics():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 1))
    state = cr.get_state()
    draw(net, cr.tensor([[1.0, 2.0]]))
    assert net.training and cr.get_state() == state
    assert net[1].num_batches_tracked.item() == 0
    assert all(p.grad is None for p in net.parameters())


def test_a_large_graph_is_drawn_by_layers():
    nodes = PICTURES["loss"].data["nodes"]
    names = [node["name"] for node in nodes]
    assert "1.a/Conv2d" in names and names[-1] == "cross_entropy"
    assert "584 parameters" in nodes[names.index("1.a/Conv2d")]["lines"]
    assert "relu, add" in " ".join(line for node in nodes for line in node["lines"])
    assert PICTURES["lenet"].data["nodes"][1]["lines"] == ["f32[N,6,28,28]", "156 parameters"]


def test_a_model_that_ends_with_a_view():
    class Reshaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 9)

        def forward(self, x):
            return self.fc(x).reshape(-1, 1, 3, 3)

    names = [(node["name"], node["lines"][0]) for node in draw(Reshaped()).data["nodes"]]
    assert names == [("input", "f32[N,4]"), ("fc/Linear", "f32[N,9]")]


def test_far_too_large():
    x = cr.ones(3, requires_grad=True)
    for _ in range(2_000):
        x = x.sin()
    with pytest.raises(UsageError, match="boxes, needs 300 at most"):
        draw(x.sum())


def test_neurons():
    net = models.xor(2)
    net.load_state_dict({"fc1.weight": [[1.0, -2.0], [0.5, 0.0]], "fc1.bias": [0.1, -0.2],
                         "fc2.weight": [[1.0, -1.0]], "fc2.bias": [0.0]})  # fmt: skip
    picture = draw(net, style="neurons")
    lines = ElementTree.fromstring(picture.svg).iter(f"{SVG}line")
    looks = {
        line.find(f"{SVG}title").text: (
            float(line.get("stroke-width")), line.get("class"), line.get("stroke-dasharray")
        )
        for line in lines if line.find(f"{SVG}title") is not None
    }  # fmt: skip
    assert looks["w[0,1] = −2"][0] > looks["w[0,0] = 1"][0] > looks["w[1,1] = 0"][0]
    assert looks["w[0,1] = −2"][1:] == ("minus-s", "7.5 6.5")
    assert looks["w[0,0] = 1"][1:] == ("plus-s", None)
    assert [layer["activation"] for layer in picture.data["layers"]] == ["", "Tanh", ""]


def test_layers_above_16_units_are_elided():
    layers = PICTURES["many neurons"].data["layers"]
    assert [len(layer["drawn"]) for layer in layers] == [8, 8, 16, 8, 2]
    assert "⋮ 512" in PICTURES["many neurons"].svg and "⋮ 17" in PICTURES["many neurons"].svg


def test_neurons_of_a_layer_that_is_too_large_to_be_read_are_lines_alone():
    executed = cr.stats().executed
    picture = draw(nn.Sequential(nn.Linear(40_000, 400_000)), style="neurons")
    assert cr.stats().executed == executed
    assert "⋮ 400,000" in picture.svg and "stroke-dasharray" not in picture.svg


def test_lenets_blocks():
    volumes = PICTURES["lenet's blocks"].data["volumes"]
    assert [(v["label"], v["channels"], v["sides"]) for v in volumes] == [
        ("input", 1, [28, 28]),
        ("conv 5×5, pad 2", 6, [28, 28]),
        ("max pool 2×2", 6, [14, 14]),
        ("conv 5×5", 16, [10, 10]),
        ("max pool 2×2", 16, [5, 5]),
        ("fc1", 120, []),
        ("fc2", 84, []),
        ("fc3", 10, []),
    ]
    assert volumes[1]["after"] == ["relu"]


class Own(nn.Module):
    """A layer of one's own that calls a function."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(cr.zeros(3, 1, 3, 3))

    def forward(self, x):
        return F.conv2d(x, self.weight)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Own()

    def forward(self, x):
        return (1.7 * (2 * self.layer(x)).tanh()).sum((2, 3))


def test_a_layer_of_ones_own_is_drawn_once():
    volumes = draw(Scaled(), (1, 6, 6), style="blocks").data["volumes"]
    assert [(v["label"], v["after"]) for v in volumes] == [("input", []), ("conv 3×3", [])]
    nodes = draw(Scaled(), (1, 6, 6)).data["nodes"]
    assert [node["name"] for node in nodes][-1] == "mul, tanh, mul, sum"


def test_what_can_not_be_drawn():
    with pytest.raises(UsageError, match="needs one of graph, neurons, blocks"):
        draw(models.xor(), style="neuron")
    with pytest.raises(UsageError, match="with conv1, a Conv2d, needs a chain of Linear layers"):
        draw(models.lenet5(), style="neurons")
    with pytest.raises(UsageError, match="needs convolutions, pooling or Linear layers"):
        draw(nn.Sequential(nn.ReLU()), (3,), style="blocks")
    with pytest.raises(UsageError, match="a tensor with style='blocks', needs a model"):
        draw(cr.ones(1), style="blocks")
    with pytest.raises(UsageError, match="got a int, needs a tensor or a Module"):
        draw(3)


# ---------------------------------------------------------------- files


def test_files_are_new(tmp_path):
    picture = PICTURES["wiring"]
    path = picture.save(tmp_path / "a.svg")
    assert path.read_text("utf-8") == picture.svg == picture._repr_svg_()
    with pytest.raises(UsageError, match="which exists, needs a new file's name"):
        PICTURES["lenet"].save(path)
    assert path.read_text("utf-8") == picture.svg
    PICTURES["lenet"].save(path, overwrite=True)
    assert path.read_text("utf-8") == PICTURES["lenet"].svg
    assert [file.name for file in tmp_path.iterdir()] == ["a.svg"]


def test_names_that_can_not_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"needs one that ends in \.svg"):
        PICTURES["lenet"].save(tmp_path / "a.png")
    with pytest.raises(DataError, match="can't be written"):
        PICTURES["lenet"].save(tmp_path / "no" / "a.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(UsageError, match="which exists"):
        PICTURES["lenet"].save(tmp_path / "folder.svg", overwrite=True)


# ---------------------------------------------------------------- the means


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("shade", [0, 1])
def test_words_and_lines_stand_out(shade):
    fills = [PALETTE[name][shade] for name in ("paper", "value", "weight", "loss")]
    for fill in fills:
        for ink in ("ink", "bar"):
            assert contrast(PALETTE[ink][shade], fill) >= 4.5, (ink, fill)
    for look in ("faint", "frame", "plus", "minus"):
        assert contrast(PALETTE[look][shade], fills[0]) >= 4.5, look
    for pair in SHARED:
        for fill in (fills[0], fills[2]):
            assert contrast(pair[shade], fill) >= 4.5, pair


def test_layout_keeps_a_chain_straight_and_counts_no_needless_crossing():
    chain = layout([(50, 20)] * 4, [(0, 1), (1, 2), (2, 3)])
    assert len({round(x, 6) for x, _ in chain.places}) == 1
    crossed = layout([(50, 20)] * 4, [(0, 3), (1, 2)])
    (a, _), (b, _), (c, _), (d, _) = crossed.places
    assert (a < b) == (d < c)


def test_an_edge_passes_beside_the_nodes_between():
    found = layout([(80, 30)] * 4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    for x, y in found.routes[3][1:-1]:
        for (cx, cy), _ in zip(found.places[1:3], range(2), strict=True):
            assert abs(x - cx) > 40 or abs(y - cy) > 15


def test_no_negative_zero_and_no_foreign_letters():
    canvas = Canvas()
    canvas.text(-0.001, 0, "a\x07b\ud800"[:2], anchor="start")
    assert 'x="0"' in canvas.finish("t", "d", {}).svg
    assert shortened("short", 10) == "short" and len(shortened("x" * 50, 11)) == 11
    assert not re.search(r"[\x00-\x08]", PICTURES["a strange name"].svg)
