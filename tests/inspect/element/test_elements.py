"""Seeded random walks: each number follows from its own operands, and each walk ends in a leaf."""

import json
import re

import numpy as np
import pytest
from tests.inspect.element.evaluation import EPS, evaluate

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.errors import ChainruleError
from chainrule.inspect.element import Elements
from chainrule.ops import REGISTRY
from chainrule.run import backend, reference
from chainrule.tape import kept_step, tape_of


def check(element, elements):
    """One click: the number follows from its operands; all parts of the description agree."""
    eps, page = EPS.get(element.node.dtype.name, 0.0), element.page()
    if element.part.value is not None:
        value, error = evaluate(page["part"], eps)
        bound = error + eps * abs(value) + 1e-37
        recorded, ours = element.value.item(), element.part.value.item()
        assert abs(value - recorded) <= bound, (element.numbers, recorded, value)
        assert abs(ours - value) <= bound
        if element.node.dtype.is_floating_point:
            assert element.roundoff == float(element.value) - float(element.part.value)
    if element.addends:
        sent = [float(addend.value) for addend in element.addends]
        bound = len(sent) * eps * sum(map(abs, sent))
        assert abs(sum(sent) - float(element.value)) <= bound
    for addend in element.addends:
        if not addend.why and addend.part.value is not None:
            value, error = evaluate(addend.page()["part"], eps)
            assert abs(value - addend.value) <= error + eps * abs(value) + 1e-37, addend.numbers
    if element.samples is not None:
        total = sum(part.value for part in element.samples.parts)
        total += element.samples.more.value if element.samples.more else 0
        count = 10 + len(element.samples.parts)
        size = sum(abs(part.value) for part in element.samples.parts) + abs(element.value)
        if element.samples.more is None:
            # Each share is a sum as well, whose terms may be far larger than it: of a key's bias,
            # which moves nothing, shares are what their round-off left.
            shares = [elements.at(*part.link).page()["part"] for part in element.samples.parts]
            terms = sum(evaluate(share, eps)[1] for share in shares)
            assert abs(total - element.value) <= count * eps * size + terms
    assert element.numbers or element.leaf
    assert page["what"]["hex"]
    for link in (*element.links, *element.used_by.links):
        assert elements.step.flat(link.node, link.index) >= 0
        assert link.kind == "value" or elements.step.has_bar(link.node)


def walk(tape, seed, clicks=300, batch=None):
    """So many clicks on numbers, from the losses' side on, starting again at each leaf."""
    elements, rng = Elements(tape, batch), np.random.default_rng(seed)
    step, at, ends, reached, here = elements.step, None, 0, set(), 0
    for _ in range(clicks):
        if at is None:
            node = int(rng.integers(len(step.order)))
            while not np.prod(step.order[node].shape):
                node = int(rng.integers(len(step.order)))
            kind = "bar" if step.has_bar(node) and rng.random() < 0.8 else "value"
            flat = int(rng.integers(np.prod(step.order[node].shape)))
            array = step.array(node, kind)
            flat %= array.size
            at, here = (node, kind, step.index(node, flat), None), 0
        element = elements.at(*at)
        check(element, elements)
        links = [k for k in element.links if k.sample is not None or step.number_at(k) is not None]
        here += 1
        assert here < 500, "a chain goes in a circle"
        if element.leaf or not links:
            assert element.leaf, element
            ends, at = ends + 1, None
            reached.add(element.leaf)
        else:
            at = tuple(links[rng.integers(len(links))])
    assert ends
    return reached


# ---------------------------------------------------------------- models


def trained(model, x, t, loss=F.cross_entropy, optimizer=True):
    cr.manual_seed(3)
    steps = optim.SGD(model.parameters(), lr=0.1) if optimizer else None
    with cr.record() as tape:
        loss(model(*x) if isinstance(x, tuple) else model(x), t).backward()
        if steps is not None:
            steps.step()
    return tape


def normal(*shape, seed=0):
    return cr.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def labels(count, classes=10, seed=0):
    return cr.tensor(np.random.default_rng(seed).integers(0, classes, count))


def mlp():
    net = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3))
    return trained(net, normal(5, 7), labels(5, 3))


