"""Summaries from shapes alone: the table, its totals, and that looking changes nothing."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.errors import ShapeError, UsageError
from chainrule.inspect.summary import summary
from chainrule.nn import functional as F


class Net(nn.Module):
    """A layer used twice, one that is never called, a list, a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.aux = nn.Sequential(nn.Linear(9, 9))
        self.rows = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.w = nn.Parameter(cr.zeros(4, 2))

    def forward(self, x):
        x = self.body(self.fc(F.relu(self.fc(x))))
        return self.rows[0](x) @ self.w


def rows_of(model, *sizes):
    return {
        (row.label, row.depth): row for row in summary(model, *sizes).rows
    }  # the last call of each


def test_lenet():
    table = models.lenet5().summary()
    assert (table.parameters, table.multiply_adds) == (61_706, 416_520)
    assert table.parameter_bytes == 4 * 61_706
    sizes = [6 * 28 * 28] * 2 + [6 * 14 * 14] + [1600] * 2 + [400, 120, 120, 84, 84, 10]
    assert table.activation_bytes == 4 * sum(sizes)
    fields = [(row.label, row.receptive_field, row.jump) for row in table.rows]
    assert fields[0] == ("conv1/Conv2d", [5, 5], [1, 1])
    assert fields[2] == ("max_pool2d", [6, 6], [2, 2])
    assert fields[3] == ("conv2/Conv2d", [14, 14], [2, 2])
    assert fields[5] == ("max_pool2d", [16, 16], [4, 4])
    assert fields[6] == ("fc1/Linear", [32, 32], None)


def test_a_tree_with_reuse_and_a_module_that_is_not_called():
    table = summary(Net(), (4,))
    assert (
        str(table)
        == """\
layer              output      parameters  multiply-adds
input              [N,4]
Net                [N,2]                8              8
  fc/Linear        [N,4]               20             16
  relu             [N,4]                0              0
  fc/Linear        [N,4]             (20)             16
  body/Sequential  [N,4]                0              0
    body.0/Linear  [N,4]               20             16
    body.1/ReLU    [N,4]                0              0
  rows.0/Linear    [N,4]               20             16
  aux/Sequential   not called          90
  rows.1/Linear    not called          20
total                                 178             72

parameters   712 bytes
activations  104 bytes for one sample
(in brackets: counted above)"""
    )
    assert sum(row.counted for row in table.rows) == table.parameters


def test_json_has_no_batch_axis():
    found = json.loads(json.dumps(summary(models.lenet5()).to_json()))
    assert found["input"] == [1, 28, 28] and found["layers"][0]["output"] == [6, 28, 28]
    assert found["total"]["parameters"] == 61_706


def test_weights_that_two_layers_share_are_counted_once():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    table = summary(net)
    assert table.parameters == 9 and [row.counted for row in table.rows] == [9, 0]
    assert "(9)" in str(table)


def test_frozen_parameters():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    assert (summary(net).parameters, summary(net).trainable) == (16, 4)
    assert "12 of them frozen" in str(summary(net))


BIG = """
import resource, time
import chainrule as cr
from chainrule import nn
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.process_time()
table = nn.Linear(40_000, 400_000).summary()
print(table.parameters, table.multiply_adds, time.process_time() - begun < 1,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_sixteen_billion_weights_take_neither_time_nor_memory():
    assert resource
    done = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True)
    assert done.stdout.split() == ["16000400000", "16000000000", "True", "True"], done.stderr


def test_nothing_changes():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    called = []
    net[0].register_forward_hook(lambda *args: called.append(args))
    values = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    state, executed = cr.get_state(), cr.stats().executed
    waiting = cr.ones(3) + 1
    with cr.record() as tape:
        net.summary()
        assert cr.get_state() == state and cr.stats().executed == executed
    assert not list(tape)
    assert not called and all(part.training for part in net.modules())
    assert waiting.tolist() == [2, 2, 2]
    net(cr.zeros(2, 4))
    assert called
    for name, value in net.state_dict().items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_array_equal(value.numpy(), values[name])


def test_sizes_that_the_first_input_tells_stay_open():
    net = nn.Sequential(nn.Linear(None, 5), nn.ReLU(), nn.Linear(5, 2))
    assert net.summary((7,)).parameters == 40 + 12
    assert net[0].in_features is None
    assert net.summary((3,)).parameters == 20 + 12


def test_several_inputs_examples_and_a_batch_axis_of_ones_own():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.fc = nn.Embedding(10, 3), nn.Linear(3, 2)

        def forward(self, words, x):
            return self.fc(self.embedding(words) + x)

    table = summary(Two(), [cr.zeros(5, dtype=cr.int64), (5, 3)], batch_size=None)
    assert table.input == [[5], [5, 3]] and table.rows[-1].output == [5, 2]
    assert "[5,2]" in str(table) and "input 2" in str(table)
    table = nn.Linear(3, 2).summary((64, 3), batch_size=None)
    assert (table.rows[0].output, table.multiply_adds) == ([64, 2], 64 * 6)


def test_results_in_dicts_and_pairs():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 1)

        def forward(self, x):
            return {"a": self.a(x), "both": (self.b(x), None)}

    assert summary(Heads(), (3,)).multiply_adds == 9


def test_layers_in_the_same_place_of_the_tree_as_in_the_errors():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(x)

    with pytest.raises(ShapeError, match=r"\[fc/Linear\] got f32\[1,4\]"):
        summary(Wrong(), (4,))


def test_wrong_use():
    with pytest.raises(UsageError, match=r"\[Conv2d\] got no input_size, needs the sizes of"):
        nn.Conv2d(1, 1, 3).summary()

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(UsageError, match="ModuleList"):
        summary(Hidden(), (2,))
