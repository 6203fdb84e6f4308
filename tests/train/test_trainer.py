import gc
import os
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim, random
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import ChainruleError, UsageError
from chainrule.storage import Recorded
from chainrule.train import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    Trainer,
    accuracy,
    load_checkpoint,
)

X = cr.tensor(np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
LABELS = (X[:, 0] > 0).to(cr.int64)
BATCHES = [(X[:8], LABELS[:8]), (X[8:], LABELS[8:])]


def trainer(lr=0.1, **more):
    random.manual_seed(0)
    net = nn.Linear(4, 2)
    optimizer = optim.SGD(net.parameters(), lr=lr)
    return Trainer(net, nn.CrossEntropyLoss(), optimizer, metrics=[accuracy], **more)


def weights(net):
    return [p.tolist() for p in net.parameters()]


def test_fit_is_the_plain_loop():
    by_trainer = trainer()
    by_trainer.fit(BATCHES, epochs=2)
    by_hand = trainer()
    for _ in range(2):
        for x, t in BATCHES:
            by_hand.optimizer.zero_grad()
            nn.functional.cross_entropy(by_hand.model(x), t).backward()
            by_hand.optimizer.step()
    assert weights(by_trainer.model) == weights(by_hand.model)


def test_history_means_over_samples_not_over_batches():
    t = trainer(lr=1e-12)
    history = t.fit(BATCHES, validation_data=BATCHES)
    whole = nn.functional.cross_entropy(t.model(X), LABELS).item()
    assert history["loss"] == [pytest.approx(whole, rel=1e-6)]
    assert history[-1]["val_accuracy"] == accuracy(t.model(X), LABELS)
    assert t.evaluate(BATCHES)["loss"] == pytest.approx(whole, rel=1e-6)
    assert repr(history).startswith("<History of 1 epochs: loss ")


def test_predict():
    t = trainer()
    assert t.predict(BATCHES).shape == (12, 2)
    assert (t.predict(X) == t.predict(BATCHES)).all()


def test_evaluating_moves_nothing_and_returns_to_training_mode():
    net = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
    t = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))
    net.train()
    state = random.get_state()
    assert t.evaluate(BATCHES) == t.evaluate(BATCHES)
    assert random.get_state() == state
    assert net.training


def test_a_bad_label_leaves_the_parameters_as_they_were():
    random.manual_seed(0)
    net = models.lenet5()
    t = Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=0.01))
    x = cr.rand(4, 1, 28, 28)
    t.fit([(x, cr.tensor([1, 2, 3, 4]))])
    before = weights(net)
    with pytest.raises(ChainruleError, match="10"):
        t.fit([(x, cr.tensor([1, 2, 10, 4]))])
    assert weights(net) == before
    t.fit([(x, cr.tensor([1, 2, 3, 4]))])
    assert weights(net) != before


def test_a_schedule_by_progress_sets_every_step():
    seen = []

    def halved(progress):
        seen.append(progress)
        return 1 - progress / 2

    t = trainer(schedule=halved)
    t.fit(BATCHES, epochs=2)
    assert seen == [0, 0.25, 0.5, 0.75]
    assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.625)
    with pytest.raises(UsageError, match="a generator"):
        t.fit(iter(BATCHES))


def test_a_schedule_object_steps_after_each_epoch():
    t = trainer()
    t.schedule = optim.lr_scheduler.ExponentialLR(t.optimizer, gamma=0.5)
    t.fit(BATCHES, epochs=3)
    assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 8)


def test_early_stopping():
    t = trainer(lr=1e-12, callbacks=[EarlyStopping("val_loss", patience=2)])
    assert len(t.fit(BATCHES, epochs=50, validation_data=BATCHES)) < 10
    with pytest.raises(UsageError, match=r"monitor = 'nothing', needs one of loss"):
        trainer(callbacks=[EarlyStopping("nothing")]).fit(BATCHES)


def test_a_checkpoint_after_each_epoch(tmp_path):
    t = trainer(callbacks=[ModelCheckpoint(tmp_path / "c")])
    t.fit(BATCHES, epochs=3)
    other = trainer()
    assert load_checkpoint(tmp_path / "c", other.model)["epoch"] == 3
    assert weights(other.model) == weights(t.model)


def test_no_batches():
    with pytest.raises(UsageError, match="no batches"):
        trainer().fit([])


def batch_norm_trainer(**more):
    random.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))
    return Trainer(
        net,
        nn.CrossEntropyLoss(),
        optim.Adam(net.parameters(), lr=0.05),
        metrics=[accuracy],
        **more,
    )


