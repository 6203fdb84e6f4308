"""Lists and dicts of modules and parameters."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import IndexRangeError


def test_equal_neighbours_of_a_module_list_are_one_line():
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Sequential(nn.ReLU())])
    assert repr(net) == (
        "ModuleList(\n  (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)\n"
        "  (2): Sequential(\n    (0): ReLU()\n  )\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_adding_and_taking_out():
    two = nn.Sequential(nn.ReLU(), nn.Tanh())
    both = two + nn.Sequential(nn.Identity())
    assert [type(m).__name__ for m in both] == ["ReLU", "Tanh", "Identity"] and len(two) == 2
    assert isinstance(both.pop(1), nn.Tanh) and len(both) == 2
    assert len(nn.ModuleList([nn.ReLU()]) + nn.ModuleList([nn.Tanh()])) == 2
    rooms = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    rooms.clear()
    assert len(rooms) == 0


def test_parameter_list():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gains = nn.ParameterList([cr.ones(2), nn.Parameter(cr.zeros(2, 3))])

    net = Net()
    assert list(net.state_dict()) == ["gains.0", "gains.1"]
    net.gains[0] = cr.full((2,), 5.0)
    assert [p.requires_grad for p in net.parameters()] == [True, True]
    assert net.gains[-2].tolist() == [5, 5] and len(net.gains[1:]) == 1
    assert "(1): Parameter containing: [chainrule.float32 of size 2x3]" in repr(net)
    with pytest.raises(IndexRangeError):
        net.gains[2]


def test_parameter_dict():
    found = nn.ParameterDict({"a": cr.ones(2)})
    found["b"] = cr.zeros(3)
    assert list(found) == ["a", "b"] and "b" in found and len(found) == 2
    del found["a"]
    assert [name for name, _ in found.named_parameters()] == ["b"]
