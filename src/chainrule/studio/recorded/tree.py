"""A recorded step as a tree of modules: what a drawing of the graph opens and closes.

A **group** is one call of a module or function, with the nodes that it recorded and the calls made
in it.  A module that was called twice is two groups.  What one node makes up is no group: the node
has its name.  No level has more than MOST boxes: in a longer one the middle is cut into equal
parts, "+ 80 more", which open like a module.

    >>> from chainrule.graph import Node
    >>> from chainrule.dtypes import float32
    >>> from chainrule.ops import REGISTRY, leaf
    >>> x = Node(leaf.data, (), {}, (2,), float32)
    >>> a = Node(REGISTRY["exp"], (x,), {}, (2,), float32, scope="a/Block")
    >>> b = Node(REGISTRY["neg"], (a,), {}, (2,), float32, scope="a/Block")
    >>> c = Node(REGISTRY["tanh"], (b,), {}, (2,), float32, scope="act/Tanh")
    >>> calls = [["Net", "a", 2, 0], ["Net", "act", 3, 0], ["Net", "Net", 3, 0]]
    >>> found = tree([x, a, b, c], calls)
    >>> [group.key for group in found.groups], found.parents, found.names
    (['', 'Net', 'a'], [0, 2, 2, 1], {3: 'act'})
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from chainrule.graph import Node
from chainrule.ops import leaf

__all__ = ["MOST", "Group", "ModuleTree", "tree"]

MOST = 60  # boxes of one level
ENDS = 12  # boxes that a longer level shows at each of its ends
PARTS = 30  # of its middle
PERIOD = 40  # boxes of an unrolled loop's body, at most, that parts are made to agree with
HANGING = -1  # of a leaf that hangs at its readers: a parameter, a number, a running mean

Call = Sequence[Any]  # (root, path, node, run): see chainrule.tape.kept_step


@dataclass
class Group:
    """A call of a module or function, or a part of a long level.

    key: its name in links.  call: (which, of how many) of a module that is called several times.
    more: how many boxes a part of a level holds; 0 for all others.  out: the node it returned.
    """

    key: str
    name: str
    kind: str
    parent: int
    call: tuple[int, int] | None = None
    more: int = 0
    out: int | None = None


class ModuleTree(NamedTuple):
    """Groups, each after its parent, the first is the whole; and where each node is.

    parents: a node's group, HANGING for a leaf that hangs at its readers.  names: what a node is
    called that is a group by itself.
    """

    groups: list[Group]
    parents: list[int]
    names: dict[int, str]


def tree(
    order: Sequence[Node],
    calls: Sequence[Call],
    losses: Sequence[int] = (),
    samples: Set[int] | None = None,
) -> ModuleTree:
    """The tree of a step's nodes, which stand in the order of recording.

    losses: the nodes that a backward began with.  What neither they nor a call depends on, such as
    the drawing of random numbers before the model is called, is a group by itself.  samples: the
    nodes that have a row for each sample, if it is known; data without, such as the running means
    of a batch norm, hang at their readers as its weight does.
    """
    number = {node: k for k, node in enumerate(order)}
    sources = [[number[source] for source in node.inputs] for node in order]
    placing = _Placing(order, sources, calls, losses, samples)
    groups, parents = placing.groups, [placing.group_of(k) for k in range(len(order))]
    starts = _starts(sources)
    names = _take_out_single(groups, parents)
    _cut_long_levels(order, groups, parents, starts)
    groups, parents = _in_order(groups, parents, starts)
    for node, parent in enumerate(parents):
        while parent > 0:  # who has no call that returned: what was recorded last
            if groups[parent].call is None or groups[parent].out is None:
                groups[parent].out = max(node, groups[parent].out or 0)
            parent = groups[parent].parent
    return ModuleTree(groups, parents, names)


# ---------------------------------------------------------------- where a node is


class _Placing:
    """The groups as nodes ask for them."""

    def __init__(
        self,
        order: Sequence[Node],
        sources: list[list[int]],
        calls: Sequence[Call],
        losses: Sequence[int],
        samples: Set[int] | None,
    ) -> None:
        self.order, self.groups = order, [Group("", "", "", -1)]
        self._samples = samples
        self._known: dict[tuple[str, int, int], int] = {}
        self._keys: dict[str, int] = {}  # how many groups have asked for a key
        self._ends: dict[tuple[str, str], list[int]] = {}  # of (root, path), where its calls ended
        for root, path, node, _ in calls:
            self._ends.setdefault((root, path), []).append(node)
        roots = sorted((node, root) for root, path, node, _ in calls if root and path == root)
        self._roots = [root for _, root in roots]
        self._root_ends = [end for end, _ in roots]
        self._begins = self._first_nodes()
        self._used = _ancestors(sources, [*losses, *(node for _, _, node, _ in calls)])
        self._read = {source for each in sources for source in each}

    def group_of(self, number: int) -> int:
        """The group of a node."""
        node = self.order[number]
        if not node.inputs and number in self._read and not self._stands(number):
            return HANGING
        if not node.inputs and not node.scope:
            return 0
        root = self._root_of(number)
        if root is None and not node.scope and self._root_ends and number not in self._used:
            return self._group(0, "apart", "apart from the model", "", None, 0)
        parent, name = 0, ""
        if root is not None:
            name = self._roots[root]
            parent = self._called(0, name, name, name, "", number)
        for path, shown, kind in self._parts(name, node.scope):
            parent = self._called(parent, name, path, shown, kind, number)
        return parent

    def _stands(self, number: int) -> bool:
        """Whether a leaf is a box of its own: what the model is given, not what it has."""
        known = self._samples is None or number in self._samples
        return self.order[number].op is leaf.data and known

    def _first_nodes(self) -> list[int]:
        """Of each outermost call the first node that says it is in it."""
        begins = list(self._root_ends)
        for number, node in enumerate(self.order):
            k = bisect_left(self._root_ends, number)
            if k < len(begins) and number < begins[k] and node.scope and node.inputs:
                root = self._roots[k]
                if any(
                    part == root or (root, part) in self._ends for part in node.scope.split("/")
                ):
                    begins[k] = number
        return begins

    def _root_of(self, number: int) -> int | None:
        """The outermost call that recorded a node."""
        k = bisect_left(self._root_ends, number)
        return k if k < len(self._begins) and self._begins[k] <= number else None

    def _parts(self, root: str, scope: str) -> list[tuple[str, str, str]]:
        """(path, name, class) of what a scope names, outermost first, below the root.

        "layer1.0.conv1/Conv2d" is layer1, in it 0, in it conv1, a Conv2d.
        """
        found: list[tuple[str, str, str]] = []
        words, at, path = scope.split("/") if scope else [], 0, ""
        while at < len(words):
            word, after = words[at], words[at + 1] if at + 1 < len(words) else ""
            at += 1
            if word == root and not found:
                continue
            if (root, word) in self._ends and after and (root, after) not in self._ends:
                steps = word.split(".")
                for k, step in enumerate(steps):
                    whole = k == len(steps) - 1
                    found.append((".".join(steps[: k + 1]), step, after if whole else ""))
                path, at = word, at + 1
            else:
                path = f"{path}/{word}" if path else word
                found.append((path, word, ""))
        return found

    def _called(self, parent: int, root: str, path: str, name: str, kind: str, number: int) -> int:
        """The group of the call of a path that a node was recorded in."""
        ends = self._ends.get((root, path), [])
        k = min(bisect_left(ends, number), max(len(ends) - 1, 0))
        call = (k + 1, len(ends)) if len(ends) > 1 else None
        found = self._group(parent, path, name, kind, call, k)
        group = self.groups[found]
        if ends and group.out is None:
            group.out = ends[k]
        return found

    def _group(
        self, parent: int, path: str, name: str, kind: str, call: tuple[int, int] | None, k: int
    ) -> int:
        known = (path, k, parent)
        if known not in self._known:
            self._known[known] = len(self.groups)
            key = quote(path, safe="/") + (f":{k + 1}" if call else "")
            self._keys[key] = self._keys.get(key, 0) + 1
            if self._keys[key] > 1:  # of another model
                key = f"{key}~{self._keys[key]}"
            self.groups.append(Group(key, name, kind, parent, call))
        group = self.groups[self._known[known]]
        group.kind = group.kind or kind
        return self._known[known]


def _ancestors(sources: list[list[int]], ends: list[int]) -> set[int]:
    found, waiting = set(ends), list(ends)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


# ---------------------------------------------------------------- levels


def _starts(sources: list[list[int]]) -> list[int]:
    """Where a node stands among others: a leaf beside its first reader."""
    starts = list(range(len(sources)))
    for reader in range(len(sources) - 1, -1, -1):
        for source in sources[reader]:
            if not sources[source]:
                starts[source] = reader
    return starts


def _members(count: int, groups: list[Group], parents: list[int]) -> list[list[int]]:
    """What stands directly in each group: nodes by their number, groups by count + theirs."""
    found: list[list[int]] = [[] for _ in groups]
    for node, parent in enumerate(parents):
        if parent >= 0:
            found[parent].append(node)
    for k, group in enumerate(groups):
        if group.parent >= 0:
            found[group.parent].append(count + k)
    return found


def _take_out_single(groups: list[Group], parents: list[int]) -> dict[int, str]:
    """Groups of one node become that node, with the group's name; of one group, that group.

    conv1 of a single node is the node "conv1"; a part of a level is none.
    """
    names: dict[int, str] = {}
    count = len(parents)
    members = _members(count, groups, parents)
    for k in range(len(groups) - 1, 0, -1):  # a group stands after its parent
        group, inside = groups[k], members[k]
        if len(inside) != 1 or inside[0] >= count:
            continue
        (node,) = inside
        names.setdefault(node, group.name)
        parents[node] = group.parent
        members[group.parent] = [node if m == count + k else m for m in members[group.parent]]
        members[k] = []
        group.parent = -2  # nothing stands in it any more
    return names


def _cut_long_levels(
    order: Sequence[Node], groups: list[Group], parents: list[int], starts: list[int]
) -> None:
    """Give each level of more than MOST boxes parts for its middle."""
    count = len(parents)
    first = _first(groups, parents, starts)
    waiting = [
        (k, sorted(inside, key=lambda m: first[m]))
        for k, inside in enumerate(_members(count, groups, parents))
    ]
    while waiting:
        level, inside = waiting.pop()
        if len(inside) <= MOST:
            continue
        middle = inside[ENDS:-ENDS]
        labels = [order[m].op.name if m < count else groups[m - count].name for m in middle]
        size, period = -(-len(middle) // PARTS), _period(labels)
        size = -(-size // period) * period
        for begin in range(0, len(middle), size):
            part = middle[begin : begin + size]
            new = len(groups)
            key = f"{groups[level].key}+{ENDS + begin}"
            groups.append(Group(key, f"+ {len(part)} more", "", level, more=len(part)))
            for m in part:
                if m < count:
                    parents[m] = new
                else:
                    groups[m - count].parent = new
            waiting.append((new, part))


def _period(labels: list[str]) -> int:
    """After how many boxes a level repeats, so that equal parts look the same; 1 if it does not.

    >>> _period(["h", "i", "add", "tanh"] * 8), _period(["a", "b", "c"])
    (4, 1)
    """
    for period in range(1, min(PERIOD, len(labels) // 3) + 1):
        if all(a == b for a, b in zip(labels, labels[period:], strict=False)):
            return period
    return 1


def _first(groups: list[Group], parents: list[int], starts: list[int]) -> dict[int, int]:
    """Where each node, and each group by its first node, stands among others."""
    count, first = len(parents), {}
    for node, parent in enumerate(parents):
        if parent == HANGING:
            continue
        first[node] = starts[node]
        while parent > 0:
            at = count + parent
            if first.get(at, starts[node] + 1) <= starts[node]:
                break
            first[at] = starts[node]
            parent = groups[parent].parent
    return first


def _in_order(
    groups: list[Group], parents: list[int], starts: list[int]
) -> tuple[list[Group], list[int]]:
    """The groups that have anything in them, each after its parent, in the order of the program."""
    first = _first(groups, parents, starts)
    children: dict[int, list[int]] = {}
    for k, group in enumerate(groups):
        if len(parents) + k in first:
            children.setdefault(group.parent, []).append(k)
    place, waiting = {0: 0}, [0]
    found = [groups[0]]
    while waiting:
        parent = waiting.pop()
        inside = sorted(children.get(parent, []), key=lambda k: first[len(parents) + k])
        for k in inside:
            place[k] = len(found)
            found.append(groups[k])
        waiting.extend(reversed(inside))
    for group in found[1:]:
        group.parent = place[group.parent]
    return found, [place[parent] if parent >= 0 else parent for parent in parents]