class Noisy(nn.Module):
    """Draws numbers whether it trains or not."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + 0.01 * cr.randn(*x.shape)) * cr.nn.functional.dropout(
            cr.ones(x.shape[0], 1), 0.1, training=True
        )


def test_evaluating_never_moves_training():
    """With and without validation, shuffled and drawing numbers: the same bits."""
    found = []
    for validation in (False, True):
        t = batch_norm_trainer()
        t.model = Noisy(t.model)
        data = DataLoader(TensorDataset(X.numpy(), LABELS.numpy()), 5, shuffle=True)
        other = DataLoader(TensorDataset(X.numpy(), LABELS.numpy()), 4, shuffle=True)
        t.fit(data, epochs=4, validation_data=other if validation else None, verbose=False)
        if validation:
            t.predict(other)
            t.evaluate(data)
        state = {name: x.numpy().tobytes() for name, x in t.model.state_dict().items()}
        found.append((state, random.get_state()["draws"]))
    assert found[0] == found[1]


def test_parts_that_were_frozen_stay_so():
    t = batch_norm_trainer()
    t.model[1].eval()
    before = t.model[1].running_mean.tolist()
    t.fit(BATCHES, epochs=2, validation_data=BATCHES, verbose=False)
    assert t.model[1].running_mean.tolist() == before
    assert t.model.training and not t.model[1].training


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((X, LABELS), r"a tuple of 2 arrays, needs batches of .*DataLoader\(TensorDataset\(X, y\)"),
        ([X, LABELS], "a list of 2 arrays"),
        (X, r"a tensor \[12, 4\], needs batches"),
        (X.numpy(), r"an array \[12, 4\], needs batches"),
        (7, "a int, needs batches"),
        ([], "no batches, needs at least one"),
        ([(X, LABELS, X)], r"a batch of 3 parts, needs \(inputs, targets\)"),
        ([{"x": X}], "a batch dict"),
        ([(X.numpy(), LABELS.numpy())], r"a batch of NumPy arrays, needs tensors.*cr\.tensor"),
        (iter(BATCHES), "It can be passed once only, from its beginning"),
    ],
)
def test_data_that_can_not_be_trained_on(data, says):
    with pytest.raises(UsageError, match=says):
        trainer().fit(data, epochs=2, verbose=False)


def test_a_generator_does_for_one_epoch_and_a_used_up_one_not():
    batches = iter(BATCHES)
    trainer().fit(batches, verbose=False)
    with pytest.raises(UsageError, match="no batches"):
        trainer().fit(batches, verbose=False)
    with pytest.raises(UsageError, match="no batches"):
        trainer().evaluate(batches)
    with pytest.raises(UsageError, match="no batches"):
        trainer().predict(batches)


def test_schedules_of_every_kind():
    for every, steps in (("epoch", 3), ("batch", 6)):
        t = trainer(schedule_every=every)
        t.schedule = optim.lr_scheduler.StepLR(t.optimizer, 1, gamma=0.5)
        t.fit(BATCHES, epochs=3, verbose=False)
        assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 2**steps)
    t = trainer(schedule_every="batch")
    t.schedule = optim.lr_scheduler.OneCycleLR(t.optimizer, max_lr=0.3, total_steps=6)
    t.callbacks = [rates := LearningRateMonitor()]
    t.fit(BATCHES, epochs=3, verbose=False)
    assert rates._rates[0] < 0.01
    t = trainer(lr=1e-9)
    t.schedule = optim.lr_scheduler.ReduceLROnPlateau(t.optimizer, patience=1, factor=0.1, eps=0)
    t.fit(BATCHES, epochs=5, validation_data=BATCHES, verbose=False)
    assert t.optimizer.param_groups[0]["lr"] < 1e-9
    with pytest.raises(UsageError, match="schedule_every='step', needs epoch or batch"):
        trainer(schedule_every="step")


def test_gradients_are_clipped_between_backward_and_update():
    seen = []

    def clip(parameters):
        norm = nn.utils.clip_grad_norm_(parameters, 1e-3)
        seen.append(float(norm))

    t = trainer(lr=1.0, clip=clip)
    before = np.concatenate([p.numpy().ravel() for p in t.model.parameters()])
    t.fit(BATCHES[:1], verbose=False)
    after = np.concatenate([p.numpy().ravel() for p in t.model.parameters()])
    assert len(seen) == 1 and np.linalg.norm(after - before) == pytest.approx(1e-3, rel=1e-3)


def test_a_line_per_epoch_where_there_is_no_terminal(capsys):
    trainer().fit(BATCHES, epochs=2, validation_data=BATCHES)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ") and " validation " in lines[0]
    trainer(lr=1e-9).fit(BATCHES, epochs=200)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[0].startswith("epoch  20/200")
    assert lines[-1].startswith("notice: the loss never fell")
    trainer().fit(BATCHES, epochs=2, verbose=False)
    assert capsys.readouterr().out == ""


def test_a_live_bar_on_a_terminal(monkeypatch):
    """A pseudo-terminal's output has the bar; the last word is the epoch's line."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    program = (
        "import chainrule as cr; from chainrule import nn, optim\n"
        "x = cr.ones(4, 1); net = nn.Linear(1, 1)\n"
        "t = cr.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=0.1))\n"
        "t.fit([(x, x)] * 3, epochs=2)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"NO_COLOR": "1", "TERM": "xterm", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        process.wait()
    os.close(theirs)
    output = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "━" in output and "epoch 2/2  loss " in output
    assert "\x1b[3" not in output  # no colour


def living():
    """How many nodes there are, and the bytes of their values."""
    nodes = [thing for thing in gc.get_objects() if type(thing) is Recorded]
    return len(nodes), sum(node.value.nbytes for node in nodes if node.value is not None)


def test_memory_does_not_grow():
    """Three hundred steps, with the garbage collector off."""
    t = batch_norm_trainer(callbacks=[EarlyStopping("loss", patience=10**6, restore_best=True)])
    data = DataLoader(TensorDataset(X.numpy(), LABELS.numpy()), 4, shuffle=True)
    t.fit(data, epochs=20, validation_data=data, verbose=False)
    gc.collect()
    gc.disable()
    try:
        before = living()
        t.fit(data, epochs=100, verbose=False)
        nodes, size = living()
    finally:
        gc.enable()
    assert nodes <= before[0] + 15 and size <= before[1] + 3_000
