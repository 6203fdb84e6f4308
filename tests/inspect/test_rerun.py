"""A step run again: the recorded bits without a change, and what a change means."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import models, nn
from chainrule.inspect.element import Elements
from chainrule.inspect.rerun import NOTHING, Off, Seed, Write, rerun
from chainrule.tape import kept_step, tape_of
from chainrule.train import load, save

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


class Residual(nn.Module):
    """Skips, a batch norm, a weight that is read twice."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(k, 4, 3, padding=1) for k in (2, 4))
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        y = self.norm(self.conv1(x)).relu()
        y = (y + self.conv2(self.conv2(y))).relu()
        return self.fc(y.mean((2, 3)))


class Tokens(nn.Module):
    """Attention of one head over tokens, with a norm of layers."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.norm, self.out = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.norm(x)
        shares = (self.q(x) @ self.k(x).transpose(1, 2) / 6**0.5).softmax(-1)
        return self.out((x + shares @ self.v(x)).mean(1))


class Words(nn.Module):
    """Numbers of words, and a second input beside them."""

    def __init__(self):
        super().__init__()
        self.words, self.fc = nn.Embedding(9, 5), nn.Linear(5, 3)

    def forward(self, words, beside):
        return self.fc(self.words(words).mean(1) * beside)


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(8, 7), nn.BatchNorm1d(7), nn.GELU(), nn.Dropout(0.4),
        nn.Linear(7, 3),
    )  # fmt: skip


MODELS = {
    "lenet": (lambda: models.build("lenet5"), lambda n: [normal(n, 1, 28, 28)]),
    "mlp": (mlp, lambda n: [normal(n, 2, 4)]),
    "residual": (Residual, lambda n: [normal(n, 2, 5, 5)]),
    "tokens": (Tokens, lambda n: [normal(n, 4, 6)]),
    "words": (Words, lambda n: [RNG.integers(0, 9, (n, 4)), normal(n, 5)]),
}


def recorded(name, mode, tmp_path, n=6):
    """(tape of a file, model, inputs, targets)"""
    cr.manual_seed(1)
    make, inputs_of = MODELS[name]
    model, inputs, targets = make(), inputs_of(n), np.arange(n) % 3
    getattr(model, mode)()
    with cr.record() as tape:
        F.cross_entropy(model(*map(cr.tensor, inputs)), cr.tensor(targets)).backward()
    save(kept_step(tape, n, n), tmp_path / "step.safetensors")
    return tape_of(load(tmp_path / "step.safetensors")), model, inputs, targets


def bits(tape, node):
    """Of a value, its error signal and the addends of it."""
    step = tape._step
    bars = [step.bars[node], *step.addends[node]] if node in step.bars else []
    return [step.holds[node].node.result().tobytes(), *(bar.numpy().tobytes() for bar in bars)]


def different(tape, again):
    """The numbers of the nodes that have other bits; signals that nobody had are no difference."""
    pairs = list(zip(tape._step.order, again._step.order, strict=False))
    return [
        k
        for k, (old, new) in enumerate(pairs)
        if bits(tape, old) != bits(again, new)[: len(bits(tape, old))]
    ]


def leaf_of(tape, op, shape=None):
    """The number of the first leaf of an op."""
    return next(
        k
        for k, node in enumerate(tape._step.order)
        if node.op.name == op and (shape is None or node.shape == shape)
    )


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", MODELS)
def test_without_a_change_all_bits_are_the_recorded_ones(name, mode, tmp_path):
    tape, *_ = recorded(name, mode, tmp_path)
    again = rerun(tape, batch=6)
    assert different(tape, again) == []
    assert len(again._step.bars) >= len(tape._step.bars)
    assert again.names() == tape.names()


def test_one_bit_of_the_record_is_found(tmp_path):
    tape, *_ = recorded("lenet", "eval", tmp_path)
    node = tape["conv2"].node
    array = tape._step.holds[node].node.value.copy()
    array.view(np.int32).reshape(-1)[17] ^= 1
    tape._step.holds[node].node.value = array
    again = rerun(tape, batch=6)
    assert different(tape, again) == [tape._step.order.index(node)]


def test_a_row_of_the_input_is_another_one(tmp_path):
    tape, model, inputs, targets = recorded("lenet", "eval", tmp_path)
    row = normal(1, 28, 28)
    again = rerun(tape, [Write(leaf_of(tape, "data"), (2,), row)], batch=6)
    before = inputs[0][2].copy()
    inputs[0][2] = row
    with cr.record() as wanted:
        F.cross_entropy(model(cr.tensor(inputs[0])), cr.tensor(targets)).backward()
    for name in ("conv1", "fc3", "conv2.weight"):
        assert again[name].value.numpy().tobytes() == wanted[name].value.numpy().tobytes()
        assert again[name].bar.numpy().tobytes() == wanted[name].bar.numpy().tobytes()
    undone = rerun(again, [Write(leaf_of(tape, "data"), (2,), before)], batch=6)
    assert different(tape, undone) == []


def test_a_nudge_and_its_undoing(tmp_path):
    tape, model, inputs, _ = recorded("mlp", "eval", tmp_path)
    weight = leaf_of(tape, "parameter", (7, 8))
    before = tape._step.holds[tape._step.order[weight]].node.result()[3, 4]
    again = rerun(tape, [Write(weight, (3, 4), np.float32(2.5))], batch=6)
    with cr.no_grad():
        model[1].weight[3, 4] = 2.5
    wanted = model(cr.tensor(inputs[0])).detach().numpy()
    assert again["5"].value.numpy().tobytes() == wanted.tobytes()
    assert again["5"].value.tolist() != tape["5"].value.tolist()
    assert different(tape, rerun(again, [Write(weight, (3, 4), before)], batch=6)) == []


def test_a_map_that_is_off(tmp_path):
    tape, model, inputs, targets = recorded("lenet", "eval", tmp_path)
    number = tape._step.order.index(tape["conv1"].node)
    again = rerun(tape, offs=[Off(number, (3,))], batch=6)

    def off(module, given, output):
        return output * cr.tensor(np.float32([1, 1, 1, 0, 1, 1]).reshape(1, 6, 1, 1))

    model.conv1.register_forward_hook(off)
    with cr.record() as wanted:
        F.cross_entropy(model(cr.tensor(inputs[0])), cr.tensor(targets)).backward()
    assert (again["conv1"].value.numpy()[:, 3] == 0).all()
    assert (again["conv1"].value.numpy()[:, 2] == tape["conv1"].value.numpy()[:, 2]).all()
    np.testing.assert_array_equal(again["fc3"].value.numpy(), wanted["fc3"].value.numpy())
    for name in ("conv1.weight", "fc1.weight"):
        np.testing.assert_array_equal(again[name].bar.numpy(), wanted[name].bar.numpy())
    order = tape._step.order
    assert [n.op.name for n in again._step.order[:number]] == [n.op.name for n in order[:number]]
    assert len(again._step.order) == len(order) + 5
    elements = Elements(again, 6)
    kept, gone = (
        elements.at(number, "value", (1, 2, 4, 4)),
        elements.at(number, "value", (1, 3, 4, 4)),
    )
    assert kept.links[0].node == len(order) and gone.value == 0
    assert elements.at(len(order), "bar", (1, 3, 4, 4)).value == 0


def test_two_maps_of_a_node_and_a_unit(tmp_path):
    tape, *_ = recorded("lenet", "eval", tmp_path)
    conv, fc = (tape._step.order.index(tape[name].node) for name in ("conv2", "fc1"))
    again = rerun(tape, offs=[Off(conv, (1,)), Off(conv, (5,)), Off(fc, (7,))], batch=6)
    maps = again["conv2"].value.numpy()
    assert np.flatnonzero((maps == 0).all((0, 2, 3))).tolist() == [1, 5]
    assert (again["fc1"].value.numpy()[:, 7] == 0).all()
    assert (again["fc3.bias"].bar.numpy() != tape["fc3.bias"].bar.numpy()).any()


@pytest.mark.parametrize("name", ["lenet", "residual", "tokens"])
@pytest.mark.parametrize("target", [0, 2])
def test_the_loss_of_one_sample_alone(name, target, tmp_path):
    tape, model, inputs, _ = recorded(name, "eval", tmp_path)
    labels = next(
        k for k, n in enumerate(tape._step.order) if n.op.name == "data" and n.type == "i64[6]"
    )
    change = Write(labels, (4,), np.array(target))
    again = rerun(tape, [change], seed=Seed(sample=4), batch=6)
    model.zero_grad()
    x = cr.tensor(inputs[0][4:5], requires_grad=True)
    F.cross_entropy(model(x), cr.tensor([target])).backward()
    data = again._step.bars[again._step.order[leaf_of(tape, "data")]].numpy()
    np.testing.assert_allclose(data[4:5], x.grad.numpy(), rtol=2e-4, atol=1e-7)
    assert not np.delete(data, 4, axis=0).any()
    for path, p in model.named_parameters():
        mine = again[path].bar.numpy()
        np.testing.assert_allclose(mine, p.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_a_sum_is_not_divided(tmp_path):
    cr.manual_seed(0)
    model, x = nn.Linear(3, 2), normal(4, 3)
    with cr.record() as tape:
        F.mse_loss(model(cr.tensor(x)), cr.tensor(normal(4, 2)), reduction="sum").backward()
    again = rerun(tape, seed=Seed(sample=1), batch=4)
    name = next(name for name in tape.names() if "Linear" in name)
    np.testing.assert_array_equal(again[name].bar.numpy()[1], tape[name].bar.numpy()[1])


def test_a_score_and_any_element(tmp_path):
    tape, model, inputs, _ = recorded("tokens", "eval", tmp_path)
    scores = tape._step.order.index(tape["out"].node)
    again = rerun(tape, seed=Seed(scores, (3, 1)), batch=6)
    x = cr.tensor(inputs[0], requires_grad=True)
    model(x)[3, 1].backward()
    data = again._step.bars[again._step.order[leaf_of(tape, "data")]].numpy()
    np.testing.assert_allclose(data, x.grad.numpy(), rtol=1e-4, atol=1e-7)
    seed = Elements(again, 6).at(scores, "bar", (3, 1))
    assert seed.value == 1 and seed.leaf == "the seed of the backward pass"
    assert tape._step.losses[0] not in again._step.bars


def test_each_signal_says_how_it_came_about_after_an_edit(tmp_path):
    """Elements of an edited step, evaluated in float64, are what the program computed."""
    tape, *_ = recorded("residual", "eval", tmp_path)
    conv = tape._step.order.index(tape["conv1"].node)
    again = rerun(tape, offs=[Off(conv, (1,))], seed=Seed(sample=2), batch=6)
    elements, rng = Elements(again, 6), np.random.default_rng(0)
    for number, node in enumerate(again._step.order):
        for kind in ("value", "bar") if node in again._step.bars else ("value",):
            if node.dtype.is_floating_point:
                index = tuple(int(rng.integers(size)) for size in node.shape)
                found = elements.at(number, kind, index)
                assert abs(found.roundoff or 0) <= 1e-5 * max(1, abs(float(found.value))), node
                assert found.note == ""


def test_no_backward(tmp_path):
    tape, *_ = recorded("lenet", "eval", tmp_path)
    again = rerun(tape, seed=NOTHING, batch=6)
    assert again._step.bars == {} and again["fc3"].value.tolist() == tape["fc3"].value.tolist()


def test_what_can_t_be_run_again(tmp_path):
    tape, *_ = recorded("lenet", "eval", tmp_path)
    cut = tape_of(kept_step(tape, 6, 4))
    with pytest.raises(cr.UsageError, match="4 of its 6 samples were kept, and the program needs"):
        rerun(cut, batch=6)
    some = tape_of(kept_step(tape, 6, 6) | {"values": {}})
    with pytest.raises(cr.UsageError, match="was not kept: it is too large, or not among"):
        rerun(some, batch=6)


def test_a_foreign_op_and_several_backward_passes():
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, y_bar):
            return y_bar * 2

    x = cr.ones(3, requires_grad=True)
    with cr.record() as tape:
        Twice.apply(x).sum().backward()
    with pytest.raises(cr.UsageError, match="Twice is an op of the program's own"):
        rerun(tape)
    with cr.record() as tape:
        y = x * 2
        y.sum().backward()
        (x * 3).sum().backward()
    with pytest.raises(cr.UsageError, match="2 backward passes have met in it"):
        rerun(tape)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"writes": [Write(6, (0,), np.float32(0))]}, "needs data or a parameter"),
        ({"writes": [Write(0, (9, 0), np.float32(0))]}, r"place \(9, 0\) of f32\[6,1,28,28\]"),
        ({"offs": [Off(6, (6,))]}, r"got \[:, 6\], needs a place in \[6, 28, 28\]"),
        ({"offs": [Off(0, (0,))]}, "needs a number that the program computes"),
        ({"seed": Seed(40, (1, 10))}, r"index \(1, 10\) of f32\[6,10\]"),
        ({"seed": Seed(42, (1,))}, "needs one that depends on a parameter or the input"),
        ({"seed": Seed(sample=6)}, "the loss of sample 6, needs 0 to 5"),
        ({"writes": [Write(42, (0,), np.array(10))]}, "10"),
    ],
)
def test_changes_that_have_no_place(change, says, tmp_path):
    tape, *_ = recorded("lenet", "eval", tmp_path)
    with pytest.raises(cr.errors.ChainruleError, match=says):
        rerun(tape, batch=6, **change)
