"""What a training records: the same bits as without, and the steps that were asked for."""

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.errors import UsageError
from chainrule.train import Recording, Trainer
from chainrule.train import records as records_module
from chainrule.train.callbacks import Callback
from chainrule.train.record import BYTES, KEPT, Schedule, Wanted
from chainrule.train.records import Records

X = np.random.default_rng(0).normal(size=(40, 2, 4, 4)).astype(np.float32)
Y = (X[:, 0, 0, 0] > 0).astype(np.int64)


def network():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(12, 2),
    )


def trained(record, epochs=3, callbacks=(), validation=True, resume_from=None):
    cr.manual_seed(1)
    net = network()
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    trainer = Trainer(
        net, nn.CrossEntropyLoss(), optimizer, record=record, callbacks=callbacks, metrics=[]
    )
    loader = DataLoader(TensorDataset(X, Y), 16, shuffle=True)
    held_out = DataLoader(TensorDataset(X[:20], Y[:20]), 20) if validation else None
    trainer.fit(
        loader, epochs=epochs, validation_data=held_out, verbose=False, resume_from=resume_from
    )
    return trainer


def bits(trainer):
    state = [value.numpy().tobytes() for value in trainer.model.state_dict().values()]
    return state, trainer.history.losses if hasattr(trainer.history, "losses") else None


def inputs_of(tape):
    (node,) = (n for n in tape.graph if n.op.name == "data" and len(n.shape) == 4)
    return tape.entry(node).value.tolist()


@pytest.mark.parametrize("record", [True, "all", "steps=1,4-5", "nodes=0,5"])
def test_the_bits_of_the_training_stay(record, tmp_path):
    plain = trained(False)
    recorded = trained(Recording(tmp_path, record))
    assert bits(recorded) == bits(plain)
    assert recorded.history.epochs[-1]["val_loss"] == plain.history.epochs[-1]["val_loss"]


def test_the_step_that_was_trained(tmp_path):
    class Look(Callback):
        def on_step_begin(self, trainer):
            self.before = {n: p.tolist() for n, p in trainer.model.named_parameters()}

        def on_batch_end(self, trainer, batch, batches):
            step = trainer.place.step - 1
            after = {n: p.tolist() for n, p in trainer.model.named_parameters()}
            seen.append((step, self.before, after, trainer.last_loss))

    seen = []
    trained(Recording(tmp_path, "all"), callbacks=[Look()])
    records = Records(tmp_path / "record")
    assert records.steps() == list(range(9))
    rows = records.statistics()
    assert rows.steps.tolist() == list(range(9))
    for step, before, after, loss in seen:
        kept, tape = records.read(step), records.tape(step)
        assert kept["loss"] == loss == rows.losses[step]
        assert {name: value.tolist() for name, value in kept["after"].items()} == after
        for name, value in before.items():
            assert tape[name].value.tolist() == value
            assert tape[name].bar.shape == tape[name].value.shape
            gradient = rows.values[step, rows.names.index((name, "gradient"))]
            wanted = np.sqrt(np.mean(np.square(tape[name].bar.numpy().astype(float))))
            assert gradient == pytest.approx(wanted, rel=1e-5, abs=1e-8)
            change = rows.values[step, rows.names.index((name, "change"))]
            moved = np.asarray(after[name]) - np.asarray(value)
            assert change == pytest.approx(np.sqrt(np.mean(moved**2)), rel=1e-3)
        count = 16 if step % 3 < 2 else 8
        assert (kept["batch"], kept["rows"], len(kept["samples"])) == (count, 4, 4)
        assert tape["0"].value.shape == (4, 3, 2, 2)
        assert inputs_of(tape) == X[kept["samples"]].tolist()
        parts = kept["optimizer"]["parameters"]["0.weight"]
        assert parts["options"]["lr"] == 0.01
        assert ("exp_avg" in parts["state"]) == (step > 0)


def test_the_probe_is_the_same_samples_all_the_time(tmp_path):
    trained(Recording(tmp_path))
    records = Records(tmp_path / "record")
    assert records.steps("probe") == [*records.steps(), 9]
    tapes = [records.tape(step, "probe") for step in records.steps("probe")]
    for tape in tapes:
        assert inputs_of(tape) == X[:16].tolist()
        assert not any(node.op.name == "random_bits" for node in tape.graph)  # no dropout
        assert tape["0"].bar.shape == (16, 3, 2, 2)
    assert tapes[0]["5.weight"].value.tolist() != tapes[-1]["5.weight"].value.tolist()


def test_without_validation_data_the_probe_is_of_the_training_s(tmp_path):
    trainer = trained(Recording(tmp_path), validation=False)
    tape = Records(tmp_path / "record").tape(0, "probe")
    assert inputs_of(tape) == X[:16].tolist()
    assert bits(trainer) == bits(trained(False, validation=False))


def test_chosen_nodes_alone(tmp_path):
    trained(Recording(tmp_path, "nodes=0,0.*"))
    tape = Records(tmp_path / "record").tape(2)
    assert tape["0"].bar.shape == (4, 3, 2, 2)
    with pytest.raises(cr.GradientError, match="not kept"):
        _ = tape.entry(tape._entry(tape._step, "5").node).value


