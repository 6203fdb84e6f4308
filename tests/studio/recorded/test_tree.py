"""Steps as trees of modules: one group for each call, no level too long, the same in each run."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.studio.recorded.tree import HANGING, MOST, tree

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


class Shared(nn.Module):
    """Two inputs, a layer that is called twice, a branch of its own ops."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.act = nn.Tanh()
        self.last = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    def forward(self, a, b):
        return self.last(self.act(self.first(a)) + self.first(b))


class Loop(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps, self.cell = steps, nn.Linear(3, 3)

    def forward(self, x):
        for _ in range(self.steps):
            x = cr.tanh(self.cell(x))
        return x


def found(make):
    """The tree of what make() computes a loss from, its nodes, and the tape."""
    cr.manual_seed(0)
    with cr.record() as tape:
        make().backward()
    kept = tape._step
    number = {node: k for k, node in enumerate(kept.order)}
    calls = [(call.root, call.path, number[call.twin], call.run) for call in kept.calls]
    return tree(kept.order, calls, [number[loss] for loss in kept.losses]), kept.order


def keys(made):
    return [group.key for group in made.groups]


def inside(made, key):
    """Names or ops of the nodes that stand in a group."""
    group = keys(made).index(key)
    return [node for node, parent in enumerate(made.parents) if parent == group]


def test_each_call_is_a_group_and_a_module_called_twice_is_two():
    net = Shared()
    made, order = found(lambda: net(cr.tensor(X), cr.tensor(X)).sum())
    assert keys(made) == ["", "Shared", "first:1", "first:2", "last", "last.0"]
    assert [group.call for group in made.groups] == [None, None, (1, 2), (2, 2), None, None]
    assert made.groups[5].kind == "Linear" and made.groups[5].parent == 4
    ops = [order[node].op.name for node in inside(made, "first:1")]
    assert sorted(ops) == ["add", "expand", "matmul", "permute", "reshape"]
    assert [order[node].op.name for node in inside(made, "Shared")] == ["tanh", "add"]


def test_one_node_alone_has_the_name_of_its_call():
    net = Shared()
    made, order = found(lambda: net(cr.tensor(X), cr.tensor(X)).sum())
    assert {order[node].op.name: name for node, name in made.names.items()} == {
        "tanh": "act",
        "relu": "1",
    }


def test_running_means_hang_where_they_are_read_and_samples_stand_outside():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with cr.record() as tape:
        net(cr.tensor(X)).sum().backward()
    kept = tape._step
    calls = [(call.root, call.path, kept.order.index(call.twin), call.run) for call in kept.calls]
    data = [k for k, node in enumerate(kept.order) if node.op.name == "data"]
    made = tree(kept.order, calls, samples={data[0]})
    assert len(data) > 2
    assert [made.parents[k] for k in data] == [0] + [HANGING] * (len(data) - 1)
    assert {tree(kept.order, calls).parents[k] for k in data} == {0}


def test_leaves_hang_at_readers_and_data_stand_outside():
    net = Shared()
    made, order = found(lambda: net(cr.tensor(X), cr.tensor(X)).sum())
    for node, parent in zip(order, made.parents, strict=True):
        if node.op.name in ("parameter", "number"):
            assert parent == HANGING
        if node.op.name == "data":
            assert parent == 0
    group = made.groups[keys(made).index("first:2")]
    assert group.out is not None and order[group.out].op.name == "add"


def test_what_leads_nowhere_is_apart():
    def make():
        nn.Linear(3, 3)  # its first weights are drawn, and never used
        net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        return net(cr.tensor(X)).sum() + 0.1 * (net[0].weight ** 2).sum()

    made, order = found(make)
    apart = inside(made, "apart") if "apart" in keys(made) else []
    assert all("random" in order[k].op.name or order[k].scope == "" for k in apart)
    named = {order[k].op.name for k in inside(made, "")}
    assert {"data", "square", "sum", "mul", "add"} <= named  # the penalty is part of the loss


@pytest.mark.parametrize("steps", [3, 100, 1500])
def test_no_level_is_long_and_equal_parts_are_equal(steps):
    made, _ = found(lambda: Loop(steps)(cr.tensor(X)).sum())
    members = [0] * len(made.groups)
    for parent in made.parents:
        if parent >= 0:
            members[parent] += 1
    for k, group in enumerate(made.groups[1:], 1):
        assert group.parent < k  # each after its parent
        members[group.parent] += 1
    assert max(members) <= MOST
    parts = [k for k, group in enumerate(made.groups) if group.more]
    assert bool(parts) == (steps > 30)
    for k in parts:
        assert made.groups[k].name == f"+ {members[k]} more" or members[k] < made.groups[k].more
    sizes = [made.groups[k].more for k in parts if made.groups[k].parent == 1]
    assert len(set(sizes[:-1])) <= 1 and all(size % 2 == 0 for size in sizes[:-1])
    assert len(set(keys(made))) == len(made.groups)


def test_a_model_of_one_node_and_a_step_without_a_model():
    made, order = found(lambda: nn.Sequential(nn.Tanh())(cr.tensor(X, requires_grad=True)).sum())
    assert keys(made) == [""] and set(made.names.values()) == {"0"}
    made, order = found(lambda: (cr.tensor(X, requires_grad=True) * 2).sum())
    assert keys(made) == [""] and len(made.parents) == len(order)