def lenet_of_four():
    return trained(cr.models.build("lenet5"), normal(4, 1, 28, 28), labels(4))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=2, dilation=2, groups=2)
        self.skip = nn.Conv2d(4, 4, 1, stride=2)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.end = nn.Linear(4, 3)

    def forward(self, x):
        h = F.relu(self.norm(self.first(x)))
        h = F.relu(self.second(h) + self.skip(h))
        return self.end(self.pool(h).mean((2, 3)))


def residual():
    return trained(Residual(), normal(3, 3, 7, 5), labels(3, 3))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.q, self.k, self.v = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm, self.end = nn.LayerNorm(6), nn.Linear(6, 11)

    def forward(self, tokens):
        x = self.table(tokens)
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 6**0.5
        x = self.norm(x + F.softmax(scores, -1) @ self.v(x))
        return self.end(x).reshape(-1, 11)


def attention():
    tokens = cr.tensor(np.random.default_rng(1).integers(0, 11, (2, 5)))
    return trained(Attention(), tokens, labels(10, 11))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        return self.layer(F.gelu(self.layer(x).tanh()))


def shared():
    return trained(Shared(), normal(4, 5), normal(4, 5, seed=1), F.mse_loss)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)
        self.scale = nn.Parameter(cr.tensor([1.0, -0.5, 2.0, 0.3]))

    def forward(self, a, b):
        joined = cr.concatenate([self.left(a).sigmoid(), F.softplus(self.right(b))], 1)
        return joined[:, 1:7:2].flip((1,)) * self.scale[:3].exp() + joined.amax(1, keepdim=True)


def two_inputs():
    return trained(Two(), (normal(3, 3), normal(3, 2)), normal(3, 3, seed=4), F.l1_loss)


def strided():
    layers = nn.Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0)), nn.Tanh()
    net = nn.Sequential(*layers, nn.MaxPool2d(3, 1, 1), nn.Flatten(), nn.Linear(36, 4))
    return trained(net, normal(2, 2, 7, 9), labels(2, 4))


MODELS = [mlp, lenet_of_four, residual, attention, shared, two_inputs, strided]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_300_clicks_on_numbers(model):
    reached = walk(model(), seed=1)
    assert len(reached) > 1, reached


def test_300_clicks_on_a_record_with_half_of_the_samples():
    tape = tape_of(kept_step(lenet_of_four(), count=4, rows=2))
    assert len(walk(tape, seed=2)) > 1


# ---------------------------------------------------------------- every op

LEAVES = {"data", "number", "parameter", "random_bits", "orthonormal"}


@pytest.fixture
def numpy_alone(monkeypatch):
    """The formulas are in question here, not machine code."""
    monkeypatch.setattr(backend, "chosen", lambda: reference)


def recorded(op, sample):
    """A step that applies the op to a sample, and sends an error signal back."""
    arrays = [np.asarray(a) for a in sample.inputs]
    wanted = sample.differentiable
    if wanted is None:
        wanted = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    with cr.record() as tape:
        x = [cr.tensor(a, requires_grad=k in wanted) for k, a in enumerate(arrays)]
        y = op(*x, **sample.meta)
        y.name = "y"
        if y.requires_grad:
            (y * cr.tensor(np.random.default_rng(5).normal(size=y.shape))).sum().backward()
    return tape


@pytest.mark.parametrize("op", REGISTRY.values(), ids=lambda op: op.name)
def test_each_op_is_explained_or_a_leaf_with_a_reason(op, numpy_alone):
    rng = np.random.default_rng(0)
    for sample in op.samples(rng):
        tape = recorded(op, sample)
        elements = Elements(tape)
        step = elements.step
        assert any(node.op is op for node in step.order)
        for k, node in enumerate(step.order):
            size = int(np.prod(node.shape))
            for flat in rng.permutation(size)[:3]:
                for kind in ("value", "bar") if step.has_bar(k) else ("value",):
                    element = elements.at(k, kind, step.index(k, int(flat)))
                    check(element, elements)
                    if kind == "value" and element.leaf:
                        assert node.op.name in LEAVES or element.part.why
                    assert element.part.value is not None or node.op.name in LEAVES
                    assert not any(addend.why for addend in element.addends if k in step.samples)


# ---------------------------------------------------------------- by hand


