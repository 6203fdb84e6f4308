"""What is said to read a number is what changes when the number does."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.inspect.element import Elements
from chainrule.ops import REGISTRY
from chainrule.run import backend, reference

CONSTANT = {"assign", "floor_divide"}  # their value, or their derivative, does not move


@pytest.mark.parametrize("op", REGISTRY.values(), ids=lambda op: op.name)
def test_readers_are_what_changes_when_the_number_does(op, monkeypatch):
    monkeypatch.setattr(backend, "chosen", lambda: reference)
    rng = np.random.default_rng(0)
    for sample in op.samples(rng):
        arrays = [np.asarray(a) for a in sample.inputs]
        floating = [k for k, a in enumerate(arrays) if a.dtype.kind == "f" and a.size]
        if op.name in CONSTANT or not floating:
            continue
        with cr.record() as tape:
            op(*map(cr.tensor, arrays), **sample.meta).name = "y"
        elements = Elements(tape)
        step = elements.step
        reader = elements.number(tape["y"].node)
        before = op.reference(*arrays, **sample.meta)
        for position in floating:
            source = step.number[step.order[reader].inputs[position]]
            flat = int(rng.integers(arrays[position].size))
            moved = [np.array(a) for a in arrays]
            moved[position].reshape(-1)[flat] += 1e-3
            changed = np.argwhere(op.reference(*moved, **sample.meta) != before).tolist()
            used = elements.at(source, "value", step.index(source, flat)).used_by
            assert used.count >= len(changed)
            if used.count <= 8:
                assert set(map(tuple, changed)) <= {link.index for link in used.links}


def test_a_pixel_is_read_by_each_window_on_it():
    x, w = cr.tensor(np.ones((1, 1, 5, 5))), cr.tensor(np.ones((2, 1, 3, 3)))
    with cr.record() as tape:
        y = cr.nn.functional.conv2d(x, w, padding=1)
        y.name = "y"
    elements = Elements(tape)
    y = elements.number(tape["y"].node)
    corner = elements.at(0, "value", (0, 0, 0, 0)).used_by
    assert corner.count == 8  # four windows of each of two kernels
    assert set(corner.links) == {
        (y, "value", (0, k, i, j), None) for k in (0, 1) for i in (0, 1) for j in (0, 1)
    }
    assert elements.at(0, "value", (0, 0, 2, 2)).used_by.count == 18
    assert elements.at(1, "value", (0, 0, 1, 1)).used_by.count == 25
