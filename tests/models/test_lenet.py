"""The three LeNets: structure, and what each says about wrong use."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn as nn
import chainrule.nn.functional as F
import chainrule.optim as optim
from chainrule import models
from chainrule.models.lenet import C3_READS, Subsampling, TableConv2d, codes, squash


def test_lenet5_has_five_layers():
    assert [n for n, _ in models.lenet5().named_children()] == [
        *("conv1", "conv2", "fc1", "fc2", "fc3")
    ]


def test_the_seed_decides_the_weights():
    cr.manual_seed(4)
    first = models.lenet5().fc3.weight.tolist()
    cr.manual_seed(4)
    cr.rand(5)  # another stream
    assert models.lenet5().fc3.weight.tolist() == first


# ---------------------------------------------------------------- the lecture's code


class Net(nn.Module):
    """The lecture's code; the slide calls num_flat_features and leaves it out."""

    def __init__(self):
        super(Net, self).__init__()  # noqa: UP008
        # 1 input image channel, 6 output channels, 3x3 square convolution
        # kernel
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        # an affine operation: y = Wx + b
        self.fc1 = nn.Linear(16 * 6 * 6, 120)  # 6*6 from image dimension
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        # Max pooling over a (2, 2) window
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        # If the size is a square you can only specify a single number
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x

    def num_flat_features(self, x):
        size = x.size()[1:]  # all dimensions except the batch dimension
        num_features = 1
        for s in size:
            num_features *= s
        return num_features


@pytest.mark.parametrize("side", [30, 31, 32, 33])
def test_the_lecture_s_code_runs_with_only_its_imports_changed(side):
    net = Net()
    input, target = cr.randn(1, 1, side, side), cr.tensor([3])
    criterion = nn.CrossEntropyLoss()
    # create your optimizer
    optimizer = optim.SGD(net.parameters(), lr=0.01)

    # in your training loop:
    losses = []
    for _ in range(5):
        optimizer.zero_grad()  # zero the gradient buffers
        output = net(input)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()  # Does the update
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_model_is_the_lecture_s_code():
    theirs, ours = Net(), models.lenet_lecture()
    ours.load_state_dict(theirs.state_dict())
    x = cr.rand(2, 1, 32, 32)
    assert ours(x).tolist() == theirs(x).tolist()
    with pytest.raises(cr.ShapeError, match="576"):
        ours(cr.rand(2, 1, 28, 28))


# ---------------------------------------------------------------- 1998


def test_the_parts_of_1998_count_as_the_paper_does():
    net = models.lenet5(variant="1998")
    counts = {n: sum(p.numel() for p in m.parameters()) for n, m in net.named_children()}
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}


def test_c3_reads_what_its_table_says():
    assert [len(row) for row in C3_READS] == [3] * 6 + [4] * 9 + [6]
    assert [sum(str(c) in row for row in C3_READS) for c in range(6)] == [10] * 6
    layer = TableConv2d()
    layer.bias.data.fill_(0)
    for channel in range(6):
        x = np.zeros((1, 6, 14, 14), np.float32)
        x[0, channel] = 1
        answered = np.abs(layer(cr.tensor(x)).numpy()).sum((0, 2, 3)) > 0
        assert answered.tolist() == [str(channel) in row for row in C3_READS]


def test_subsampling_sums_squares():
    layer = Subsampling(1)
    layer.weight.data.fill_(2)
    layer.bias.data.fill_(0.5)
    x = cr.arange(16.0).reshape(1, 1, 4, 4)
    assert layer(x).tolist() == [[[[20.5, 36.5], [84.5, 100.5]]]]


def test_squash_keeps_one_and_its_negative():
    np.testing.assert_allclose(squash(cr.tensor([-1.0, 0.0, 1.0])).numpy(), [-1, 0, 1], atol=1e-4)


def test_the_codes_are_ten_different_drawings_and_answers_are_distances():
    drawn = codes()
    assert drawn.shape == (10, 84) and set(np.unique(drawn)) == {-1, 1}
    assert len({row.tobytes() for row in drawn}) == 10
    net = models.lenet5(variant="1998")
    seen = {}
    net.F6.register_forward_hook(lambda module, inputs, output: seen.update(F6=output))
    logits = net(cr.rand(2, 1, 28, 28)).numpy()
    away = squash(seen["F6"]).numpy()[:, None] - drawn
    np.testing.assert_allclose(logits, -(away**2).sum(2), rtol=1e-5)


def test_what_does_not_exist():
    with pytest.raises(cr.UsageError, match=r"variant='2024', needs 'modern' or '1998'"):
        models.lenet5(variant="2024")
    with pytest.raises(cr.UsageError, match="drawings of the ten digits"):
        models.lenet5(26, "1998")
