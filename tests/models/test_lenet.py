import pytest

import chainrule as cr
from chainrule import models
from chainrule.errors import UsageError


def test_lenet5_has_61706_parameters_in_five_layers():
    net = models.lenet5()
    assert sum(p.numel() for p in net.parameters()) == 61_706
    assert [name for name, _ in net.named_children()] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert net(cr.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert models.lenet5(num_classes=26)(cr.zeros(1, 1, 28, 28)).shape == (1, 26)


def test_the_seed_decides_the_weights():
    cr.manual_seed(4)
    first = models.lenet5().fc3.weight.tolist()
    cr.manual_seed(4)
    cr.rand(5)  # another stream
    assert models.lenet5().fc3.weight.tolist() == first


def test_a_misspelt_model():
    with pytest.raises(UsageError, match=r"Did you mean lenet5\?"):
        models.build("lenet")