def test_a_training_that_goes_on_records_on(tmp_path):
    from chainrule.train import ModelCheckpoint

    class Stop(Callback):
        def on_batch_end(self, trainer, batch, batches):
            if trainer.place.step == 5:
                raise KeyboardInterrupt

    whole = trained(Recording(tmp_path / "whole", "all"))
    keep = ModelCheckpoint(tmp_path / "last.safetensors", every=4)
    with pytest.raises(KeyboardInterrupt):
        trained(Recording(tmp_path / "cut", "all"), callbacks=[keep, Stop()])
    cut = Records(tmp_path / "cut" / "record")
    assert cut.steps()[:4] == [0, 1, 2, 3]
    resumed = trained(Recording(tmp_path / "cut", "all"), resume_from=tmp_path / "last.safetensors")
    assert bits(resumed) == bits(whole)
    assert cut.steps() == list(range(9)) == cut.statistics().steps.tolist()
    for step in range(9):
        ours, theirs = cut.read(step), Records(tmp_path / "whole" / "record").read(step)
        for key in ("values", "bars", "addends", "after", "optimizer", "samples", "loss", "epoch"):
            assert str(ours[key]) == str(theirs[key]), key


def test_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(True)
    run = cr.open_run("last")
    assert run.folder.name == "sequential-001" and {0, 1, 2, 4, 8} <= set(run.records.steps())
    assert len(run.figures()) == 3 and run.config["optimizer"] == "Adam"


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    wrote = itertools.count()

    def full(path, *args, **kwargs):
        if next(wrote) == 3:
            raise OSError(28, "No space left on device")
        return written(path, *args, **kwargs)

    written = records_module.write_atomically
    monkeypatch.setattr(records_module, "write_atomically", full)
    monkeypatch.setattr(records_module, "BEHIND", 1)
    with pytest.warns(UserWarning, match=r"recording has ended.*No space left"):
        trainer = trained(Recording(tmp_path, "all"))
    monkeypatch.undo()
    assert bits(trainer) == bits(trained(False))
    assert Records(tmp_path / "record").steps() in ([0], [0, 1])


def test_what_can_be_wanted():
    assert Wanted.of(True) == Wanted.of("auto") == Wanted()
    assert Wanted.of(False) is Wanted.of("none") is None
    assert Wanted.of("all").every
    for wrong in ("everything", "steps=", "steps=a", "steps=1-", "nodes", "steps=1 steps=2", ""):
        with pytest.raises(UsageError, match="needs all, none, steps="):
            Wanted.of(wrong)
    with pytest.raises(UsageError, match="needs something to keep"):
        Recording("x", False)
    with pytest.raises(UsageError, match="needs all, none, steps="):
        trained("sometimes")


@pytest.mark.parametrize("total", [None, 1, 7, 150, 199, 5_000, 123_456])
@pytest.mark.parametrize("size", [1_000, 3 << 20, 100 << 20])
def test_at_most_so_many_steps_and_bytes(total, size, monkeypatch):
    monkeypatch.setattr("chainrule.train.record.SHARE", float("inf"))
    schedule, kept = Schedule(Wanted(), total), {}
    for step in range(total or 3_000):
        if schedule.wants(step):
            kept[step] = size
            for old in schedule.thinned(kept):
                kept.pop(old, None)
            assert len(kept) <= KEPT and (sum(kept.values()) <= BYTES or len(kept) <= 2)
    assert 0 in kept and (total is None or total - 1 in kept)
    if size == 1_000 and (total or 3_000) > 10:
        assert {1, 2, 4, 8} <= kept.keys() and len(kept) >= min(total or 3_000, 80)
        late = [step for step in sorted(kept) if step >= 2 * schedule.stride]
        gaps = np.diff(late[:-1])
        assert len(set(gaps.tolist())) <= 1  # evenly


def test_kept_steps_take_their_share_of_the_time_at_most(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    schedule, kept = Schedule(Wanted(), 100_000), 0
    for step in range(100_000):
        now += 0.001
        if schedule.wants(step):
            kept, now = kept + 1, now + 0.05
            schedule.took(0.05)
    assert 75 <= kept <= 95  # of 188 that would be even


def test_a_short_training_is_seen_from_its_beginning_to_its_end(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    schedule, kept = Schedule(Wanted(), 1_000), []
    for step in range(1_000):
        now += 0.001
        if schedule.wants(step):
            cost = 0.005 if kept else 1.0  # the first loads and compiles for all
            now += cost
            schedule.took(cost)
            kept.append(step)
    assert 55 <= len(kept) <= 75  # 0.3 s, in one
    assert np.diff(kept).max() <= 100  # and no long gap


def test_what_the_optimizer_followed_is_kept_if_it_was_clipped(tmp_path):
    cr.manual_seed(1)
    net = network()
    trainer = Trainer(
        net,
        nn.CrossEntropyLoss(),
        optim.SGD(net.parameters(), lr=0.5),
        record=Recording(tmp_path, "steps=1"),
        clip=lambda p: nn.utils.clip_grad_value_(p, 1e-3),
    )
    trainer.fit(DataLoader(TensorDataset(X, Y), 16), verbose=False)
    kept, tape = Records(tmp_path / "record").read(1), Records(tmp_path / "record").tape(1)
    assert set(kept["clipped"]) == {name for name, _ in net.named_parameters()}
    for name, gradient in kept["clipped"].items():
        bar = tape[name].bar.numpy()
        np.testing.assert_array_equal(np.asarray(gradient), bar.clip(-1e-3, 1e-3))
    assert abs(tape["5.weight"].bar.numpy()).max() > 1e-3
    plain = Trainer(net, nn.CrossEntropyLoss(), trainer.optimizer, record=Recording(tmp_path / "b"))
    plain.fit(DataLoader(TensorDataset(X, Y), 16), verbose=False)
    assert Records(tmp_path / "b" / "record").read(0)["clipped"] == {}
