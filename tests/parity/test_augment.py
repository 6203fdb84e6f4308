"""Resizing equals PyTorch's bilinear interpolation with anti-aliasing."""

import numpy as np
import pytest

from chainrule.data import Resize

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("size", [(7, 9), (12, 30), (31, 10), (4, 4), (1, 1), (13, 17)])
def test_resize(size):
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).random((2, 3, 13, 17)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(images), size, mode="bilinear", antialias=True, align_corners=False
    )
    assert np.allclose(Resize(size)(images), wanted.numpy(), atol=1e-6)
