"""The guarantees of storage/: looks are free, nothing twice, failures leave no traces."""

import gc
import sys
import threading
import weakref
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.ops import elementwise, movement
from chainrule.run import reference
from chainrule.storage import FAILED, PENDING, Program, Recorder, recorder


def repeated():
    return cr.stats().repeated


def bits(x):
    return x.numpy().tobytes()


# ---------------------------------------------------------------- looks are free

LOOKS = [lambda x: x.sum().item(), repr, lambda x: x.numpy(), lambda x: x.tolist(), bool]
LOOKS[-1] = lambda x: bool((x > 0).any())
WRITES = [
    lambda x: x.mul_(0.7),
    lambda x: x[..., :1].fill_(0.5),
    lambda x: x.t().add_(1),
    lambda x: x.copy_(x.flip(0) * 0.5),
]
OPS = [
    lambda x, y: x * y,
    lambda x, y: x @ y.t() @ y,
    lambda x, y: x.tanh() + y,
    lambda x, y: x - y.mean(),
    lambda x, y: x[:1] + y,
    lambda x, y: x.detach() * y,
]
STEP = st.tuples(
    st.sampled_from(["op", "op", "write", "quiet", "backward", "step", "drop"]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 40),
)


def run(steps, seed, looks=()):
    """A random program; after step i all of ``looks`` with number i are cast."""
    rng = np.random.default_rng(seed)
    w = cr.tensor(rng.normal(size=(3, 4)).astype(np.float32), requires_grad=True)
    xs = [w * 1, cr.tensor(rng.normal(size=(3, 4)).astype(np.float32))]
    results = []
    for number, (kind, a, b, c) in enumerate(steps):
        x, y = xs[a % len(xs)], xs[b % len(xs)]
        if kind == "op":
            xs.append(OPS[c % len(OPS)](x, y))
        elif kind == "write":
            WRITES[c % len(WRITES)](x)
        elif kind == "quiet":
            with cr.no_grad():
                WRITES[c % len(WRITES)](x)
        elif kind == "drop":
            xs = [xs[0], *xs[2:], y]
        elif kind == "backward" and x.requires_grad:
            (x * x).sum().backward(retain_graph=True)
        elif kind == "step" and w.grad is not None:
            with cr.no_grad():
                w -= 0.01 * w.grad
            w.grad = None
            xs = [w * 1, *(v.detach() for v in xs[1:])]
        for when, who, how in looks:
            if when % len(steps) == number:
                LOOKS[how % len(LOOKS)](([w, *xs])[who % (len(xs) + 1)])
    results = [bits(x) for x in (w, *xs)]
    return [*results, None if w.grad is None else bits(w.grad)]


