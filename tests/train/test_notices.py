"""Each notice by a planted fault; healthy trainings are told nothing."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim, random
from chainrule.data import DataLoader, TensorDataset
from chainrule.storage import recorder
from chainrule.train import Trainer, accuracy

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def loader(x=X, labels=LABELS, size=16):
    return DataLoader(TensorDataset(x, labels), size, shuffle=True)


def notices(net, lr=0.05, epochs=8, data=None, validation=None, **more):
    parameters = [p for p in net.parameters() if p.requires_grad]
    t = Trainer(
        net, nn.CrossEntropyLoss(), optim.Adam(parameters, lr=lr), metrics=[accuracy], **more
    )
    t.fit(data or loader(), epochs=epochs, validation_data=validation, verbose=False)
    assert recorder().taps == []
    return t.history.notices


def net(seed=0):
    random.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.mark.parametrize("seed", range(5))
def test_healthy_trainings_are_told_nothing(seed):
    half = loader(X[:48], LABELS[:48]), loader(X[48:], LABELS[48:])
    assert notices(net(seed), data=half[0], validation=half[1], epochs=10) == []


class Pictures(nn.Module):
    """ReLU as a function, after convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(24, 2)

    def forward(self, x):
        return self.fc(nn.functional.relu(self.conv1(x)).flatten(1))


def test_a_healthy_convolution_and_a_frozen_part():
    x = X.reshape(96, 1, 2, 2).repeat(2, 2).repeat(2, 3)
    random.manual_seed(0)
    model = Pictures()
    assert notices(model, data=loader(x)) == []
    model.conv1.requires_grad_(False)
    assert notices(model, data=loader(x)) == []


def test_a_loss_that_never_fell():
    (found,) = notices(net(), lr=1e-12)
    assert found.startswith("the loss never fell: mean of the first 8 steps 0.")
    assert "of the best epoch (" in found


def test_a_short_training_is_not_judged():
    assert notices(net(), lr=1e-12, epochs=2) == []


def test_gradients_that_are_all_zero():
    model = net()
    with cr.no_grad():
        model[2].weight.zero_()
    model[2].weight.requires_grad_(False)
    found = notices(model)
    assert found[-1].startswith("0: its gradients were all 0 in all ")
    assert found[-1].endswith(" steps that were sampled")


def test_units_that_are_dead():
    model = net()
    with cr.no_grad():
        model[0].bias[:12] = -100.0
    (found,) = notices(model)
    assert found.startswith("1/ReLU: 12 of 16 units were 0 for all ")
    random.manual_seed(0)
    model = Pictures()
    with cr.no_grad():
        model.conv1.bias[:4] = -100.0
    found = notices(model, data=loader(X.reshape(96, 1, 2, 2).repeat(2, 2).repeat(2, 3)))
    assert found[0].startswith("ReLU after conv1: 4 of 6 units were 0 for all ")


def test_training_far_above_validation():
    few = loader(X[:24], RNG.integers(0, 2, 24), size=8)
    other = loader(X[24:], RNG.integers(0, 2, 72))
    random.manual_seed(0)
    big = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 2))
    (found,) = notices(big, data=few, validation=other, epochs=60)
    assert found.startswith("training is far above validation: accuracy ")
    assert found.endswith("more data, augmentation or regularisation")


def test_a_failure_takes_the_taps_away():
    bad = [(cr.tensor(X[:8]), cr.tensor(np.full(8, 7)))]
    with pytest.raises(cr.ChainruleError):
        Trainer(net(), nn.CrossEntropyLoss(), optim.SGD(net().parameters(), lr=0.1)).fit(
            bad, verbose=False
        )
    assert recorder().taps == []


def test_sampling_changes_no_bit_and_is_rare():
    model, twin = net(), net()
    notices(model)
    random.manual_seed(0)
    net()
    data, optimizer = loader(), optim.Adam(twin.parameters(), lr=0.05)
    for _ in range(8):
        for x, t in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(x), t).backward()
            optimizer.step()
    assert [p.tolist() for p in model.parameters()] == [p.tolist() for p in twin.parameters()]
