"""record(): what the tape keeps, how long, and that it changes nothing."""

import contextlib
import gc

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.storage import recorder


def weights():
    rng = np.random.default_rng(3)
    w = cr.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    v = cr.tensor(rng.normal(size=(3,)), requires_grad=True)
    w.name, v.name = "w", "v"
    return w, v, cr.tensor(rng.normal(size=(5, 4)))


def train(steps, record=None):
    """A few steps of gradient descent written by hand, as they are or recorded."""
    w, v, x = weights()

    def run():
        for _ in range(steps):
            h = (x @ w).tanh()
            h.name = "h"
            loss = ((h @ v) ** 2).mean()
            loss.name = "loss"
            loss.backward()
            with cr.no_grad():
                for p in (w, v):
                    p -= 0.1 * p.grad
                    p.grad = None

    if record is None:
        run()
        return w, v, None
    with cr.record(**record) as tape:
        run()
    return w, v, tape


@pytest.mark.parametrize("record", [{}, {"nodes": ["h"]}, {"steps": [1]}])
def test_recording_does_not_change_a_bit(record):
    plain = train(4)
    seen = train(4, record)
    for a, b in zip(plain[:2], seen[:2], strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_values_and_error_signals_are_those_of_the_step():
    w, v, x = weights()
    with cr.record() as tape:
        h = (x @ w).tanh()
        h.name = "h"
        loss = ((h @ v) ** 2).sum()
        loss.backward()
        assert h.bar.tolist() == tape["h"].bar.tolist()
    expected = 2 * (h.numpy() @ v.numpy())[:, None] * v.numpy()
    np.testing.assert_allclose(tape["h"].bar.numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(tape["h"].value.numpy(), h.numpy())
    np.testing.assert_allclose(h.numpy(), np.tanh(x.numpy() @ w.numpy()), rtol=4e-16)
    np.testing.assert_array_equal(tape["w"].bar.numpy(), w.grad.numpy())
    np.testing.assert_array_equal(tape["h"].sample(2).bar.numpy(), tape["h"].bar.numpy()[2])
    assert tape["h"].step == 0
    assert not tape["h"].value.requires_grad


def test_an_unnamed_value_has_a_bar_inside_the_block():
    x = cr.tensor(2.0, requires_grad=True)
    with cr.record():
        y = x * 3
        (y**2).backward()
        assert y.bar.item() == 12


def test_addends_one_per_reader_sum_to_the_error_signal():
    x = cr.tensor(0.5, dtype=cr.float64, requires_grad=True)
    with cr.record() as tape:
        h = x.tanh()
        h.name = "h"
        (h * 3 + h.exp() + h**2).backward()
    entry = tape["h"]
    assert len(entry.addends) == 3
    assert sum(addend.item() for addend in entry.addends) == pytest.approx(entry.bar.item(), 1e-15)


def test_recording_computes_nothing_and_the_end_computes_once():
    x = cr.tensor(0.5, requires_grad=True)
    before = cr.stats()
    with cr.record() as tape:
        y = x.exp()
        y.name = "y"
        (y * y).backward()
        assert cr.stats().executed == before.executed
    after = cr.stats()
    assert after.executed > before.executed
    tape["y"].value.item(), tape["y"].bar.item(), x.grad.item()
    assert cr.stats().executed == after.executed
    assert cr.stats().repeated == before.repeated


def test_the_second_call_is_behind_an_index():
    x = cr.tensor([1.0, -2.0], requires_grad=True)
    with cr.record() as tape:
        a = x.relu()
        tape.saw_call("relu", a)
        b = (a - 3).relu()
        tape.saw_call("relu", b)
    assert tape["relu"].value.tolist() == [1, 0]
    assert tape["relu"][1].value.tolist() == [0, 0]
    assert len(tape["relu"]) == 2
    with pytest.raises(cr.IndexRangeError, match="call 2, needs one of its 2 calls"):
        tape["relu"][2]


def test_two_roots_have_their_name_in_front():
    x = cr.tensor([1.0], requires_grad=True)
    rec = recorder()
    with cr.record() as tape:
        for root in ("D", "G"):
            rec.depth = 2
            tape.saw_call("conv1", x * (1 if root == "D" else 2))
            rec.depth = 1
            tape.saw_call(root, x * 5)
            rec.depth = 0
    assert tape["D/conv1"].value.item() == 1
    assert tape["G/conv1"].value.item() == 2
    assert tape["D"].value.item() == 5
    assert "conv1" not in tape


def test_the_latest_step_is_kept_and_steps_asked_for():
    _, _, tape = train(4, {"steps": [1]})
    assert tape.step == 3
    assert tape["h"].step == 3
    assert tape.at(1)["h"].step == 1
    assert tape.at(1)["loss"].value.item() > tape["loss"].value.item()
    with pytest.raises(cr.IndexRangeError, match=r"step 2, needs one of 1, 3"):
        tape.at(2)


def test_a_step_ends_where_the_optimizer_says_so_and_metrics_do_not_begin_another():
    w = cr.tensor(1.0, requires_grad=True)
    with cr.record() as tape:
        for _ in range(3):
            y = w * 2
            y.name = "y"
            y.backward()
            tape.saw_step()
            (y.detach() > 1).to(cr.float32)
    assert tape.step == 2
    assert tape["y"].bar.item() == 1


def test_memory_is_flat_over_a_thousand_steps():
    w = cr.tensor(np.ones(100), requires_grad=True)

    def living():
        gc.collect()
        kind = type(w._node)
        return sum(type(thing) is kind for thing in gc.get_objects())

    counts = []
    with cr.record() as tape:
        for step in range(1000):
            h = w * 0.5
            h.name = "h"
            h.sum().backward()
            with cr.no_grad():
                w -= 0.001 * w.grad
            w.grad = None
            if step in (50, 999):
                cr.synchronize()
                counts.append(living())
    assert tape.step == 999
    assert counts[1] <= counts[0] + 5


def test_patterns_keep_only_what_they_name():
    _, _, tape = train(2, {"nodes": ["h*"]})
    assert tape.names() == list(tape) == ["h"]
    assert tape["h"].bar.shape == (5, 3)
    with pytest.raises(cr.GradientError, match="a value that was not kept"):
        tape["loss"].value  # noqa: B018


def test_a_wrong_name_gives_the_nearest():
    _, _, tape = train(1, {})
    with pytest.raises(
        cr.NameNotFoundError, match=r"got 'los', needs a recorded name\. Nearest: loss"
    ):
        tape["los"]


def test_no_backward_says_so():
    x = cr.tensor(1.0, requires_grad=True)
    with cr.record() as tape:
        y = x * 2
        y.name = "y"
    with pytest.raises(cr.GradientError, match=r"\[y\] got no error signal.*No backward"):
        tape["y"].bar  # noqa: B018


def test_the_graph_is_that_of_the_step():
    _, _, tape = train(2, {})
    graph = tape.graph.verify()
    assert "loss" in graph.outputs
    assert [node.op.name for node in graph].count("tanh") == 1
    tanh = next(node for node in graph if node.op.name == "tanh")
    assert tape.entry(tanh).value.tolist() == tape["h"].value.tolist()
    assert tape.entry(tanh).bar.tolist() == tape["h"].bar.tolist()


def test_an_error_in_the_block_ends_the_recording():
    with pytest.raises(ZeroDivisionError), cr.record():
        1 / 0  # noqa: B018
    assert recorder().taps == []


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(18, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(x - 0.1).flatten(1))


def run_net(record, looks=False):
    cr.manual_seed(0)
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, t = cr.randn(2, 1, 8, 8), cr.tensor([1, 3])
    with cr.record() if record else contextlib.nullcontext() as tape:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x), t).backward()
            optimizer.step()
            if looks:
                (model(x).argmax(1) == t).float().mean()
    return model, tape


