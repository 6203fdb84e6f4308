"""Optimizers: what a step does, undoes and refuses."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CheckpointError, GradientError, UsageError
from chainrule.storage import Recorded

KINDS = [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9),
    lambda p: optim.Adadelta(p),
    lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    lambda p: optim.AdamW(p, lr=0.1),
    lambda p: optim.LAMB(p, lr=0.1),
]
OPTIMIZERS = [
    optim.SGD,
    optim.Adagrad,
    optim.RMSprop,
    optim.Adadelta,
    optim.Adam,
    optim.AdamW,
    optim.LAMB,
]


def leaf(*numbers):
    return cr.tensor(list(numbers), requires_grad=True)


def test_step_without_a_gradient():
    with pytest.raises(GradientError, match=r"\[SGD.step\] got no gradient for any of 1 param"):
        optim.SGD([leaf(1.0)], lr=0.1).step()


@pytest.mark.parametrize("lr", [-1, "fast", None, float("nan"), float("inf"), True])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_wrong_learning_rate(kind, lr):
    with pytest.raises(UsageError, match=rf"\[{kind.__name__}\] got lr=.*, needs a number of 0 or"):
        kind([leaf(1.0)], lr=lr)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (optim.SGD, {"momentum": -0.1}, "momentum=-0.1, needs a number of 0 or more"),
        (optim.SGD, {"nesterov": True}, "nesterov with momentum=0, .* needs a momentum and no"),
        (optim.Adagrad, {"lr_decay": -1}, "lr_decay=-1"),
        (optim.Adagrad, {"initial_accumulator_value": -1}, "initial_accumulator_value=-1"),
        (optim.RMSprop, {"alpha": 1.5}, "alpha=1.5, needs a number from 0 to 1"),
        (optim.Adadelta, {"rho": -0.1}, "rho=-0.1, needs a number from 0 to 1"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"betas=\(0.9, 1.0\), needs two numbers from 0 to"),
        (optim.AdamW, {"betas": 0.9}, "betas=0.9"),
        (optim.LAMB, {"eps": -1e-8}, "eps=-1e-08"),
        (optim.LAMB, {"weight_decay": "some"}, "weight_decay='some'"),
    ],
)
def test_wrong_options(kind, options, words):
    with pytest.raises(UsageError, match=rf"\[{kind.__name__}\] got {words}"):
        kind([leaf(1.0)], **options)
    with pytest.raises(UsageError, match=words):  # in a group too
        kind([{"params": [leaf(1.0)], **options}])


def test_wrong_parameters():
    w = leaf(1.0)
    used_up = nn.Linear(1, 1).parameters()
    list(used_up)
    cases = {
        r"no parameters, needs at least one parameter. net.parameters\(\)": [],
        r"a tensor, needs a list of them": w,
        r"a tensor with a history, needs parameters": [w * 2],
        r"a parameter twice, needs each parameter once": [w, w],
        r"float, needs parameters: leaves of the graph": [3.0],
        r"no parameters, .* A generator is empty after somebody has gone through it": used_up,
        r"a set, needs a list of parameters": {w},
        r"a method, needs its parameters. net.parameters\(\)": nn.Linear(1, 1).parameters,
        r"a Linear, needs its parameters. net.parameters\(\)": nn.Linear(1, 1),
        r"Linear, needs parameters: leaves of the graph": nn.Sequential(nn.Linear(1, 1)),
        r"a group that is a Tensor, needs a dict with": [{"params": []}, w],
        r"some parameters with names, some without": [("w", w), leaf(2.0)],
    }
    for words, wrong in cases.items():
        with pytest.raises(UsageError, match=rf"^\[SGD\] got {words}"):
            optim.SGD(wrong, lr=0.1)


def test_a_parameter_of_another_group_is_refused():
    net = nn.Linear(1, 1)
    optimizer = optim.SGD(net.parameters())
    with pytest.raises(UsageError, match="twice, needs each parameter once"):
        optimizer.add_param_group({"params": net.weight})
    assert len(optimizer.param_groups) == 1


def test_named_parameters():
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.named_parameters(), momentum=0.9)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"] == [net.weight, net.bias]
    with pytest.raises(UsageError, match="some parameters with names, some without"):
        optimizer.add_param_group({"params": [leaf(1.0)]})
    optimizer.add_param_group({"params": [("scale", leaf(1.0))], "lr": 0.5})
    state = optimizer.state_dict()
    assert [g["param_names"] for g in state["param_groups"]] == [["weight", "bias"], ["scale"]]
    other = optim.SGD([{"params": list(net.named_parameters())}, {"params": [("s", leaf(1.0))]}])
    with pytest.raises(CheckpointError, match="the state of scale, needs that of s"):
        other.load_state_dict(state)
    nameless = optim.SGD([{"params": net.parameters()}, {"params": [leaf(1.0)]}])
    nameless.load_state_dict(state)
    assert nameless.param_groups[1]["lr"] == 0.5


def test_groups_have_their_own_options():
    a, b = leaf(1.0), leaf(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(0.9), pytest.approx(0.5))
    assert optim.SGD([{"params": [a]}, {"params": []}]).param_groups[1]["params"] == []
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_no_decay_on_bias_spares_what_has_at_most_one_axis(kind):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[1].weight.data = cr.tensor([3.0, 3.0])
    number = nn.Parameter(cr.tensor(2.0))
    params = [*net.parameters(), number]
    optimizer = kind(params, lr=0.1, weight_decay=0.5, no_decay_on_bias=True)
    before = [p.tolist() for p in params]
    (sum(p.sum() for p in params) * 0).backward()
    optimizer.step()
    moved = [p.tolist() != old for p, old in zip(params, before, strict=True)]
    assert moved == [True, False, False, False, False]


def test_closure():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert w.item() == pytest.approx(0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_computed_when_a_step_ends(kind):
    w = leaf(1.0, 2.0)
    optimizer = kind([w])
    loss = (w * w).sum()
    loss.backward()
    optimizer.step()
    programs = cr.stats().programs
    assert loss.item() == 5
    w.detach().numpy()
    assert cr.stats().programs == programs


@pytest.mark.parametrize("kind", KINDS)
def test_1000_steps_grow_neither_memory_nor_graph(kind):
    """Without the collector: nodes alive and bytes held are the same after 10 and 1,000 steps."""
    w = leaf(1.0, -2.0, 3.0)
    optimizer = kind([w])

    def after(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
        alive = [o for o in gc.get_objects() if type(o) is Recorded]
        arrays = {id(o.value): o.value.nbytes for o in alive if o.value is not None}
        return len(alive), sum(arrays.values())

    gc.collect()
    gc.disable()
    try:
        begin = after(10)
        assert after(990) == begin
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_flat_without_the_collector(kind):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    optimizer = kind(net.parameters())
    x = cr.ones(5, 3) * cr.arange(5).float().unsqueeze(1)

    def step():
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    step()
    gc.collect()
    gc.disable()
    try:
        counts = []
        for _ in range(5):
            step()
            counts.append(sum(type(o) is Recorded for o in gc.get_objects()))
        assert counts[-1] <= counts[1]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_goes_on_where_it_was_made(kind):
    def train(w, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (w * w * w).sum().backward()
            optimizer.step()

    w = leaf(1.0, 2.0)
    optimizer = kind([w])
    train(w, optimizer, 3)
    twin = w.detach().clone().requires_grad_()
    other = kind([twin])
    other.load_state_dict(optimizer.state_dict())
    train(w, optimizer, 3)
    train(twin, other, 3)
    assert w.tolist() == twin.tolist()
    with pytest.raises(CheckpointError):
        kind([leaf(1.0), leaf(1.0)]).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_goes_through_a_file_gives_the_same_bits(kind, tmp_path):
    def train(w, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (w * w * w).sum().backward()
            optimizer.step()
        return w.tolist()

    w = leaf(1.0, 2.0)
    optimizer = kind([("w", w)])
    train(w, optimizer, 3)
    cr.save([w, optimizer.state_dict()], tmp_path / "state")
    numbers, state = cr.load(tmp_path / "state")
    twin = numbers.requires_grad_()
    other = kind([("w", twin)])
    other.load_state_dict(state)
    assert other.param_groups[0] == {**optimizer.param_groups[0], "params": [twin]}
    assert train(twin, other, 3) == train(w, optimizer, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_records_the_same_graph(kind):
    """Numbers that change with the step are run-time scalars: nothing to trace or compile anew."""
    w = leaf(1.0, -2.0)
    optimizer, counts = kind([w]), []
    for _ in range(6):
        optimizer.zero_grad()
        (w * w).sum().backward()
        before = cr.stats().recorded
        optimizer.step()
        counts.append(cr.stats().recorded - before)
    assert len(set(counts[1:])) == 1


def test_zero_grad_forgotten_is_noticed_once():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)

    def step():
        (w * w).sum().backward()
        optimizer.step()

    step()
    step()
    with pytest.warns(UserWarning, match=r"\[SGD.step\] got gradients of 3 steps added up"):
        step()
    step()


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_failed_leaves_everything_untouched(kind, steps):
    a, b = leaf(1.0), leaf(2.0)
    optimizer = kind([a, b])

    def everything():
        held = optimizer.state_dict()["state"]
        return a.tolist(), b.tolist(), {
            k: {n: v.tolist() if isinstance(v, cr.Tensor) else v for n, v in state.items()}
            for k, state in held.items()
        }  # fmt: skip

    for _ in range(steps):
        optimizer.zero_grad()
        (a + b).sum().backward()
        optimizer.step()
    before = everything()
    optimizer.zero_grad()
    bad = cr.nn.functional.nll_loss(b.reshape(1, 1), cr.tensor([5]))
    (a.sum() + bad).backward()
    with pytest.raises(cr.ChainruleError, match="labels run from 0 to 0"):
        b.grad.tolist()
    with pytest.raises(cr.ChainruleError, match="labels run from 0 to 0"):
        optimizer.step()
    cr.synchronize()
    assert everything() == before


def test_a_step_without_gradients_keeps_what_was_written_before_it():
    p = nn.Parameter(cr.ones(2))
    with cr.no_grad():
        p.mul_(2)
    with pytest.raises(cr.GradientError, match="no gradient"):
        optim.SGD([p], lr=0.1).step()
    assert p.tolist() == [2, 2]


# ---------------------------------------------------------------- LAMB, and what optimizers are for


def lamb(theta, gradient, steps, lr, betas, eps, decay):
    """Algorithm 2 of You et al. 2020 in plain float64 NumPy, for a list of layers."""
    first, second = betas
    m, v = [np.zeros_like(x) for x in theta], [np.zeros_like(x) for x in theta]
    for t in range(1, steps + 1):
        for i, x in enumerate(theta):
            g = gradient(x)
            m[i] = first * m[i] + (1 - first) * g
            v[i] = second * v[i] + (1 - second) * g**2
            r = (m[i] / (1 - first**t)) / (np.sqrt(v[i] / (1 - second**t)) + eps)
            way = r + decay * x
            ratio = np.linalg.norm(x) / np.linalg.norm(way)
            theta[i] = x - lr * ratio * way
    return theta


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 1e-2},
        {"lr": 3e-3, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.0},
    ],
)
def test_lamb_equals_its_paper_over_100_steps(options):
    begin = [np.random.default_rng(0).normal(size=shape) for shape in ((3, 2), (4,))]
    params = [cr.tensor(x, requires_grad=True) for x in begin]
    optimizer = optim.LAMB(params, **options)
    for _ in range(100):
        optimizer.zero_grad()
        sum(((p - 0.7) ** 2).sum() + (p**4).sum() * 0.1 for p in params).backward()
        optimizer.step()
    options = {**options, "decay": options["weight_decay"]}
    del options["weight_decay"]
    wanted = lamb(list(begin), lambda x: 2 * (x - 0.7) + 0.4 * x**3, 100, **options)
    for p, array in zip(params, wanted, strict=True):
        np.testing.assert_allclose(p.numpy(), array, rtol=1e-9)


def test_lamb_moves_a_parameter_of_zeros_by_an_adam_step():
    w = leaf(0.0, 0.0)
    optimizer = optim.LAMB([w], lr=0.1)
    (w * cr.tensor([2.0, -3.0])).sum().backward()
    optimizer.step()
    assert w.tolist() == pytest.approx([-0.1, 0.1], rel=1e-5)
    still = leaf(0.0, 0.0)
    optimizer = optim.LAMB([still], lr=0.1)
    (still * 0).sum().backward()
    optimizer.step()
    assert still.tolist() == [0, 0]


BADLY_SCALED = {
    "momentum": lambda p: optim.SGD(p, lr=0.0015, momentum=0.9),
    "Nesterov": lambda p: optim.SGD(p, lr=0.001, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.5),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "LAMB": lambda p: optim.LAMB(p, lr=0.1, weight_decay=0),
}


def lowest_on_a_valley(kind, steps=150):
    """The last loss on L = ½ (1000 a² + b²) from (1, 1): a valley 1,000 times steeper than long."""
    p = cr.tensor([1.0, 1.0], dtype=cr.float64, requires_grad=True)
    curvature = cr.tensor([1000.0, 1.0], dtype=cr.float64)
    optimizer = kind([p])
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (curvature * p * p).sum() / 2
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", BADLY_SCALED)
def test_f16_beats_plain_sgd_on_a_badly_scaled_quadratic(name):
    """golden.md F16. SGD gets the best of its rates: above 2 / 1000 it diverges."""
    rates = (0.0005, 0.001, 0.0015, 0.0019)
    plain = min(lowest_on_a_valley(lambda p, lr=lr: optim.SGD(p, lr=lr)) for lr in rates)
    assert lowest_on_a_valley(BADLY_SCALED[name]) < plain / 3
