"""Layouts of any graph: boxes apart, edges downwards and beside the boxes, the same every time."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.inspect.draw.layout import layout


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    sizes = draw(
        st.lists(
            st.tuples(st.integers(20, 200), st.integers(15, 90)), min_size=count, max_size=count
        )
    )
    ends = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=30))
    return sizes, list(dict.fromkeys((a, b) for a, b in pairs if a < b))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_graph(graph):
    sizes, edges = graph
    found = layout(sizes, edges)
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(found.places, sizes, strict=True)
    ]
    for a, b in combinations(boxes, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for (source, target), route in zip(edges, found.routes, strict=True):
        assert found.layers[source] < found.layers[target]
        assert boxes[source][0] < route[0][0] < boxes[source][2]
        assert boxes[target][0] < route[-1][0] < boxes[target][2]
        assert all(upper[1] <= lower[1] for upper, lower in pairwise(route))
        for (x0, y0), (x1, y1) in pairwise(route):
            for k, (left, top, right, bottom) in enumerate(boxes):
                if k in (source, target) or y1 <= top or y0 >= bottom:
                    continue  # the edge is in the gap between two layers
                assert x0 == x1 and not left < x0 < right
    assert layout(sizes, edges) == found


def test_nothing():
    assert layout([], []).places == []