@pytest.fixture(scope="module")
def logistic():
    """The lectures' example: y = σ(w x + b), L = (y - t)²/2."""
    w, b = cr.tensor(0.8, requires_grad=True), cr.tensor(-0.3, requires_grad=True)
    w.name, b.name = "w", "b"
    with cr.record() as tape:
        z = w * 1.5 + b
        z.name = "z"
        y = z.sigmoid()
        y.name = "y"
        ((y - 1.0) ** 2 / 2).backward()
    return tape


def test_logistic_unit_by_hand(logistic):
    elements = Elements(logistic)
    y = logistic["y"].value.item()
    signal = elements.at(logistic["y"].node, "bar")
    assert signal.value.item() == np.float32(y) - np.float32(1)
    z = elements.at(logistic["z"].node, "bar")
    assert z.formula == "x̄ = ȳ·y·(1 − y)"
    assert z.numbers == "(−0.2891)·0.7109·(1 − 0.7109)"
    assert z.part.value == pytest.approx(float(signal.value) * y * (1 - y), rel=1e-15)
    assert z.roundoff == float(z.value) - z.part.value
    w = elements.at(logistic["w"].node, "bar")
    assert w.formula == "ā = ȳ·1.5"
    assert w.part.value == float(z.value) * 1.5


def test_the_chain_goes_from_a_weight_to_the_seed(logistic):
    elements = Elements(logistic)
    at, kinds = (elements.number(logistic["w"].node), "bar", ()), []
    while True:
        element = elements.at(*at)
        kinds.append(element.node.op.name)
        bars = [link for link in element.links if link.kind == "bar"]
        if not bars:
            break
        at = bars[0][:3]
    assert kinds == ["parameter", "mul", "add", "sigmoid", "sub", "square", "div"]
    assert (element.formula, element.leaf) == ("L̄ = 1", "the seed of the backward pass")
    assert element.value == 1


def test_a_value_says_who_reads_it_and_a_signal_where_it_goes(logistic):
    elements = Elements(logistic)
    y = elements.at(logistic["y"].node)
    assert [elements.step.order[link.node].op.name for link in y.used_by.links] == ["sub"]
    z = elements.at(logistic["z"].node, "bar")
    assert z.used_by.count == 2  # w·1.5 and b
    assert {link.kind for link in z.used_by.links} == {"bar"}


def test_a_page_gets_plain_values(logistic):
    page = Elements(logistic).at(logistic["z"].node, "bar").page()
    assert json.loads(json.dumps(page)) == page
    assert float.fromhex(page["what"]["hex"]) == logistic["z"].bar.item()
    assert page["part"]["rule"] == "mul"
    assert page["part"]["parts"][0]["link"]["kind"] == "bar"


def test_numbers_that_json_lacks_are_words():
    with cr.record() as tape:
        x = cr.tensor([0.0, -1.0], requires_grad=True)
        y = x.log()
        y.name = "y"
        y.sum().backward()
    elements = Elements(tape)
    pages = [elements.at(tape["y"].node, "value", (k,)).page() for k in (0, 1)]
    pages.append(elements.at(0, "bar", (0,)).page())
    assert json.dumps(pages, allow_nan=False)
    assert [page["what"]["value"] for page in pages] == ["-inf", "nan", "inf"]
    assert [page["what"]["hex"] for page in pages] == ["-inf", "nan", "inf"]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ((99,), "node 99"),
        ((0, "grad"), "kind 'grad'"),
        ((0, "value", (5,)), "index (5,)"),
        ((1, "bar"), "without an error signal"),
    ],
)
def test_bad_input_gets_one_clear_error(logistic, at, words):
    with pytest.raises(ChainruleError, match=re.escape(words)):
        Elements(logistic).at(*at)


def test_a_step_from_a_file_is_described_as_the_live_one():
    live = shared()
    kept = tape_of(kept_step(live))
    rng = np.random.default_rng(0)
    for number, node in enumerate(Elements(live).step.order):
        index = tuple(int(rng.integers(size)) for size in node.shape)
        for kind in ("value", "bar") if Elements(live).step.has_bar(number) else ("value",):
            pages = [Elements(tape).at(number, kind, index).page() for tape in (live, kept)]
            assert pages[0] == pages[1]
