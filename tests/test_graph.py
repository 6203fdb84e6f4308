"""The graph: order, printing, copying, checking."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph, Node, topological_order, type_text
from chainrule.ops import elementwise


def test_order_puts_each_node_after_its_inputs():
    a = cr.ones(2)
    b = a + a
    c = b + a
    order = topological_order([c._node, b._node])
    assert [node.op.name for node in order] == ["data", "add", "add"]
    assert order[-1] is c._node


def test_the_printed_graph():
    x = cr.ones(2, 3)
    y = (x @ cr.zeros(3, 1)).relu()
    y.name = None
    lines = str(cr.graph(y)).split("\n")
    assert [line.split()[:3] for line in lines[:-1]] == [
        ["%0", "f32[2,3]", "data"],
        ["%1", "f32[3,1]", "data"],
        ["%2", "f32[2,1]", "matmul(%0,"],
        ["%3", "f32[2,1]", "relu(%2)"],
    ]
    assert lines[-1] == "return y = %3" and "test_graph.py:" in lines[0]
    assert "&lt;" not in cr.graph(y)._repr_html_() and "<pre>" in cr.graph(y)._repr_html_()
    assert repr(cr.graph(y)) == "<Graph of 4 nodes -> y>"


def test_several_outputs_and_names():
    x = cr.ones(2)
    x.name = "x"
    a, b = x * 2, x + 1
    graph = cr.graph(a, b)
    assert list(graph.outputs) == ["y0", "y1"] and len(graph) == 5
    assert "x" in str(graph) and len(graph.leaves) == 3


def test_a_copy_shares_nothing_that_changes():
    y = (cr.ones(2) * 3).exp()
    graph = cr.graph(y)
    twin = graph.copy().verify()
    assert str(twin) == str(graph)
    assert not set(twin) & set(graph)
    y.numpy()
    assert len(twin) == 4
    assert len(cr.graph(y)) == 1  # computed, and its inputs let go


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3,), cr.float32), ((2,), cr.float64), ((), cr.float32)]
)
def test_verify_finds_a_wrong_type(shape, dtype):
    x = cr.ones(2)._node
    wrong = Node(elementwise.exp, (x,), {}, shape, dtype)
    with pytest.raises(cr.GraphError, match=r"%1 exp got .*, needs f32\[2\]"):
        Graph({"y": wrong}).verify()


def test_verify_finds_a_wrong_order():
    graph = cr.graph(cr.ones(2).exp())
    graph.nodes.reverse()
    with pytest.raises(cr.GraphError, match="before its input"):
        graph.verify()


def test_types_and_places():
    node = cr.zeros(4, 1)._node
    assert node.type == "f32[4,1]" == type_text((4, 1), cr.float32)
    assert node.where.startswith("test_graph.py:")
    assert repr(node) == "<Node data f32[4,1]>"
    assert Node(elementwise.exp, (), {}, (), cr.float32).where == ""


def test_long_metadata_is_shortened():
    y = cr.ones(1, 1).reshape((1,) * 30)
    assert "..." in str(cr.graph(y)) and np.asarray(y).ndim == 30
