"""Switching histories off under PyTorch's names."""

from __future__ import annotations

import pytest

import chainrule as cr


@pytest.mark.parametrize("switch", [cr.no_grad, cr.inference_mode])
def test_no_history_in_a_block_or_function(switch):
    x = cr.ones(2, requires_grad=True)
    with switch():
        assert not cr.is_grad_enabled()
        y = x * 2

    @switch()
    def double(v):
        return v * 2

    assert not y.requires_grad and not double(x).requires_grad
    assert cr.is_grad_enabled() and (x * y).requires_grad


def test_what_inference_made_may_be_trained_with_later():
    with cr.inference_mode():
        w = cr.ones(2) * 3
    w.requires_grad_()
    (w * w).sum().backward()
    assert w.grad.tolist() == [6, 6]
