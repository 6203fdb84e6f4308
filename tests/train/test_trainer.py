import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim, random
from chainrule.errors import ChainruleError, UsageError
from chainrule.train import EarlyStopping, ModelCheckpoint, Trainer, accuracy, load_checkpoint

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