def test_a_network_is_recorded_by_the_names_of_its_modules():
    plain, _ = run_net(False)
    model, tape = run_net(True)
    for a, b in zip(plain.parameters(), model.parameters(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    assert tape.step == 2
    assert tape["conv1"].value.shape == tape["conv1"].bar.shape == (2, 2, 6, 6)
    assert len(tape["relu"]) == 2
    assert tape["relu"][1].bar.shape == (2, 2, 3, 3)
    assert tape["fc.weight"].bar.tolist() == model.fc.weight.grad.tolist()
    assert tape["cross_entropy"].bar.item() == 1


def test_a_look_at_the_accuracy_is_no_step_of_its_own():
    _, tape = run_net(True)
    _, looked = run_net(True, looks=True)
    assert looked.step == 2
    for name in ("conv1", "fc.weight"):
        assert looked[name].bar.tolist() == tape[name].bar.tolist()
    assert looked["relu"][1].bar.tolist() == tape["relu"][1].bar.tolist()


def test_an_evaluation_loop_is_flat_too():
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU()), cr.randn(3, 4)
    with cr.record() as tape, cr.no_grad():
        for _ in range(5):
            y = model(x)
            y.numpy()
    assert tape.step == 4
    assert len(tape["1"]) == 1
    assert tape["1"].value.tolist() == y.tolist()


def test_told_of_each_step_with_a_backward():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    optimizer, seen = cr.optim.SGD([w], lr=0.5), []

    def look(tape):
        seen.append((tape.step, tape["w"].value.tolist(), tape["w"].bar.tolist(), w.tolist()))

    w.name = "w"
    with cr.record(on_step=look):
        for _ in range(3):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
            with cr.no_grad():
                (w * 2).sum().item()  # a look at the accuracy is no step
    assert [step for step, *_ in seen] == [0, 1, 2]
    assert seen[0][1:] == ([1, 2], [2, 4], [0, 0]) and seen[1][1:] == ([0, 0], [0, 0], [0, 0])


def test_told_of_steps_that_are_written_by_hand():
    w, seen = cr.tensor([1.0, 2.0], requires_grad=True), []
    with cr.record(on_step=lambda tape: seen.append(tape.entry(tape.graph.leaves[0]).bar.tolist())):
        for _ in range(3):
            w.grad = None
            (w * w).sum().backward()
            with cr.no_grad():
                w -= 0.25 * w.grad
    assert seen == [[2, 4], [1, 2], [0.5, 1]]


def test_not_told_of_what_was_broken_off():
    w, seen = cr.tensor([1.0], requires_grad=True), []
    with contextlib.suppress(ZeroDivisionError), cr.record(on_step=seen.append):
        (w * w).sum().backward()
        _ = 1 / 0
    assert seen == []
