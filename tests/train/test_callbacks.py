import csv
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim, random
from chainrule.errors import CheckpointError, DataError, UsageError
from chainrule.train import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    TensorBoard,
    Trainer,
    accuracy,
    load_checkpoint,
)

X = cr.tensor(np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
LABELS = (X[:, 0] > 0).to(cr.int64)
BATCHES = [(X[:8], LABELS[:8]), (X[8:], LABELS[8:])]


class Says(Callback):
    """Replaces a figure by planned ones, before other callbacks see it."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def on_epoch_end(self, trainer, epoch, logs):
        logs[self.name] = self.values[epoch - 1]


def trainer(*callbacks, lr=0.1, **more):
    random.manual_seed(0)
    net = nn.Linear(4, 2)
    optimizer = optim.Adam(net.parameters(), lr=lr)
    return Trainer(
        net, nn.CrossEntropyLoss(), optimizer, metrics=[accuracy], callbacks=callbacks, **more
    )


def weights(net):
    return [p.tolist() for p in net.parameters()]


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([5, 4, 4, 4, 4, 4], {"patience": 2}, 4),
        ([5, 4, 3.9, 3.8, 3.7, 3.6], {"patience": 2, "min_delta": 0.5}, 4),
        ([1, 2, 3, 3, 3, 3], {"patience": 2, "mode": "max"}, 5),
        ([5, float("nan"), float("nan"), 4, 3, 2], {"patience": 2}, 3),
    ],
)
def test_early_stopping_waits_for_something_better(values, options, epochs):
    t = trainer(Says("figure", values), EarlyStopping("figure", **options))
    assert len(t.fit(BATCHES, epochs=6, verbose=False)) == epochs


def test_early_stopping_returns_to_the_best_weights():
    kept = []

    class Keeps(Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            kept.append(weights(trainer.model))

    stop = EarlyStopping("val_loss", patience=2, restore_best=True)
    t = trainer(Keeps(), Says("val_loss", [3, 1, 2, 2]), stop)
    t.fit(BATCHES, epochs=4, verbose=False)
    assert len(kept) == 4 and weights(t.model) == kept[1] and stop.best_epoch == 2


def test_a_second_fit_is_compared_with_itself_alone():
    t = trainer(Says("val_loss", [1, 2, 3]), EarlyStopping(patience=2))
    assert len(t.fit(BATCHES, epochs=3, verbose=False)) == 3
    assert len(t.fit(BATCHES, epochs=3, verbose=False)) == 3


def test_a_checkpoint_for_each_epoch_and_the_best_alone(tmp_path):
    each = ModelCheckpoint(tmp_path / "{epoch:02}-{val_loss:.1f}")
    best = ModelCheckpoint(tmp_path / "best", save_best_only=True)
    t = trainer(Says("val_loss", [3, 1, 2]), each, best)
    t.fit(BATCHES, epochs=3, verbose=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["01-3.0", "02-1.0", "03-2.0", "best"]
    assert load_checkpoint(tmp_path / "best", t.model)["epoch"] == 2
    with pytest.raises(UsageError, match=r"needs \{epoch\} or one of loss"):
        trainer(ModelCheckpoint(tmp_path / "{epok}")).fit(BATCHES, verbose=False)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_fit_goes_on_from_any_checkpoint_to_the_same_bits(tmp_path, every):
    def made(*callbacks):
        t = trainer(EarlyStopping("loss", patience=9), LearningRateMonitor(), *callbacks)
        t.schedule = optim.lr_scheduler.ExponentialLR(t.optimizer, gamma=0.5)
        return t

    whole = made()
    wanted = whole.fit(BATCHES, epochs=4, verbose=False)

    class Fails(Callback):
        def on_step_begin(self, trainer):
            if trainer.place.step == 6:
                raise InterruptedError

    t = made(ModelCheckpoint(tmp_path / "c", every=every), Fails())
    with pytest.raises(InterruptedError):
        t.fit(BATCHES, epochs=4, verbose=False)
    random.manual_seed(99)
    again = made()
    history = again.fit(BATCHES, epochs=4, resume_from=tmp_path / "c", verbose=False)
    assert weights(again.model) == weights(whole.model)
    for name in ("loss", "accuracy", "lr"):
        assert history[name] == wanted[name]
    assert again.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


def test_a_checkpoint_that_does_not_say_where_its_training_stood(tmp_path):
    t = trainer()
    cr.train.save_checkpoint(tmp_path / "c", t.model, t.optimizer)
    with pytest.raises(CheckpointError, match="does not say where its training stood"):
        t.fit(BATCHES, resume_from=tmp_path / "c", verbose=False)


def test_a_table_with_a_row_per_epoch(tmp_path):
    trainer(CSVLogger(tmp_path / "t.csv")).fit(BATCHES, epochs=2, verbose=False)
    rows = rows_of(tmp_path / "t.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    with pytest.raises(UsageError, match="which exists"):
        trainer(CSVLogger(tmp_path / "t.csv")).fit(BATCHES, verbose=False)
    trainer(CSVLogger(tmp_path / "t.csv", append=True)).fit(BATCHES, verbose=False)
    assert len(rows_of(tmp_path / "t.csv")) == 3
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="a table that CSVLogger wrote"):
        trainer(CSVLogger(tmp_path / "other.csv", append=True)).fit(BATCHES, verbose=False)


def test_the_table_of_a_resumed_training_has_each_epoch_once(tmp_path):
    def made():
        return trainer(CSVLogger(tmp_path / "t.csv"), ModelCheckpoint(tmp_path / "{epoch}"))

    made().fit(BATCHES, epochs=3, verbose=False)
    made().fit(BATCHES, epochs=4, resume_from=tmp_path / "2", verbose=False)
    rows = rows_of(tmp_path / "t.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]


def test_the_learning_rate_among_the_figures():
    t = trainer(LearningRateMonitor())
    t.schedule = optim.lr_scheduler.ExponentialLR(t.optimizer, gamma=0.5)
    assert t.fit(BATCHES, epochs=3, verbose=False)["lr"] == [0.1, 0.05, 0.025]


def test_tensorboard_files(tmp_path):
    reason = "the extra chainrule[tensorboard] is not installed"
    pytest.importorskip("tensorboardX", reason=reason)
    trainer(TensorBoard(tmp_path / "tb")).fit(
        BATCHES, epochs=2, validation_data=BATCHES, verbose=False
    )
    (file,) = (tmp_path / "tb").iterdir()
    content = file.read_bytes()
    assert b"loss/training" in content and b"loss/validation" in content


def test_tensorboard_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageError, match=r"pip install chainrule\[tensorboard\]"):
        TensorBoard()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EarlyStopping(patience=0), "patience = 0"),
        (lambda: EarlyStopping(mode="most"), "mode = 'most'"),
        (lambda: ModelCheckpoint("c", every=0), "every = 0"),
    ],
)
def test_arguments_that_make_no_sense(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_a_monitor_that_is_not_there_names_what_is():
    with pytest.raises(
        UsageError, match=r"'val_loss', needs one of loss.*Give fit validation_data="
    ):
        trainer(EarlyStopping()).fit(BATCHES, verbose=False)
    with pytest.raises(UsageError, match=r"'val_los', needs one of .*\. Did you mean val_loss\?"):
        trainer(EarlyStopping("val_los")).fit(BATCHES, validation_data=BATCHES, verbose=False)
