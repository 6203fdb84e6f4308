"""An element as a tree: its terms, the rest of them, who has won, what a border sees."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.inspect.element import Elements


def normal(*shape, seed=0):
    return cr.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_a_padded_zero_says_so_and_a_maximum_names_its_winner():
    x = cr.tensor([[[[1.0, 4.0], [4.0, 2.0]]]], requires_grad=True)
    with cr.record() as tape:
        padded = F.pad(x, (1, 0, 0, 0))
        padded.name = "padded"
        largest = F.max_pool2d(x, 2)
        largest.name = "largest"
        (largest.sum() + padded.sum()).backward()
    elements = Elements(tape)
    assert elements.at(tape["padded"].node, "value", (0, 0, 0, 0)).leaf == "padding"
    won = elements.at(tape["largest"].node, "value", (0, 0, 0, 0))
    assert won.numbers == "max(1, 4, 4, 2)"
    assert won.part.parts[won.part.meta["winner"]].link.index == (0, 0, 0, 1)
    here = [elements.at(0, "bar", (0, 0, i, j)) for i, j in ((0, 1), (1, 0))]
    assert [signal.value for signal in here] == [2, 1]
    assert [signal.addends[0].numbers for signal in here] == ["1·1", "1·0"]


def test_over_12_terms_the_rest_is_one_number():
    a, b = normal(1, 150), normal(150, 1, seed=1)
    with cr.record() as tape:
        y = a @ b
        y.name = "y"
    element = Elements(tape).at(tape["y"].node, "value", (0, 0))
    products = a.numpy()[0].astype(float) * b.numpy()[:, 0]
    largest = sorted(np.abs(products))[-12:]
    assert element.part.more.count == 138
    assert sorted(abs(part.value) for part in element.part.parts) == pytest.approx(largest)
    listed = sum(part.value for part in element.part.parts)
    assert listed + element.part.more.value == pytest.approx(products.sum(), abs=1e-12)
    assert "(138 more = " in element.numbers
    assert element.roundoff == float(element.value) - element.part.value != 0


def test_of_equal_terms_the_first_are_listed():
    x = cr.tensor(np.ones((1, 20)))
    with cr.record() as tape:
        total, largest = x.sum(1), x.amax(1)
        total.name, largest.name = "total", "largest"
    elements = Elements(tape)
    total = elements.at(tape["total"].node, "value", (0,))
    assert [link.index[1] for link in total.links] == list(range(12))
    assert (total.part.more.count, total.part.more.value) == (8, 8)
    assert total.formula == "y = Σ x"
    largest = elements.at(tape["largest"].node, "value", (0,))
    assert largest.part.meta["winner"] == 0
    assert largest.links[0].index == (0, 0)


def test_a_mean_at_the_border_is_divided_by_what_it_sees():
    x = normal(1, 1, 3, 3)
    x.requires_grad_()
    with cr.record() as tape:
        y = F.avg_pool2d(x, 2, ceil_mode=True)
        y.name = "y"
        y.sum().backward()
    elements = Elements(tape)
    assert elements.at(tape["y"].node, "value", (0, 0, 1, 0)).formula == "y = Σ x/2"
    assert elements.at(tape["y"].node, "value", (0, 0, 1, 1)).formula == "y = x"
    corners = [elements.at(0, "bar", (0, 0, i, i)) for i in (0, 2)]
    assert [corner.numbers for corner in corners] == ["1/4", "1"]
