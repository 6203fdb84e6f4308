"""One recorded pass: see also test_look.py, which opens it."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.studio.one_pass import record_pass
from chainrule.train.runs import Run

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_a_pass_is_a_run_that_nobody_holds(tmp_path):
    cr.manual_seed(0)
    model = nn.Linear(3, 2)
    run = Run.create("pass", {"system": None}, tmp_path / "pass")
    loss, graph = record_pass(run, model, X)
    assert loss == model(cr.tensor(X)).sum().item()
    assert model.weight.grad is None
    tape = run.records.tape(0)
    assert tape["weight"].bar.tolist() == [X.sum(0).tolist()] * 2
    assert len(graph) == len(tape.graph)
    run.claim()  # released
    run.release()


def test_what_fails_leaves_no_folder(tmp_path):
    run = Run.create("pass", {"system": None}, tmp_path / "pass")
    with pytest.raises(cr.ShapeError, match="3"):
        record_pass(run, nn.Linear(4, 2), X)
    assert not run.folder.exists()
