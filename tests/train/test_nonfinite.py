import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim, random
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import NonFiniteError, UsageError
from chainrule.train import Trainer

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = X.sum(1, keepdims=True)


def trainer(loss=None, x=X, lr=0.01, nan="stop", net=None, optimizer=optim.Adam, **more):
    random.manual_seed(0)
    net = net or nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.ReLU(), nn.Linear(4, 1)
    )
    made = Trainer(net, loss or nn.MSELoss(), optimizer(net.parameters(), lr=lr), nan=nan, **more)
    return made, DataLoader(TensorDataset(x, Y), 8, shuffle=True)


def numbers(t):
    """All that a training is made of, as numbers."""
    model = {name: x.numpy().tobytes() for name, x in t.model.state_dict().items()}
    return model, repr(t.optimizer.state_dict()), random.get_state()


def stopped(t, data, epochs=3):
    """The error of a training, and that all is as before the step it names."""
    seen = []

    class Before(cr.train.Callback):
        def on_step_begin(self, trainer):
            seen.append(numbers(trainer))

    t.callbacks.append(Before())
    with pytest.raises(NonFiniteError) as error:
        t.fit(data, epochs=epochs, verbose=False)
    assert numbers(t) == seen[-1]
    step = len(seen) - 1
    assert f"in step {step % 3 + 1} of epoch {step // 3 + 1}, needs finite numbers" in str(
        error.value
    )
    return error.value


def explodes_at(step):
    """A loss that takes the logarithm of 0 in one step."""
    count = 0

    def loss(outputs, targets):
        nonlocal count
        count += 1
        right = (outputs - targets) ** 2
        if count >= step:
            right = right + (right.detach() * 0).log()
        return right.mean()

    return loss


@pytest.mark.parametrize("nan", ["stop", "strict"])
def test_log_of_0_in_a_loss(nan):
    error = stopped(*trainer(explodes_at(5), nan=nan))
    text = str(error)
    assert text.startswith("[log] got all 8 infinite in f32[8,1] in step 2 of epoch 2")
    assert "(test_nonfinite.py:" in text
    assert "Input: f32[8,1] = 0. log needs numbers above 0" in text
    assert text.endswith("The parameters are those before this step.")
    if nan == "stop":
        assert error.tape["0"].value.shape == (8, 4)


@pytest.mark.parametrize("nan", ["stop", "strict"])
def test_a_broken_sample_is_named_by_its_number_in_the_data(nan):
    x = X.copy()
    x[17, 1] = np.nan
    t, data = trainer(x=x, nan=nan)
    text = str(stopped(t, data))
    assert text.startswith("[data] got 1 NaN in f32[8,3]")
    assert "of the batch (17 of the data). It came in like that: look at the data" in text


@pytest.mark.parametrize("nan", ["stop", "strict"])
def test_too_high_a_learning_rate(nan):
    net = nn.Linear(3, 1)
    t, data = trainer(lr=1e12, nan=nan, net=net, optimizer=optim.SGD)
    text = str(stopped(t, data, epochs=50))
    assert "infinite in" in text and "a lower learning rate" in text
    assert np.isfinite(net.weight.numpy()).all()


@pytest.mark.parametrize("nan", ["stop", "strict"])
def test_a_slope_that_is_infinite_while_the_loss_is_not(nan):
    def loss(outputs, targets):
        return (outputs * 0).sqrt().mean()

    text = str(stopped(*trainer(loss, nan=nan)))
    assert text.startswith("[backward of sqrt] got ")
    assert ", backward at trainer.py" not in text
    assert "its slope at 0 is infinite" in text


def test_a_masked_infinity_is_not_blamed():
    """log(0) is masked away; what makes the loss NaN comes later, and is named."""

    def loss(outputs, targets):
        masked = cr.where(outputs > 1e9, (outputs * 0).detach().log(), outputs)
        return (masked.mean() - 1e9).sqrt()

    text = str(stopped(*trainer(loss)))
    assert text.startswith("[sqrt] got 1 NaN in f32[]")


def test_ignored_it_trains_on():
    t, data = trainer(explodes_at(2), nan="ignore")
    history = t.fit(data, epochs=2, verbose=False)
    assert not np.isfinite(history["loss"][-1])


def test_looking_changes_no_bit():
    found = []
    for nan in ("stop", "strict", "ignore"):
        t, data = trainer(nan=nan)
        t.fit(data, epochs=2, verbose=False)
        found.append(numbers(t))
    assert found[0] == found[1] == found[2]


def test_a_mode_that_there_is_not():
    with pytest.raises(UsageError, match=r"nan='halt', needs stop or strict or ignore"):
        trainer(nan="halt")


def test_an_optimizer_s_moment_that_overflows_stops_it():
    for optimizer in (optim.Adam, optim.RMSprop, optim.Adagrad):
        t, data = trainer(lambda outputs, targets: (outputs * 1e24).mean(), optimizer=optimizer)
        error = stopped(t, data)
        assert f"[{optimizer.__name__}/square] got 9 infinite in f32[4,3]" in str(error)


def test_a_running_statistic_that_overflows_stops_it():
    class Large(nn.Module):
        def forward(self, x):
            return x * 1e22

    net = nn.Sequential(nn.Linear(3, 4), Large(), nn.BatchNorm1d(4), nn.Linear(4, 1))
    assert "[2/BatchNorm1d/moments] got 4 infinite" in str(stopped(*trainer(net=net)))


def test_a_mask_of_infinity_stops_nothing():
    net = nn.Sequential(nn.Linear(3, 1))
    net.register_buffer("mask", cr.full((2,), -float("inf")))
    t, data = trainer(net=net)
    assert np.isfinite(t.fit(data, verbose=False).last["loss"])
