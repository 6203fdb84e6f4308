"""Modules: trees, state, calls, errors."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import CheckpointError, IndexRangeError, ShapeError, UsageError
from chainrule.storage import recorder


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.features = nn.Sequential(nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.features(self.conv1(x)))


def test_tree():
    net = Net()
    names = ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert list(net.state_dict()) == names
    modules = [name for name, _ in net.named_modules()]
    assert modules == ["", "conv1", "features", "features.0", "features.1", "fc"]
    assert len(list(net.children())) == 3
    assert net.get_submodule("features.1") is net.features[1]


def test_shared_parameters_are_listed_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3


def test_scopes_and_names_in_the_graph():
    net = Net()
    text = str(cr.graph(net(cr.zeros(1, 1, 4, 4))))
    assert "conv1/Conv2d/conv1.weight" in text
    assert "features.0/ReLU" in text
    net = nn.Sequential(nn.Linear(2, 2))
    cr.graph(net(cr.zeros(1, 2)))
    assert net[0].weight.name == "0.weight"
    outer = nn.ModuleDict({"inner": net})
    outer.forward = lambda x: net(x)
    assert "inner.0.weight" in str(cr.graph(outer(cr.zeros(1, 2))))


def test_scope_and_depth_are_restored_after_an_error():
    net = Net()
    with pytest.raises(ShapeError, match=r"\[conv1/Conv2d\] got f32\[1,3,4,4\], needs C=1"):
        net(cr.zeros(1, 3, 4, 4))
    assert recorder().scope == "" and recorder().depth == 0
    assert net(cr.zeros(1, 1, 4, 4)).shape == (1, 3)


def test_evaluation_loop_computes_earlier_work():
    net = nn.Linear(2, 2)
    with cr.no_grad():
        first = net(cr.ones(1, 2))
        before = cr.stats().programs
        net(cr.ones(1, 2))
        assert cr.stats().programs == before + 1
    assert first.shape == (1, 2)


def test_train_eval_apply_and_freezing():
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))
    assert not net.eval()[0].training and net.train()[0].training
    seen = []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Dropout", "Linear", "Sequential"]
    net.requires_grad_(False)
    assert not net(cr.ones(1, 2)).requires_grad


def test_to_converts_floating_parameters_and_buffers():
    net = nn.BatchNorm1d(3).double()
    assert net.weight.dtype is cr.float64 and net.running_mean.dtype is cr.float64
    assert net.num_batches_tracked.dtype is cr.int64
    net(cr.ones(2, 3, dtype=cr.float64)).sum().backward()
    assert net.weight.grad.dtype is cr.float64


def test_copies_and_pickles():
    net = Net()
    x = cr.ones(1, 1, 4, 4)
    y = net(x).tolist()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x).tolist() == y
        assert "fc/Linear/fc.weight" in str(cr.graph(twin(x)))
        with cr.no_grad():
            twin.fc.bias.add_(1)
    assert net(x).tolist() == y


def test_repr():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == (
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n  (1): ReLU()\n)"
    )


def test_super_init_forgotten():
    class Forgot(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(2, 2)

    with pytest.raises(UsageError, match=r"Add super\(\)\.__init__\(\) as the first line of"):
        Forgot()


def test_layers_in_a_plain_list():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(UsageError, match=r"\[Hidden.layers\] got 1 layer .* nn.ModuleList"):
        list(Hidden().parameters())

    class Known(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.order = [self.fc]

    assert len(list(Known().parameters())) == 2


def test_load_state_dict_loads_all_or_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = net.state_dict()["0.weight"].tolist()
    state = {
        "0.weight": cr.ones(3, 2),
        "0.bias": cr.ones(4),
        "1.weights": cr.ones(1, 3),
        "1.bias": cr.ones(1),
    }
    with pytest.raises(CheckpointError) as error:
        net.load_state_dict(state)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("[load_state_dict] got 3 names that Sequential has otherwise")
    assert [line.split() for line in lines[1:]] == [
        ["reshaped", "0.bias", "f32[4],", "needs", "f32[3]"],
        ["missing", "1.weight", "f32[1,3]", "nearest", "1.weights"],
        ["unexpected", "1.weights", "nearest", "1.weight"],
    ]
    assert net.state_dict()["0.weight"].tolist() == before
    state["0.bias"] = cr.ones(3)
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["1.weight"] and result.unexpected_keys == ["1.weights"]
    assert net[0].weight.tolist() == [[1, 1]] * 3


def test_buffers():
    net = nn.Module()
    net.register_buffer("kept", cr.ones(2))
    net.register_buffer("passing", cr.ones(2), persistent=False)
    assert list(net.state_dict()) == ["kept"] and len(list(net.buffers())) == 2
    net.kept = cr.zeros(2)
    assert net.state_dict()["kept"].tolist() == [0, 0]


def test_wrong_assignments_are_errors():
    net = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"\[Linear.weight\] got Tensor, needs a Parameter"):
        net.weight = cr.ones(2, 2)
    with pytest.raises(UsageError, match="Is its constructor called"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(AttributeError):
        _ = net.weights


def test_hooks():
    net = nn.Linear(2, 2)
    seen = []
    handle = net.register_forward_hook(lambda m, args, y: seen.append(y.shape) or 2 * y)
    x = cr.ones(1, 2)
    doubled = net(x)
    handle.remove()
    assert doubled.tolist() == (2 * net(x)).tolist() and seen == [(1, 2)]
    signals = []
    net.register_full_backward_hook(lambda m, i, o: signals.append((i, o[0].tolist())))
    net(x).sum().backward()
    assert signals == [((None,), [[1, 1]])]


def test_containers():
    net = nn.ModuleList([nn.ReLU()])
    net.append(nn.Tanh()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Identity", "ReLU", "Tanh"]
    del net[0]
    assert list(net._modules) == ["0", "1"] and isinstance(net[-1], nn.Tanh)
    with pytest.raises(IndexRangeError):
        net[5]
    assert len(nn.Sequential(nn.ReLU(), nn.Tanh())[1:]) == 1
    rooms = nn.ModuleDict({"a": nn.ReLU()})
    assert "a" in rooms and list(rooms.keys()) == ["a"]
    rooms.pop("a")
    assert not len(rooms)


def test_memory_is_flat_without_the_collector():
    net = Net()
    x = cr.ones(2, 1, 4, 4)
    net(x).sum().backward()
    gc.collect()
    gc.disable()
    try:
        from chainrule.storage import Recorded

        alive = lambda: sum(type(o) is Recorded for o in gc.get_objects())  # noqa: E731
        counts = []
        for _ in range(4):
            net.zero_grad()
            net(x).sum().backward()
            cr.synchronize()
            counts.append(alive())
        assert counts[-1] <= counts[1]
    finally:
        gc.enable()


def test_view_read_without_gradients_first_keeps_its_history():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    v = (x * x)[0]
    with cr.no_grad():
        _ = v + 1
    v.backward()
    assert x.grad.tolist() == [2, 0]


def test_functions_of_layers_take_part():
    x = cr.ones(1, 2)
    assert F.relu(x).tolist() == nn.ReLU()(x).tolist()


def test_what_stands_at_a_path():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert net.get_parameter("0.weight") is net[0].weight
    assert net.get_buffer("1.running_mean") is net[1].running_mean
    assert net.get_submodule("") is net
    for ask, wrong, nearest in (
        (net.get_parameter, "0.weights", "0.weight"),
        (net.get_buffer, "1.running_men", "1.running_mean"),
        (net.get_submodule, "1.x", "1"),
    ):
        with pytest.raises(AttributeError, match=f"has no {wrong}; nearest {nearest}"):
            ask(wrong)


def test_a_wrong_attribute_has_a_nearest_name():
    with pytest.raises(AttributeError, match="Linear has no weigth; nearest weight"):
        _ = nn.Linear(2, 2).weigth


def test_assign_is_refused():
    net = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"got assign=True, needs assign=False\. An optimizer"):
        net.load_state_dict(net.state_dict(), assign=True)


def test_hooks_with_keywords_and_in_front():
    class Scaled(nn.Module):
        def forward(self, x, scale=1.0):
            return x * scale

    net, order = Scaled(), []
    net.register_forward_pre_hook(lambda m, args: order.append("second"))
    net.register_forward_pre_hook(
        lambda m, args, kwargs: order.append("first") or (args, {"scale": 3.0}),
        prepend=True,
        with_kwargs=True,
    )
    net.register_forward_hook(lambda m, args, y: order.append("last"))
    net.register_forward_hook(
        lambda m, args, kwargs, y: order.append(kwargs["scale"]), prepend=True, with_kwargs=True
    )
    assert net(cr.ones(1), scale=2.0).tolist() == [3]
    assert order == ["first", "second", 3.0, "last"]


def test_a_trained_module_is_copied_with_its_gradients():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net[0].register_forward_hook(lambda m, args, y: 2 * y)
    optimizer = cr.optim.Adam(net.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        (net(cr.randn(4, 2)) ** 2).sum().backward()
        optimizer.step()
    twin = copy.deepcopy(net)
    assert [p.grad.tolist() for p in twin.parameters()] == [
        p.grad.tolist() for p in net.parameters()
    ]
    assert all(p.is_leaf and p.requires_grad for p in twin.parameters())
    x = cr.randn(4, 2)
    assert twin(x).tolist() == net(x).tolist()  # the hook too
    twin.zero_grad()
    assert net[0].weight.grad is not None


def test_shared_parameters_stay_shared_in_copies():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin[0].weight is twin[1].weight
        assert twin[0].weight is not net[0].weight


def test_pickles_hold_values_and_flags():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double().eval()
    net[0].weight.requires_grad_(False)
    twin = pickle.loads(pickle.dumps(net))
    assert not twin.training and twin[0].weight.dtype is cr.float64
    assert [p.requires_grad for p in twin.parameters()] == [False, True, True, True]
    assert list(twin.state_dict()) == list(net.state_dict())
    x = pickle.loads(pickle.dumps(cr.arange(6).reshape(2, 3)[:, 1:]))
    assert x.tolist() == [[1, 2], [4, 5]] and x.dtype is cr.int64
