"""A layered layout of a graph, top to bottom: layers, order, places, and ways for the edges.

1. Layers: a node stands below all its inputs (longest path); one without inputs right above its
   first reader, so that edges are short.
2. An edge over several layers gets a small place in each, so that it passes beside the nodes.
3. Order: nodes of a layer are sorted by the mean place of their neighbours, down and up again; the
   order with the fewest crossings is kept (Sugiyama, Tagawa and Toda 1981).
4. Places: as near to the neighbours' mean as the distances in the layer allow, which is an
   isotonic regression (pool adjacent violators).

Everything is decided by numbers and, where they tie, by the order given: the same graph gives the
same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Layout", "layout"]

GAP_X, GAP_Y = 22.0, 34.0
PASSAGE = 14.0  # the width of an edge that passes a layer
SWEEPS = 12
LIGHT = 0.01  # the weight of a leaf: it makes room for what is computed


@dataclass
class Layout:
    """Centres of the nodes, and for each edge its points from the source to the target."""

    places: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    layers: list[int]


@dataclass
class _Cell:
    """A node in its layer, or the passage of an edge."""

    width: float
    node: int | None = None
    x: float = 0.0
    above: list[_Cell] = field(default_factory=list)
    below: list[_Cell] = field(default_factory=list)


def layout(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], gap_y: float = GAP_Y
) -> Layout:
    """Places for nodes of these (width, height) and edges (source, target).

    Every edge leads from a node to a later one in the list.

    >>> found = layout([(40, 20), (40, 20), (40, 20)], [(0, 2), (1, 2)])
    >>> found.layers, found.places[2][0] == (found.places[0][0] + found.places[1][0]) / 2
    ([0, 0, 1], True)
    """
    if not sizes:
        return Layout([], [], [])
    layers = _layers(len(sizes), edges)
    rows, chains = _cells(sizes, edges, layers)
    rows = _ordered(rows)
    _place(rows)
    heights = [
        max((sizes[cell.node][1] for cell in row if cell.node is not None), default=0.0)
        for row in rows
    ]
    tops = [sum(heights[:k]) + k * gap_y for k in range(len(rows))]
    at = {cell.node: cell for row in rows for cell in row if cell.node is not None}
    places = [(at[k].x, tops[layers[k]] + heights[layers[k]] / 2) for k in range(len(sizes))]
    ports = _ports(sizes, edges, chains, at)
    routes = []
    for number, (source, target) in enumerate(edges):
        points = [(ports[number][0], places[source][1] + sizes[source][1] / 2)]
        bottom = tops[layers[source]] + heights[layers[source]]
        points.append((points[0][0], bottom))
        for depth, cell in enumerate(chains[number], layers[source] + 1):
            points += [(cell.x, tops[depth]), (cell.x, tops[depth] + heights[depth])]
        points.append((ports[number][1], tops[layers[target]]))
        points.append((points[-1][0], places[target][1] - sizes[target][1] / 2))
        routes.append([p for k, p in enumerate(points) if k == 0 or not _same(p, points[k - 1])])
    return Layout(places, routes, layers)


def _same(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return abs(a[0] - b[0]) + abs(a[1] - b[1]) < 0.5


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    layers, fed = [0] * count, [False] * count
    for source, target in sorted(edges):
        layers[target] = max(layers[target], layers[source] + 1)
        fed[target] = True
    for node in reversed(range(count)):
        readers = [layers[target] for source, target in edges if source == node]
        if readers and not fed[node]:
            layers[node] = min(readers) - 1
    return layers


def _cells(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], layers: list[int]
) -> tuple[list[list[_Cell]], list[list[_Cell]]]:
    """The rows of cells, and for each edge the passages between its ends."""
    rows: list[list[_Cell]] = [[] for _ in range(max(layers) + 1)]
    nodes = [_Cell(size[0], k) for k, size in enumerate(sizes)]
    for cell, layer in zip(nodes, layers, strict=True):
        rows[layer].append(cell)
    chains = []
    for source, target in edges:
        chain = [_Cell(PASSAGE) for _ in range(layers[target] - layers[source] - 1)]
        for depth, cell in enumerate(chain, layers[source] + 1):
            rows[depth].append(cell)
        way = [nodes[source], *chain, nodes[target]]
        for upper, lower in pairwise(way):
            upper.below.append(lower)
            lower.above.append(upper)
        chains.append(chain)
    return rows, chains


def _ordered(rows: list[list[_Cell]]) -> list[list[_Cell]]:
    best, fewest = rows, _crossings(rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        rows = [row[:] for row in rows]
        down = sweep % 2 == 0
        for depth in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            before = {id(cell): k for k, cell in enumerate(rows[depth - 1 if down else depth + 1])}
            means = {}
            for place, cell in enumerate(rows[depth]):
                near = [before[id(other)] for other in (cell.above if down else cell.below)]
                means[id(cell)] = sum(near) / len(near) if near else place
            rows[depth].sort(key=lambda cell: means[id(cell)])
        found = _crossings(rows)
        if found < fewest:
            best, fewest = rows, found
    return best


def _crossings(rows: list[list[_Cell]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {id(cell): k for k, cell in enumerate(lower)}
        ends = [place[id(other)] for cell in upper
                for other in sorted(cell.below, key=lambda c: place[id(c)])]  # fmt: skip
        total += sum(a > b for k, b in enumerate(ends) for a in ends[:k])
    return total


def _place(rows: list[list[_Cell]]) -> None:
    for row in rows:
        x = 0.0
        for cell in row:
            cell.x = x + cell.width / 2
            x += cell.width + GAP_X
        for cell in row:
            cell.x -= (x - GAP_X) / 2
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = []
            for cell in row:
                near = _pulling(cell) if down else cell.below
                near = near if sweep < 2 * SWEEPS - 2 else [*_pulling(cell), *cell.below]
                xs = [other.x for other in near]
                wanted.append(sum(xs) / len(xs) if xs else cell.x)
            for cell, x in zip(row, _spread(row, wanted), strict=True):
                cell.x = x


def _pulling(cell: _Cell) -> list[_Cell]:
    """Inputs that a node stands below: not the leaves, so that a chain runs straight down."""
    return [other for other in cell.above if other.above] or cell.above


def _spread(row: list[_Cell], wanted: list[float]) -> list[float]:
    """The places nearest to the wanted ones that keep the order and the distances."""
    offsets, x = [], 0.0
    for k, cell in enumerate(row):
        x += (row[k - 1].width + cell.width) / 2 + GAP_X if k else 0.0
        offsets.append(x)
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, cells
    for cell, place, offset in zip(row, wanted, offsets, strict=True):
        weight = LIGHT if cell.node is not None and not cell.above else 1.0
        blocks.append(((place - offset) * weight, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, weight, count = blocks.pop()
            below = blocks.pop()
            blocks.append((total + below[0], weight + below[1], count + below[2]))
    level = [total / weight for total, weight, count in blocks for _ in range(count)]
    return [base + offset for base, offset in zip(level, offsets, strict=True)]


def _ports(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    chains: list[list[_Cell]],
    at: dict[int, _Cell],
) -> list[tuple[float, float]]:
    """Where each edge leaves and arrives: side by side, in the order of what they lead to."""
    ports = [[at[source].x, at[target].x] for source, target in edges]
    for end in (0, 1):
        groups: dict[int, list[tuple[float, int]]] = {}
        for number, edge in enumerate(edges):
            way = [at[edge[0]], *chains[number], at[edge[1]]]
            other = way[1] if end == 0 else way[-2]
            groups.setdefault(edge[end], []).append((other.x, number))
        for node, members in groups.items():
            step = min(12.0, sizes[node][0] / (len(members) + 1))
            for k, (_, number) in enumerate(sorted(members)):
                ports[number][end] += (k - (len(members) - 1) / 2) * step
    return [(a, b) for a, b in ports]
