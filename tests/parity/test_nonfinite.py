"""NaN and infinity go through a compiled function as they do through PyTorch."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

pytestmark = pytest.mark.parity

ROW = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.0, 3e38]
FUNCTIONS = {
    "relu": lambda lib, fn, x, w: lib.relu(x),
    "clamp": lambda lib, fn, x, w: lib.clamp(x, -1.0, 1.0),
    "maximum": lambda lib, fn, x, w: lib.maximum(x, x.flip((3,))),
    "minimum": lambda lib, fn, x, w: lib.minimum(x, x.flip((2,))),
    "max_pool2d": lambda lib, fn, x, w: fn.max_pool2d(x, 2),
    "amax": lambda lib, fn, x, w: lib.amax(x, 3),
    "sum": lambda lib, fn, x, w: lib.sum(x, 3),
    "softmax": lambda lib, fn, x, w: lib.softmax(x, 3),
    "log_softmax": lambda lib, fn, x, w: fn.log_softmax(x, 3),
    "exp": lambda lib, fn, x, w: lib.exp(x),
    "tanh": lambda lib, fn, x, w: lib.tanh(x),
    "sigmoid": lambda lib, fn, x, w: lib.sigmoid(x),
    "conv2d": lambda lib, fn, x, w: fn.conv2d(x, w),
    "matmul": lambda lib, fn, x, w: x @ x,
}


@pytest.mark.parametrize("broken", [None, np.nan, np.inf], ids=str)
@pytest.mark.parametrize("images", [1, 8])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_not_finite(name, images, broken):
    import torch

    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, 1, 8, 8)).astype(np.float32)
    if broken is None:
        x[0, 0, 2] = ROW
    w = rng.normal(size=(3, 1, 3, 3)).astype(np.float32)
    w[1, 0, 1, 1] = broken or 1.0
    function = FUNCTIONS[name]
    theirs = function(torch, torch.nn.functional, torch.tensor(x), torch.tensor(w)).numpy()
    ours = cr.compile(lambda x, w: function(cr, F, x, w))(cr.tensor(x), cr.tensor(w)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, equal_nan=True)
