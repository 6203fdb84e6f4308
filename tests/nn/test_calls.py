"""What a function of ``nn.functional`` says of what is no tensor."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import UsageError


class Foreign:
    __module__ = "torch"
    shape = (2,)

    def __array__(self):
        return np.zeros(2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: nn.Linear(3, 2)(np.ones((2, 3))), "[Linear] got an array of NumPy"),
        (lambda: nn.ReLU()(np.ones(3)), "[ReLU] got an array of NumPy"),
        (lambda: F.linear(np.ones((2, 3)), cr.ones(2, 3)), "[linear] got an array of NumPy"),
        (lambda: F.cross_entropy(cr.zeros(2, 3), np.array([0, 1])), "[cross_entropy] got an array"),
        (lambda: F.relu(Foreign()), "[relu] got a torch tensor"),
        (lambda: F.softmax(input=np.ones(3), dim=0), "[softmax] got an array of NumPy"),
    ],
)
def test_an_array_instead_of_a_tensor(call, says):
    with pytest.raises(UsageError) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(says) and "needs a tensor (test_calls.py:" in text
    assert text.endswith("cr.tensor(array).")


def test_other_mistakes_stay_what_they_are():
    with pytest.raises(TypeError, match="unexpected keyword"):
        F.relu(cr.ones(2), nowhere=True)
