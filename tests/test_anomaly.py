import gc
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.anomaly import Watch
from chainrule.autograd import detect_anomaly, set_detect_anomaly
from chainrule.errors import NonFiniteError


def test_the_first_operation_is_named_with_its_line_and_the_ranges_of_its_inputs():
    x = cr.tensor([[1.0, 2.0], [0.0, 3.0]])
    with pytest.raises(NonFiniteError) as error, detect_anomaly():
        (x.log() * 2).sum().item()
    text = str(error.value)
    assert text.startswith(
        "[log] got 1 infinite in f32[2,2], needs finite numbers (test_anomaly.py:"
    )
    assert "Row 1. Input: f32[2,2] from 0 to 3. log needs numbers above 0" in text


def test_a_derivative_is_named_by_its_operation_and_both_lines():
    w = cr.tensor([0.0, 1.0], requires_grad=True)
    with pytest.raises(NonFiniteError) as error, cr.detect_anomaly():
        w.sqrt().sum().backward()
    text = str(error.value)
    assert text.startswith("[backward of sqrt] got 1 infinite in f32[2], needs finite numbers (")
    assert re.search(r"\(test_anomaly\.py:(\d+), backward at test_anomaly\.py:\1\)", text)


def test_a_sample_that_came_in_broken():
    x = cr.tensor([[1.0, 2.0], [float("nan"), 3.0], [0.0, 0.0]])
    with (
        pytest.raises(NonFiniteError, match=r"\[data\] got 1 NaN in f32\[3,2\].*Row 1.*the data"),
        detect_anomaly(),
    ):
        nn.Linear(2, 2)(x).sum().item()


def test_an_update_that_overflows():
    w = cr.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1e38)
    with detect_anomaly():
        (w * 1e9).sum().backward()
        with pytest.raises(
            NonFiniteError, match=r"\[SGD/\w+\] got .*infinite.*lower learning rate"
        ):
            optimizer.step()
        assert w.tolist() == [1.0]  # nothing that was written after it stands


def test_a_mask_of_infinities_is_somebodys_wish():
    scores = cr.tensor([[1.0, 2.0]], requires_grad=True)
    with detect_anomaly():
        masked = scores.masked_fill(cr.tensor([[False, True]]), float("-inf"))
        y = masked.softmax(1)
        y[0, 0].backward()
        assert y.tolist() == [[1.0, 0.0]]


def test_healthy_training_passes_and_keeps_its_bits():
    def trained():
        cr.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 4), nn.Softplus(), nn.BatchNorm1d(4), nn.Linear(4, 2))
        optimizer = optim.Adam(net.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(cr.randn(8, 2)), cr.tensor([0, 1] * 4)).backward()
            optimizer.step()
        return [p.tolist() for p in net.parameters()]

    with cr.detect_anomaly():
        watched = trained()
    assert watched == trained()


def test_it_is_switched_off_again():
    zero = cr.tensor([0.0])
    set_detect_anomaly(True)
    with pytest.raises(NonFiniteError):
        zero.log().item()
    set_detect_anomaly(False)
    assert zero.log().item() == float("-inf")
    with detect_anomaly(check_nan=False):
        assert zero.log().item() == float("-inf")
    with pytest.raises(ZeroDivisionError), detect_anomaly():
        raise ZeroDivisionError
    assert zero.log().item() == float("-inf")


def test_following_finds_the_origin_behind_what_is_masked():
    """The logarithm of 0 is masked; the NaN that reaches the loss comes from somewhere else."""
    x = cr.tensor([0.0, 1.0])
    with Watch(follow=True) as watch:
        masked = cr.where(x > 0, x.log(), x)
        loss = (masked + (x - 1).sqrt()).sum()
        loss.item()
    finding = watch.origin([loss._node])
    assert finding.name == "sqrt" and finding.rows == [0]
    assert watch.origin([masked._node]) is None
    assert {found.op for found in watch.findings.values()} >= {"log"}


def test_no_memory_is_kept():
    with detect_anomaly() as watch:
        for _ in range(3):
            x = cr.ones(100_000) * 2
            x.sum().item()
        del x
        gc.disable()
        try:
            cr.synchronize()
            assert len(watch.findings) == 0 and len(watch._updates) == 0
        finally:
            gc.enable()
    assert np.isfinite(cr.ones(2).numpy()).all()