@settings(max_examples=150)
@given(
    st.lists(STEP, min_size=2, max_size=12),
    st.lists(st.tuples(*[st.integers(0, 60)] * 3), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_where_somebody_looks_never_changes_a_bit(steps, looks, seed):
    before = repeated()
    assert run(steps, seed) == run(steps, seed, looks)
    assert repeated() == before


# ---------------------------------------------------------------- nothing twice


def test_recording_computes_nothing():
    x = cr.ones(3)
    before = cr.stats().executed
    for _ in range(1000):
        x = x * 1.5 + 1
    assert cr.stats().executed == before
    x.numpy()
    assert cr.stats().executed == before + 2000


def test_each_node_that_is_needed_is_computed_once():
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    before = cr.stats()
    h = (w * w).exp()
    unused = h * 3
    del unused
    loss = h.sum()
    loss.backward()
    w.grad.numpy()
    loss.item()
    after = cr.stats()
    assert after.repeated == before.repeated
    assert after.executed - before.executed < after.recorded - before.recorded


def data(rng=None):
    rng = np.random.default_rng(0)
    x = cr.tensor(rng.normal(size=(8, 3)).astype(np.float32))
    y = cr.tensor(rng.normal(size=(8, 1)).astype(np.float32))
    w = cr.tensor(rng.normal(size=(3, 4)).astype(np.float32), requires_grad=True)
    v = cr.tensor(rng.normal(size=(4, 1)).astype(np.float32), requires_grad=True)
    return x, y, [w, v]


def network(x, parameters):
    w, v = parameters
    return (x @ w).tanh() @ v


def update(parameters, rate=0.1):
    with cr.no_grad():
        for p in parameters:
            p -= rate * p.grad
            p.grad = None


def item_before_backward():
    x, y, ps = data()
    for _ in range(6):
        loss = ((network(x, ps) - y) ** 2).mean()
        loss.item()
        loss.backward()
        update(ps)


def item_after_the_step():
    x, y, ps = data()
    for _ in range(6):
        loss = ((network(x, ps) - y) ** 2).mean()
        loss.backward()
        update(ps)
        loss.item()


def two_networks_against_each_other():
    x, _, generator = data()
    _, _, critic = data()
    for _ in range(5):
        fake = network(x, generator)
        loss = (network(fake.expand(8, 3), critic) ** 2).mean() + network(x, critic).mean()
        loss.backward()
        for p in generator:
            p.grad = None
        update(critic)
        fake = network(x, generator)
        loss = -network(fake.expand(8, 3), critic).mean()
        loss.backward()
        update(generator)
        for p in critic:
            p.grad = None
        loss.item()


def two_losses_on_one_trunk():
    x, y, (w, v) = data()
    for _ in range(5):
        trunk = (x @ w).tanh()
        first = ((trunk @ v - y) ** 2).mean()
        second = trunk.abs().sum()
        first.backward(retain_graph=True)
        first.item()
        second.backward()
        update([w, v])
        second.item()


def eightfold_accumulation():
    x, y, ps = data()
    for _ in range(3):
        for part in range(8):
            loss = ((network(x[part : part + 1], ps) - y[part]) ** 2).mean() / 8
            loss.backward()
            loss.item()
        update(ps)


def manual_sgd():
    x, y, ps = data()
    for _ in range(6):
        ((network(x, ps) - y) ** 2).mean().backward()
        with cr.no_grad():
            for p in ps:
                p -= 0.1 * p.grad
                p.grad.zero_()
    print(ps[0])


def evaluation_inside_training():
    x, y, ps = data()
    correct = cr.zeros(())
    for _ in range(5):
        loss = ((network(x, ps) - y) ** 2).mean()
        loss.backward()
        with cr.no_grad():
            correct += (network(x, ps) > 0).sum()
            if correct > 10:
                correct.zero_()
        update(ps)


def clipping():
    x, y, ps = data()
    for _ in range(5):
        ((network(x, ps) - y) ** 2).mean().backward()
        total = sum((p.grad**2).sum() for p in ps).sqrt()
        if total > 0.1:
            with cr.no_grad():
                for p in ps:
                    p.grad.mul_(0.1 / (total + 1e-6))
        update(ps)


def moving_average():
    x, y, ps = data()
    averages = [p.detach().clone() for p in ps]
    for _ in range(5):
        ((network(x, ps) - y) ** 2).mean().backward()
        update(ps)
        with cr.no_grad():
            for average, p in zip(averages, ps, strict=True):
                average.mul_(0.9).add_(p, alpha=0.1)
    print(averages[0])


def early_break():
    x, y, ps = data()
    for step in range(9):
        loss = ((network(x, ps) - y) ** 2).mean()
        if step > 3 and loss < 100:
            break
        loss.backward()
        update(ps)
    loss.item()
    loss.backward()
    ps[0].grad.numpy()


LOOPS = [
    item_before_backward,
    item_after_the_step,
    two_networks_against_each_other,
    two_losses_on_one_trunk,
    eightfold_accumulation,
    manual_sgd,
    evaluation_inside_training,
    clipping,
    moving_average,
    early_break,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_no_loop_computes_a_node_twice(loop, monkeypatch):
    finished = []
    finish = Program.finish

    def counting(self, node, value):
        finished.append(node)
        finish(self, node, value)

    monkeypatch.setattr(Program, "finish", counting)
    before = repeated()
    loop()
    cr.synchronize()
    assert repeated() == before
    assert finished and all(node.executions == 1 for node in finished)
    assert len(set(finished)) == len(finished)


def test_repeated_rises_when_a_node_is_made_to_run_again():
    x = cr.ones(3) * 2
    x.numpy()
    node, before = x._node, repeated()
    node.state, node.inputs = PENDING, (cr.ones(3)._node, cr.ones(3)._node)
    recorder()._pending.append(ref(node))
    x.numpy()
    assert repeated() == before + 1


# ---------------------------------------------------------------- values that are held


def test_an_output_of_step_1_reads_the_same_at_step_100():
    x, y, ps = data()
    held = expected = None
    for step in range(100):
        out = network(x, ps)
        if step == 1:
            held = out
            expected = np.tanh(x.numpy() @ ps[0].detach().numpy()) @ ps[1].detach().numpy()
        ((out - y) ** 2).mean().backward()
        update(ps)
    np.testing.assert_allclose(held.detach().numpy(), expected, rtol=1e-5)


def test_a_numpy_buffer_that_is_used_again_does_not_reach_an_earlier_tensor():
    buffer = np.zeros(3, np.float32)
    tensors = []
    for i in range(3):
        buffer[:] = i
        tensors += [cr.tensor(buffer) * 1, cr.from_numpy(buffer), cr.as_tensor(buffer) + 0]
    assert [t.tolist()[0] for t in tensors] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    x = cr.zeros(3)
    x[:] = buffer
    x += buffer
    buffer[:] = 9
    assert x.tolist() == [4, 4, 4]


def test_a_snapshot_never_changes():
    x = cr.zeros(3)
    snapshots = []
    for i in range(5):
        snapshots.append((x.numpy(), np.asarray(x), x[1:].numpy()))
        x[i % 3] = i + 1
        x.add_(1)
        x.sum().item()
    copies = [[s.tolist() for s in row] for row in snapshots]
    assert copies[0] == [[0, 0, 0], [0, 0, 0], [0, 0]]
    assert copies[2] == [[3, 3 + 1, 2], [3, 4, 2], [4, 2]] or copies[2][0] == copies[2][1]
    for whole, plain, part in snapshots:
        assert whole.tolist() == plain.tolist() and whole.tolist()[1:] == part.tolist()


def test_ten_thousand_row_writes_copy_no_base(monkeypatch):
    """Written in place: the base is copied at most a few times, not once per write."""
    copies = []
    reference = movement.put.reference

    def counting(base, *rest, **meta):
        copies.append(base.nbytes)
        return reference(base, *rest, **meta)

    monkeypatch.setattr(movement.put, "reference", counting)
    x = cr.zeros(10_000, 4)
    row = cr.ones(4)
    for i in range(10_000):
        x[i] = row
    assert x.sum().item() == 40_000
    assert len(copies) <= 3


def test_writes_beside_a_held_alias_copy_nothing_either(monkeypatch):
    copies = []
    reference = movement.put.reference

    def counting(base, *rest, **meta):
        copies.append(base.nbytes)
        return reference(base, *rest, **meta)

    monkeypatch.setattr(movement.put, "reference", counting)
    x = cr.zeros(1000, 4)
    view = x.t()
    for i in range(1000):
        x[i] = float(i)
    assert view[0, 7].item() == 7
    assert len(copies) <= 3


# ---------------------------------------------------------------- failure


def bad_index(x):
    return x.gather(0, cr.tensor([99]))


def test_a_bad_index_leaves_state_at_its_last_values():
    state, other, early = cr.zeros(3), cr.zeros(3), cr.zeros(3)
    state += 1
    cr.synchronize()
    early += 7
    bad = bad_index(state)
    state += 10
    other[0] = 5
    dependent, independent = bad * 2, other * 3
    with pytest.raises(cr.IndexRangeError, match="index 99"):
        dependent.item()
    assert state.tolist() == [1, 1, 1]
    assert other.tolist() == [0, 0, 0]
    assert early.tolist() == [7, 7, 7]  # written before what failed: as if somebody had looked
    assert independent.tolist() == [15, 0, 0]
    for reading in (lambda: dependent.item(), lambda: bad.numpy(), lambda: bad + 1):
        with pytest.raises(cr.FailedError, match="index 99"):
            reading()
    assert "failed" in repr(bad)
    state += 2  # the next step runs normally
    assert state.tolist() == [3, 3, 3]


def test_a_failure_inside_in_place_writes_is_undone():
    x = cr.zeros(4)
    x[0] = 1
    before = x.numpy().copy()
    bad = bad_index(cr.zeros(3))
    x[1] = 2
    view = x[1:]
    x[2] = 3
    with pytest.raises(cr.IndexRangeError):
        bad.item()
    np.testing.assert_array_equal(x.numpy(), before)
    np.testing.assert_array_equal(view.numpy(), before[1:])
    x[3] = 4
    assert x.tolist() == [1, 0, 0, 4]


@pytest.mark.parametrize("look", [False, True])
def test_what_was_written_before_a_failure_stays_looked_at_or_not(look):
    memory = cr.zeros(5)
    for i in range(5):
        memory[i] = cr.tensor(float(i)) * 2
        if look:
            memory.tolist()
    with pytest.raises(cr.IndexRangeError):
        bad_index(cr.zeros(3)).item()
    assert memory.tolist() == [0, 2, 4, 6, 8]


def test_a_failed_backward_leaves_the_gradient_that_was_there():
    w = cr.ones(3, requires_grad=True)
    (w * 2).sum().backward()  # nobody looks: still pending when the next one fails
    with pytest.raises(cr.IndexRangeError):
        bad_index(w * 5).sum().backward()
    assert w.grad.tolist() == [2, 2, 2]
    (w * 3).sum().backward()
    assert w.grad.tolist() == [5, 5, 5]


def test_the_line_of_the_bad_label_is_named():
    labels = cr.tensor([0, 12])
    picked = cr.zeros(2, 10).gather(1, labels.unsqueeze(1))
    with pytest.raises(cr.IndexRangeError, match=r"test_storage\.py:\d+"):
        picked.sum().item()


def test_the_step_after_a_failed_step_has_the_right_numbers():
    def train(fail):
        x, y, ps = data()
        for step in range(6):
            loss = ((network(x, ps) - y) ** 2).mean()
            if fail and step == 3:
                with pytest.raises(cr.IndexRangeError):
                    (loss + bad_index(loss.reshape(1)).sum()).item()
            loss = ((network(x, ps) - y) ** 2).mean()
            loss.backward()
            update(ps)
        return [p.tolist() for p in ps]

    assert train(fail=False) == train(fail=True)


def test_ctrl_c_in_the_middle_of_a_program(monkeypatch):
    state = cr.ones(3)
    state *= 2
    cr.synchronize()
    state += 1
    y = (state * 3).exp()
    z = state * 5

    def interrupted(*inputs, **meta):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(elementwise.exp, "check", interrupted)  # which every backend calls
        with pytest.raises(KeyboardInterrupt):
            y.sum().item()
    assert state.tolist() == [2, 2, 2]
    assert y._node.state == FAILED
    with pytest.raises(cr.FailedError):
        z.tolist()
    state += 1
    assert (state * 3).tolist() == [9, 9, 9]


@pytest.mark.parametrize("read", ["itself", "by a forward"])
@pytest.mark.parametrize("after", range(6))
def test_ctrl_c_while_initial_values_are_computed(monkeypatch, read, after):
    def network():
        cr.manual_seed(1)
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        nn.init.orthogonal_(net[2].weight)
        return net

    def values(net):
        if read == "itself":
            return [p.tolist() for p in net.parameters()]
        return [net(cr.ones(1, 3)).tolist(), *values_of_state(net)]

    def values_of_state(net):
        return [value.tolist() for value in net.state_dict().values()]

    left, compute = after, reference.reference_value

    def interrupted(*inputs, **meta):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return compute(*inputs, **meta)

    net = network()
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "execute", staticmethod(reference.run))
        patched.setattr(reference, "reference_value", interrupted)
        with pytest.raises(KeyboardInterrupt):
            values(net)
    assert values(net) == values(network())
    assert values_of_state(net) == values_of_state(network())


def test_an_exception_of_the_user_s_in_the_middle_of_a_step():
    def train(fail):
        x, y, ps = data()
        for step in range(5):
            if fail and step == 2:
                try:
                    h = (x @ ps[0]).tanh()
                    h[0] = 3
                    raise RuntimeError("mine")
                except RuntimeError:
                    pass
                try:
                    with cr.no_grad():
                        raise RuntimeError("mine")
                except RuntimeError:
                    assert cr.is_grad_enabled()
            ((network(x, ps) - y) ** 2).mean().backward()
            update(ps)
        return [p.tolist() for p in ps]

    assert train(fail=False) == train(fail=True)


# ---------------------------------------------------------------- threads


def in_thread(function, stack=0):
    """Run the function in a thread of its own and return its result, or raise its error."""
    box = []

    def work():
        try:
            box.append((function(), None))
        except BaseException as error:
            box.append((None, error))

    before = threading.stack_size(stack)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(60)
    assert box, "the thread did not end"
    result, error = box[0]
    if error is not None:
        raise error
    return result


def test_what_one_thread_recorded_another_reads():
    w = cr.tensor([2.0], requires_grad=True)
    y = w * w + 1
    assert in_thread(lambda: y.item()) == 5
    z = in_thread(lambda: w * 3)
    assert (z + y).item() == 11
    (z + y).sum().backward()
    assert w.grad.item() == 7


def test_no_grad_belongs_to_its_thread():
    w = cr.tensor([2.0], requires_grad=True)
    with cr.no_grad():
        assert in_thread(lambda: (w * 2).requires_grad)
        assert not (w * 2).requires_grad


def test_two_threads_record_at_once():
    def work():
        x, y, ps = data()
        for _ in range(30):
            ((network(x, ps) - y) ** 2).mean().backward()
            update(ps)
        return ps[0].tolist()

    expected = work()
    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [expected, expected]


def test_a_chain_of_100_000_nodes_needs_no_stack():
    """Recorded, differentiated, copied, verified and freed in 256 KiB."""

    def work():
        gc.disable()  # counted, not traced; and three times as fast
        x = cr.tensor([1.0], requires_grad=True)
        y = x
        for _ in range(50_000):
            y = y * 1.00001
            y = y + 1e-6
        copied = cr.graph(y).copy().verify()
        count = len(copied)
        del copied
        y.backward()
        gradient = x.grad.item()
        alive = weakref.ref(y._node)
        del y
        assert alive() is None
        return count, gradient

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        count, gradient = in_thread(work, stack=256 << 10)
    finally:
        gc.enable()
        sys.setrecursionlimit(limit)
    assert count > 100_000
    assert gradient == pytest.approx(np.exp(50_000 * np.log(1.00001)), rel=1e-2)


def test_a_pending_chain_is_freed_without_recursion():
    def work():
        x = cr.tensor([1.0])
        y = x
        for _ in range(15_000):
            y = y.exp()
        del y
        return True

    assert in_thread(work, stack=256 << 10)


# ---------------------------------------------------------------- memory

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc, which Linux has"
)
MB = 1 << 20


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def xor_steps(count, correct=None):
    x = cr.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = cr.tensor([[0.0], [1.0], [1.0], [0.0]])
    rng = np.random.default_rng(0)
    w = cr.tensor(rng.normal(size=(2, 3)).astype(np.float32), requires_grad=True)
    v = cr.tensor(rng.normal(size=(3, 1)).astype(np.float32), requires_grad=True)
    losses = []
    for _ in range(count):
        out = network(x, [w, v])
        loss = ((out - y) ** 2).mean()
        loss.backward()
        update([w, v])
        if correct is not None:
            with cr.no_grad():
                correct += ((out > 0.5) == (y > 0.5)).sum()
        losses.append(loss)
        del losses[:-1]
    return losses[0].item()


@needs_proc
def test_ten_thousand_steps_grow_by_less_than_5_mb():
    """Without the garbage collector: nothing waits for it."""
    gc.disable()
    try:
        xor_steps(1000)
        before = resident()
        xor_steps(10_000)
        assert resident() - before < 5 * MB
    finally:
        gc.enable()


@needs_proc
def test_counting_under_no_grad_is_flat():
    correct = cr.zeros((), dtype=cr.int64)
    xor_steps(500, correct)
    before = resident()
    xor_steps(3000, correct)
    assert resident() - before < 5 * MB
    assert correct.item() > 4000


@needs_proc
def test_a_sum_that_nobody_reads_is_flat():
    """Nothing is ever looked at: work is done unasked before it piles up."""
    total, x = cr.zeros(()), cr.ones(100)

    def accumulate(steps):
        nonlocal total
        for _ in range(steps):
            with cr.no_grad():
                total += (x * 2).sum()

    accumulate(8_000)
    before = resident()
    accumulate(20_000)
    assert resident() - before < 10 * MB
    assert total.item() == 200 * 28_000


@needs_proc
def test_a_thousand_held_losses_cost_a_kilobyte_each():
    x, y, ps = data()

    def losses(count):
        held = []
        for _ in range(count):
            loss = ((network(x, ps) - y) ** 2).mean()
            loss.backward()
            update(ps)
            held.append(loss)
        cr.synchronize()
        gc.collect()
        return held

    kept = losses(1000)
    before = resident()
    kept += losses(2000)
    assert resident() - before <= 2000 * 1024
    assert len({loss.item() for loss in kept}) > 10


def test_values_are_freed_when_nobody_wants_them():
    x = cr.ones(1000)
    h = x * 2
    y = h + 1
    node = weakref.ref(h._node)
    y.numpy()
    assert node() is h._node and h._node.value is not None
    del h
    assert node() is None


def test_activations_live_until_their_backward_has_ended():
    w = cr.ones(1000, requires_grad=True)
    h = w.exp()
    loss = (h * h).sum()
    loss.item()
    activation = weakref.ref(h._node)
    del h
    assert activation().value is not None
    loss.backward()
    loss.item()
    w.grad.numpy()
    assert activation() is None or activation().value is None


# ---------------------------------------------------------------- initial values


def test_initial_values_are_computed_when_they_are_read():
    layer = cr.nn.Linear(3, 2)
    cr.nn.init.normal_(layer.bias)
    cr.synchronize()
    before = cr.stats().executed
    assert (cr.ones(2) * 3).sum().item() == 6
    cr.synchronize()
    assert cr.stats().executed - before <= 4  # of the line above alone
    assert layer.weight._storage.node.state == layer.bias._storage.node.state == PENDING
    x = cr.ones(1, 3)
    y = layer(x)
    assert y._node.state == PENDING  # a parameter that was written to was computed, by itself
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_array_equal(y.detach().numpy(), (x.numpy() @ weight.T) + bias)


def test_a_layer_that_nobody_reads_asks_for_no_memory():
    huge = cr.nn.Linear(400_000, 4_000_000)  # 6.4 TB
    assert cr.zeros(3).sum().item() == 0
    assert huge.weight.shape == (4_000_000, 400_000)


def test_reading_an_initial_value_frees_nothing_that_waits():
    layer, w = cr.nn.Linear(3, 2), cr.tensor([1.0, 1.0, 1.0], requires_grad=True)
    waiting = w * 2
    del w  # nobody but the pending product holds the ones now
    assert np.isfinite(layer.weight.detach().numpy()).all()
    assert waiting.tolist() == [2, 2, 2]


def test_a_failure_elsewhere_leaves_initial_values_to_be_computed():
    layer = cr.nn.Linear(3, 2)
    with pytest.raises(cr.IndexRangeError):
        cr.nn.functional.cross_entropy(cr.zeros(1, 3), cr.tensor([7])).item()
    assert np.isfinite(layer.weight.detach().numpy()).all()
