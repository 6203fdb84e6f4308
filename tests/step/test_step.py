"""cr.compile: the same bits as a plain run, the same state, the same errors, without recording."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import warnings

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.errors import GradientError, GraphError, IndexRangeError, ShapeError, UsageError
from chainrule.storage import Recorded
from chainrule.train import Trainer


def mlp():
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4)
    )


def small_conv():
    return nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)),
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(4, 4),
    )


def batches(*sizes):
    rng = np.random.default_rng(0)
    return [
        (cr.tensor(rng.normal(size=(n, 8)).astype(np.float32)), cr.tensor(rng.integers(0, 4, n)))
        for n in sizes
    ]


def step_of(net, optimizer, clip=False):
    def step(x, y):
        optimizer.zero_grad()
        out = net(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        return loss, out

    return step


def bits(net, optimizer):
    numbers = [x.numpy().tobytes() for x in (*net.parameters(), *net.buffers())]
    for k, held in optimizer.state_dict()["state"].items():
        for name, value in held.items():
            whole = not isinstance(value, cr.Tensor)
            numbers.append((k, name, value if whole else value.numpy().tobytes()))
    return numbers


def train(compiled, make, kind, steps=50, clip=False):
    cr.manual_seed(3)
    net = make()
    optimizer = kind(net.parameters())
    step = step_of(net, optimizer, clip)
    step = cr.compile(step) if compiled else step
    schedule = optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    data = batches(16, 16, 16, 16, 5)
    losses = []
    for k in range(steps):
        loss, out = step(*data[k % len(data)])
        losses.append((loss.item(), out.numpy().tobytes()))
        if k % len(data) == 0:
            schedule.step()
    return losses, bits(net, optimizer), cr.random.get_state()


KINDS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, no_decay_on_bias=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.9),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p),
    "LAMB": lambda p: optim.LAMB(p, lr=0.01),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_plain_is_compiled_after_50_steps(kind):
    assert train(False, mlp, kind) == train(True, mlp, kind)


@pytest.mark.parametrize("clip", [False, True])
def test_a_convolution_with_batch_norm_dropout_and_clipping(clip):
    kind = KINDS["SGD"]
    assert train(False, small_conv, kind, clip=clip) == train(True, small_conv, kind, clip=clip)


def test_two_programs_in_a_thousand_steps():
    net = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5), nn.Linear(4, 4))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    factor = 1.0

    @cr.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y) * factor
        loss.backward()
        optimizer.step()
        return loss

    data = batches(8, 8, 3)
    before = cr.stats()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # factor is another one at each step
        for k in range(1000):
            step(*data[k % 3])
            factor *= 0.999
            schedule.step()
    after = cr.stats()
    assert after.built - before.built <= 2
    assert after.recorded > before.recorded  # factor is no tensor: each call traces


def test_a_schedule_traces_no_step_anew():
    net = nn.Linear(8, 4)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    step = cr.compile(step_of(net, optimizer))
    (batch,) = batches(8)
    for _ in range(3):
        step(*batch)
    before = cr.stats()
    for _ in range(20):
        step(*batch)
        schedule.step()
    after = cr.stats()
    assert (after.traced, after.recorded) == (before.traced, before.recorded)


def test_nested_arguments_and_results():
    @cr.compile
    def f(x, pair, *, scale=1.0, names=()):
        a, b = pair["both"]
        return {"sum": (x + a) * scale, "names": names, "b": b, "list": [a - b, None, 2]}

    x, a, b = cr.ones(2), cr.ones(2) * 3, cr.ones(2) * 5
    for _ in range(2):
        found = f(x, {"both": (a, b)}, scale=2.0, names=("u", "v"))
        assert found["sum"].tolist() == [8, 8] and found["names"] == ("u", "v")
        assert found["b"] is b and found["list"][0].tolist() == [-2, -2]
        assert found["list"][1:] == [None, 2]
    assert f(x, {"both": (a, b)}, scale=3.0)["sum"].tolist() == [12, 12]


def test_a_module_is_itself():
    net = nn.Linear(2, 1)
    assert cr.compile(net) is net


def test_evaluation_sees_new_weights_and_train_and_eval():
    net = mlp()

    @cr.compile
    @cr.no_grad()
    def predict(x):
        return net(x)

    ((x, _),) = batches(6)
    net.eval()
    first = predict(x)
    assert first.tolist() == net(x).detach().tolist()
    with cr.no_grad():
        net[0].weight.mul_(2.0)
    assert predict(x).tolist() == net(x).detach().tolist() != first.tolist()
    net.train()
    assert predict(x).tolist() != first.tolist()
    net.eval()
    before = cr.stats().traced
    predict(x)
    assert cr.stats().traced == before  # the trace in eval() still holds


def test_a_compiled_method():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(cr.ones(2))

        @cr.compile
        def twice(self, x):
            return self.w * x * 2

    one, two = Counter(), Counter()
    with cr.no_grad():
        two.w.fill_(3.0)
    assert one.twice(cr.ones(2)).tolist() == [2, 2] and two.twice(cr.ones(2)).tolist() == [6, 6]
    twin = copy.deepcopy(two)
    with cr.no_grad():
        two.w.fill_(0.0)
    assert twin.twice(cr.ones(2)).tolist() == [6, 6]


def test_a_function_made_by_exec():
    made = {}  # without __name__, so that its functions have no module
    exec("def double(x):\n    return factor * x\nfactor = 2.0", made)
    double = cr.compile(made["double"])
    assert double(cr.tensor([1.0])).tolist() == [2.0]
    made["factor"] = 3.0
    assert double(cr.tensor([1.0])).tolist() == [3.0]


# ---------------------------------------------------------------- what changes between calls


def test_closures_and_globals_are_looked_at():
    scale = 2.0
    w = cr.ones(2)

    @cr.compile
    def f(x):
        return x * scale * w

    assert f(cr.ones(2)).tolist() == [2, 2]
    scale = 3.0
    assert f(cr.ones(2)).tolist() == [3, 3]
    w = cr.ones(2) * 2
    assert f(cr.ones(2)).tolist() == [6, 6]


def test_an_attribute_of_a_module():
    class Scaled(nn.Module):
        scale = 2.0

        def forward(self, x):
            return x * self.scale

    net = Scaled()
    f = cr.compile(lambda x: net(x))
    assert f(cr.ones(1)).tolist() == [2]
    net.scale = 5.0
    assert f(cr.ones(1)).tolist() == [5]


def test_gradients_on_and_off_frozen_parameters_and_an_option_of_the_optimizer():
    def losses(compiled):
        cr.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        found = []
        (batch,) = batches(8)
        for k in range(12):
            if k == 4:
                net[0].requires_grad_(False)
                optimizer.zero_grad()
            if k == 6:
                net[0].requires_grad_(True)
            if k == 8:
                optimizer.param_groups[0]["momentum"] = 0.9
            if k == 10:
                optimizer.param_groups[0]["weight_decay"] = 0.01
            found.append(step(*batch)[0].item())
        return found, bits(net, optimizer)

    assert losses(False) == losses(True)


def test_parameters_that_count_their_steps_apart():
    def run(compiled, frozen):
        cr.manual_seed(2)
        net = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        (batch,) = batches(8)
        for k in range(14):
            if k in (3, 9):
                net[frozen].requires_grad_(k == 9)
            step(*batch)
        return bits(net, optimizer)

    for layer in (0, 2):
        assert run(False, layer) == run(True, layer), layer


def test_parameters_that_make_two_steps_in_one_call():
    def run(compiled):
        cr.manual_seed(2)
        net = nn.Linear(8, 4)
        optimizer = optim.Adam(net.parameters(), lr=0.01)

        def twice(x, y):
            step_of(net, optimizer)(x, y)
            optimizer.zero_grad()
            (net.bias**2).sum().backward()
            optimizer.step()

        (batch,) = batches(8)
        step_of(net, optimizer)(*batch)  # both have made one
        step = cr.compile(twice) if compiled else twice
        for _ in range(4):
            step(*batch)
        return bits(net, optimizer)

    assert run(False) == run(True)


@pytest.mark.parametrize("other", [False, True], ids=["plain", "compiled"])
def test_parameters_that_another_function_trains_too(other):
    def run(compiled):
        cr.manual_seed(2)
        net = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        step = step_of(net, optimizer)

        def bias(x, y):
            optimizer.zero_grad()
            (net[0].bias ** 2).sum().backward()
            optimizer.step()

        (batch,) = batches(8)
        steps = [cr.compile(step), cr.compile(bias) if other else bias]
        for k in range(12):
            (steps if compiled else (step, bias))[k % 5 == 4](*batch)
        return bits(net, optimizer)

    assert run(False) == run(True)


def test_a_state_that_somebody_empties_or_fills():
    def run(compiled):
        cr.manual_seed(2)
        net = nn.Linear(8, 4)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        (batch,) = batches(8)
        for k in range(12):
            step(*batch)
            if k == 3:
                optimizer.state.clear()
            if k == 7:
                optimizer.state[net.weight]["momentum_buffer"] = cr.ones(4, 8)
        return bits(net, optimizer)

    assert run(False) == run(True)


@pytest.mark.parametrize(
    "change",
    [
        lambda state, p: state.update({p: {"momentum_buffer": cr.ones(4, 8)}}),
        lambda state, p: state[p].update(momentum_buffer=cr.ones(4, 8)),
        lambda state, p: state[p].pop("momentum_buffer"),
        lambda state, p: state.pop(p),
        lambda state, p: state.__delitem__(p),
        lambda state, p: state[p].__ior__({"momentum_buffer": cr.ones(4, 8)}),
        lambda state, p: state[p].clear(),
        lambda state, p: state.setdefault(p, {})["momentum_buffer"].mul_(2),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_a_state_that_somebody_changes(change, own):
    """``own``: the optimizer's dicts are somebody's, not its own."""

    def run(compiled):
        cr.manual_seed(2)
        net = nn.Linear(8, 4)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        (batch,) = batches(8)
        step(*batch)
        if own:
            optimizer.state = {p: dict(held) for p, held in optimizer.state.items()}
        for k in range(12):
            step(*batch)
            if k in (3, 7):
                change(optimizer.state, net.weight)
        return bits(net, optimizer)

    assert run(False) == run(True)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_rate_that_is_set_in_any_way(name):
    def run(compiled):
        cr.manual_seed(2)
        net = nn.Linear(8, 4)
        optimizer = getattr(optim, name)(net.parameters(), lr=0.1)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        (batch,) = batches(8)
        (group,) = optimizer.param_groups
        for k in range(16):
            step(*batch)
            if k == 3:
                group.update(lr=0.2)
            if k == 7:
                group |= {"lr": 0.3}
            if k == 11:
                optimizer.param_groups[0] = {**group, "lr": 0.4}
        return bits(net, optimizer)

    assert run(False) == run(True)


def test_a_schedule_inside():
    def run(compiled):
        cr.manual_seed(2)
        net = nn.Linear(8, 4)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        schedule = optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        step = step_of(net, optimizer)

        def both(x, y):
            step(x, y)
            schedule.step()
            optimizer.param_groups[0]["momentum"] *= 0.99

        (batch,) = batches(8)
        both = cr.compile(both) if compiled else both
        for _ in range(8):
            both(*batch)
        return bits(net, optimizer), optimizer.param_groups[0]["lr"], schedule.last_epoch

    assert run(False) == run(True)


def test_a_bad_option_is_refused_as_in_a_plain_step():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    step = cr.compile(step_of(net, optimizer))
    (batch,) = batches(4)
    step(*batch)
    before = bits(net, optimizer)
    optimizer.param_groups[0]["lr"] = -1.0
    for _ in range(2):
        with pytest.raises(UsageError, match=r"\[SGD\] got lr=-1.0"):
            step(*batch)
    assert bits(net, optimizer) == before
    optimizer.param_groups[0]["lr"] = 0.1
    step(*batch)
    assert bits(net, optimizer) != before


def test_state_that_is_loaded_between_calls():
    def run(compiled):
        cr.manual_seed(1)
        net = nn.Linear(8, 4)
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        step = step_of(net, optimizer)
        step = cr.compile(step) if compiled else step
        (batch,) = batches(8)
        for _ in range(4):
            step(*batch)
        kept = {k: v.clone() for k, v in net.state_dict().items()}
        state = copy.deepcopy(optimizer.state_dict())
        for _ in range(3):
            step(*batch)
        net.load_state_dict(kept)
        optimizer.load_state_dict(state)
        for _ in range(3):
            step(*batch)
        return bits(net, optimizer)

    assert run(False) == run(True)


def test_plain_and_compiled_steps_take_turns():
    def run(turns):
        cr.manual_seed(1)
        net = mlp()
        optimizer = optim.Adam(net.parameters(), lr=0.01)
        plain = step_of(net, optimizer)
        compiled = cr.compile(plain)
        (batch,) = batches(8)
        for k in range(10):
            (compiled if turns(k) else plain)(*batch)
        return bits(net, optimizer), cr.random.get_state()

    assert run(lambda k: k % 3) == run(lambda k: False)


# ---------------------------------------------------------------- in place


def test_a_view_of_a_parameter_follows_it():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    step = cr.compile(step_of(net, optimizer))
    alias, row = net.weight.detach(), net.weight.detach()[1]
    (batch,) = batches(8)
    for _ in range(3):
        step(*batch)
        assert alias.tolist() == net.weight.tolist() and row.tolist() == net.weight[1].tolist()


def test_a_snapshot_does_not_move_and_numbers_are_written_in_place():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    step = cr.compile(step_of(net, optimizer))
    (batch,) = batches(8)
    step(*batch)
    step(*batch)
    held = net.weight.numpy()
    before = np.array(held)
    step(*batch)
    assert (held == before).all() and (net.weight.numpy() != before).any()
    del held
    step(*batch)
    place = net.weight._storage.node.value.ctypes.data
    step(*batch)
    assert net.weight._storage.node.value.ctypes.data == place


def test_what_was_computed_of_the_old_value_stays():
    w = cr.ones(3)

    @cr.compile
    def double():
        w.mul_(2.0)

    double()
    later = w + 0  # recorded, not computed
    double()
    assert later.tolist() == [2, 2, 2] and w.tolist() == [4, 4, 4]


def test_an_argument_that_is_written():
    @cr.compile
    def f(x):
        x.add_(1.0)
        return x

    x = cr.zeros(2)
    for k in range(3):
        assert f(x) is x and x.tolist() == [k + 1] * 2
    table = cr.zeros(2, 2)
    f(table[1])
    assert table.tolist() == [[0, 0], [1, 1]]


def test_an_argument_that_is_written_and_seen_elsewhere():
    def run(wrap):
        @wrap
        def first(a, b):
            a.add_(1.0)
            return (a * b).sum()

        y, z, w = cr.ones(4), cr.ones(2), cr.ones(2, requires_grad=True)
        seen = y.view(2, 2)

        @wrap
        def captured(a):
            a.mul_(2.0)
            return seen.sum()

        @wrap
        def both(a):
            z.add_(1.0)
            return a + z

        @wrap
        def signals(a, b):
            (a * b * w).sum().backward()

        x, far = cr.ones(2, 3), cr.zeros(3)
        found = [first(x[0], far), first(x, x), first(x, x), first(x[0], x), first(x, x[1]), x]
        found += [captured(y), captured(y), both(z), both(z), both(cr.ones(2)), both(z)]
        found += [both(z[:1])]
        leaf = cr.ones(2, requires_grad=True)
        signals(leaf, leaf), signals(leaf, leaf), signals(leaf, w), signals(w, leaf)
        return [v.tolist() for v in (*found, leaf.grad, w.grad)]

    assert run(lambda f: f) == run(cr.compile)


def test_states_that_change_places():
    a, b = cr.zeros(2), cr.ones(2)

    @cr.compile
    def swap():
        kept = a.clone()
        a.copy_(b)
        b.copy_(kept)

    for k in range(4):
        swap()
        assert a.tolist() == [1 - k % 2] * 2 and b.tolist() == [k % 2] * 2


def test_the_data_of_a_parameter_exchanged():
    p = cr.ones(2, requires_grad=True)

    @cr.compile
    def step(x):
        p.grad = None
        (p * p * x).sum().backward()
        p.data = p.data - 0.25 * p.grad.data

    before = cr.stats().traced
    for k in range(4):
        step(cr.ones(2))
        assert p.tolist() == [0.5 ** (k + 1)] * 2 and p.requires_grad
    assert cr.stats().traced == before + 1


# ---------------------------------------------------------------- gradients


def test_gradients_are_not_kept_and_asking_says_so():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    step = cr.compile(step_of(net, optimizer))
    (batch,) = batches(8)
    for _ in range(2):
        step(*batch)
        with pytest.raises(GradientError, match=r"\[weight\] got no gradient.*keep_grads=True"):
            net.weight.grad  # noqa: B018
    optimizer.zero_grad()
    assert net.weight.grad is None
    step(*batch)
    optimizer.zero_grad(set_to_none=False)
    assert not net.weight.grad.any()


def test_keep_grads():
    found = []
    for compiled in (False, True):
        cr.manual_seed(0)
        net = nn.Linear(8, 4)
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        step = step_of(net, optimizer)
        step = cr.compile(step, keep_grads=True) if compiled else step
        (batch,) = batches(8)
        for _ in range(3):
            step(*batch)
        found.append(net.weight.grad.tolist())
    assert found[0] == found[1]


def test_a_gradient_that_adds_up_is_state():
    def run(compiled):
        cr.manual_seed(0)
        net = nn.Linear(8, 4)
        optimizer = optim.SGD(net.parameters(), lr=0.1)

        def add(x, y):
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            return loss

        add = cr.compile(add) if compiled else add
        (batch,) = batches(8)
        found = []
        for k in range(8):
            add(*batch)
            found.append(net.weight.grad.tolist())
            if k % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
        return found

    assert run(False) == run(True)


def test_the_gradient_of_an_argument():
    @cr.compile
    def slope(x):
        (x**3).sum().backward()

    for _ in range(2):
        x = cr.tensor([1.0, 2.0], requires_grad=True)
        slope(x)
        assert x.grad.tolist() == [3, 12]
        slope(x)
        assert x.grad.tolist() == [6, 24]


def test_a_history_from_outside_is_refused():
    w = cr.ones(2, requires_grad=True)
    h = w * 2

    @cr.compile
    def f(x):
        (x * x).sum().backward()

    with pytest.raises(GradientError, match="a history that begins outside the compiled function"):
        f(h)
    assert w.grad is None


def test_backward_outside_of_what_a_compiled_function_returned():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    loss, _ = cr.compile(step_of(net, optimizer))(*batches(4)[0])
    with pytest.raises(GradientError, match="used up"):
        loss.backward()
    y = cr.compile(lambda x: net(x))(cr.ones(1, 8))
    with pytest.raises(GradientError, match="no history"):
        y.sum().backward()


# ---------------------------------------------------------------- randomness


def test_random_numbers_are_those_of_a_plain_run():
    def f(x):
        return x * F.dropout(cr.ones(5)) + cr.randn(5) + cr.rand(5, stream="augmentation")

    def run(function):
        cr.manual_seed(5)
        found = [function(cr.ones(5)).tolist() for _ in range(4)]
        cr.manual_seed(6)
        return found, function(cr.ones(5)).tolist(), cr.random.get_state()

    assert run(f) == run(cr.compile(f))


def test_numbers_that_numpy_draws_are_drawn_at_each_call():
    def f(x):
        return x * float(cr.random.stream("augmentation").uniform())

    def run(function):
        cr.manual_seed(5)
        return [function(cr.ones(2)).tolist() for _ in range(4)]

    assert run(f) == run(cr.compile(f))


# ---------------------------------------------------------------- failures


def test_a_bad_label_changes_nothing():
    cr.manual_seed(0)
    net, (good, bad) = mlp(), batches(8, 8)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    step = cr.compile(step_of(net, optimizer))
    bad[1][3] = 9
    for _ in range(3):
        before = bits(net, optimizer), cr.random.get_state()
        with pytest.raises(IndexRangeError, match=r"9.*test_step.py:\d+"):
            step(*bad)
        assert (bits(net, optimizer), cr.random.get_state()) == before
        step(*good)


def test_a_mistake_in_the_function_changes_nothing():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    broken = True

    @cr.compile
    def step(x):
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()
        return x @ cr.ones(3, 3) if broken else x

    before = bits(net, optimizer)
    with pytest.raises(ShapeError):
        step(cr.ones(2, 8))
    assert bits(net, optimizer) == before and not optimizer.state
    assert net.weight.grad is None and (net.weight * 1).requires_grad


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: float(x.sum()),
        lambda x: bool(x.sum() > 0),
        lambda x: print(x),
        lambda x: repr(x),
        lambda x: np.asarray(x),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: cr.tensor(x),
    ],
)
def test_looking_inside(look):
    w = cr.ones(3)

    @cr.compile
    def f(x):
        y = x * w
        look(y)
        return y

    with pytest.raises(UsageError, match=r"a look at the value .*test_step.py:\d+.* outside"):
        f(cr.ones(3))
    assert w.tolist() == [1, 1, 1]


def test_a_look_that_the_function_catches():
    @cr.compile
    def f(x):
        try:
            return x * x.sum().item()
        except UsageError:
            return x

    for _ in range(2):
        with pytest.raises(UsageError, match="a look at the value of"):
            f(cr.ones(2))

    def loss(outputs, targets):
        try:
            return F.cross_entropy(outputs, targets) * outputs.sum().item()
        except UsageError:
            return F.cross_entropy(outputs, targets)

    net, (batch,) = mlp(), batches(8)
    trainer = Trainer(net, loss, optim.SGD(net.parameters(), lr=0.0))
    found, outputs = trainer.step(*batch)
    assert found.item() == loss(outputs, batch[1]).item()


def test_what_is_no_function_that_returns():
    def generator(x):
        yield x

    async def coroutine(x):
        return x

    for wrong in (3, cr.ones(1), generator, coroutine):
        with pytest.raises(UsageError, match=r"\[compile\] got .*needs a function that returns"):
            cr.compile(wrong)


def test_copies():
    class Learner:
        def __init__(self):
            self.w = cr.zeros(1)
            self.step = cr.compile(self._step)

        def _step(self):
            self.w.add_(1.0)

    one = Learner()
    one.step()
    two = copy.deepcopy(one)
    two.step()
    assert one.w.item() == 1 and two.w.item() == 2
    assert pickle.loads(pickle.dumps(doubled)) is doubled


@cr.compile
def doubled(x):
    return x * 2


def test_a_tensor_that_survives():
    kept = []

    @cr.compile
    def f(x):
        y = x * 2
        kept.append(y)
        return y + 1

    assert f(cr.ones(2)).tolist() == [3, 3]
    with pytest.raises(cr.FailedError, match=r"kept when a compiled function .*test_step.py:\d+"):
        kept[0].tolist()
    with pytest.raises(cr.FailedError, match="Return it"):
        kept[0] + 1


def test_a_tensor_kept_in_an_attribute():
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = cr.zeros(2)

        def forward(self, x):
            self.h = self.h * 0.5 + x
            return self.h * 1

    net = Memory()
    f = cr.compile(lambda x: net(x))
    found = [f(cr.ones(2)).tolist()[0] for _ in range(4)]
    assert found == [1, 1.5, 1.75, 1.875] and net.h.tolist() == [1.875] * 2
    old = net.h
    f(cr.ones(2))
    assert old.tolist() == [1.875] * 2
    net.h = cr.zeros(2)
    assert f(cr.ones(2)).tolist() == [1, 1]


def test_a_counter_in_a_module_is_counted():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    net = Counting()
    f = cr.compile(lambda x: net(x))
    assert [f(cr.ones(1)).item() for _ in range(4)] == [1, 2, 3, 4] and net.calls == 4


def test_sizes_that_the_first_input_tells():
    net = nn.Sequential(nn.Linear(None, 4), nn.ReLU())
    f = cr.compile(lambda x: net(x))
    assert f(cr.ones(2, 8)).tolist() == net(cr.ones(2, 8)).tolist()
    assert f(cr.ones(2, 8)).tolist() == net(cr.ones(2, 8)).tolist()


# ---------------------------------------------------------------- looking on


def test_recorded_is_plain():
    net = nn.Linear(8, 4)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    step = cr.compile(step_of(net, optimizer))
    (batch,) = batches(8)
    step(*batch)
    with cr.record() as tape:
        step(*batch)
    assert tape["weight"].bar.shape == (4, 8) and net.weight.grad is not None
    step(*batch)
    with cr.detect_anomaly():
        step(*batch)


def test_a_compiled_function_in_another():
    @cr.compile
    def inner(x):
        return x * 2

    assert cr.compile(lambda x: inner(x) + 1)(cr.ones(2)).tolist() == [3, 3]


def test_a_check_of_every_trace(monkeypatch):
    numbers = iter(range(1, 9))

    def function(x):
        return x * next(numbers)

    f = cr.compile(function)
    assert f(cr.ones(1)).item() == f(cr.ones(1)).item() == 1
    monkeypatch.setenv("CHAINRULE_CHECK_TRACE", "1")
    f = cr.compile(function)
    assert f(cr.ones(1)).item() == 2
    with pytest.raises(GraphError, match=r"another trace than before.*number.*test_step.py:\d+"):
        f(cr.ones(1))
    good = cr.compile(lambda x: x * 2 + F.dropout(cr.ones(1)))
    good(cr.ones(1)), good(cr.ones(1))


def test_a_signature_that_always_changes_warns_once():
    @cr.compile
    def f(x, rate):
        return x * rate

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for k in range(30):
            assert f(cr.ones(1), 0.1 * k).item() == pytest.approx(0.1 * k)
    (warning,) = told
    assert "traces of f in a row" in str(warning.message)
    assert "values of its arguments changed" in str(warning.message)
    assert warning.filename == __file__


# ---------------------------------------------------------------- memory and threads


def test_memory_is_flat():
    net = mlp()
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    step = cr.compile(step_of(net, optimizer))
    data = batches(8, 3)

    def nodes():
        gc.collect()
        return sum(type(x) in (Recorded, np.ndarray) for x in gc.get_objects())

    for k in range(10):
        step(*data[k % 2])
    before = nodes(), len(gc.get_objects())
    for k in range(2000):
        step(*data[k % 2])
    after = nodes(), len(gc.get_objects())
    assert after[0] <= before[0] and after[1] <= before[1] + 1200


def test_two_threads():
    w = cr.zeros(1)

    @cr.compile
    def add(x):
        w.add_(x)
        return w * 1

    def work():
        x = cr.ones(1)
        for _ in range(500):
            add(x)

    work()  # it is this thread's alone, until the others come
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    assert w.item() == 2000


def test_variables_of_functions_that_are_called():
    factor, count = 2.0, 0

    def scaled(x):
        nonlocal count
        count += 1
        return x * factor

    f = cr.compile(lambda x: scaled(x))
    assert f(cr.ones(1)).item() == 2
    factor = 4.0
    assert f(cr.ones(1)).item() == 4
    assert f(cr.ones(1)).item() == 4 and count == 3  # a variable that it sets: traced each time
