"""Plans on disk: a second process neither runs passes nor emits; what is damaged costs time."""

import functools
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.compile.work import Work
from chainrule.dtypes import dtype_of
from chainrule.errors import IndexRangeError
from chainrule.graph import Node
from chainrule.ops import REGISTRY, leaf
from chainrule.ops.op import Elementwise
from chainrule.run.llvm import cache, engine, kept
from chainrule.run.llvm.backend import build
from chainrule.run.llvm.cache import default_cache


def node(name, *sources, **meta):
    op = REGISTRY[name]
    return Node(op, sources, meta, *op.infer(*sources, **meta))


def leaf_of(array):
    return Node(leaf.data, (), {}, array.shape, dtype_of(array.dtype))


class Case:
    """A work with its inputs."""

    def __init__(self, make, *arrays, updates=None):
        self.arrays = list(arrays)
        inputs = [leaf_of(array) for array in arrays]
        nodes, outputs = make(*inputs)
        self.work = Work(nodes, inputs, outputs, updates or {})

    def run(self, built):
        return [x.tobytes() for x in built.run(self.arrays, [None] * len(self.work.outputs))]


def numbers(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _products(x, w):
    y = node("matmul", x, w)
    z = node("exp", y)
    t = node("permute", z, axes=(1, 0))
    c = node("cumsum", z, axis=0)
    e = node("exp", c)
    return [y, z, t, c, e], [t, e, z]


def _checked(scores, labels):
    index = node("class_index", labels, classes=5, ignore=None)
    return [index], [index]


def _update(w, g):
    step = node("mul", g, g)
    new = node("sub", w, step)
    return [step, new], [new]


def _same(x):
    return [], [x]


CASES = {
    "products": lambda: Case(_products, numbers(40, 8), numbers(8, 30)),
    "checked": lambda: Case(_checked, numbers(3, 5), np.array([0, 4, 2])),
    "update": lambda: Case(_update, numbers(7, 5), numbers(7, 5), updates={0: 0}),
    "nothing": lambda: Case(_same, numbers(3)),
    "empty": lambda: Case(_products, numbers(0, 8), numbers(8, 3)),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache; plans are kept as in a process of a user."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CHAINRULE_VERIFY", "0")
    default_cache.cache_clear()
    forget()
    yield tmp_path / "cache"
    default_cache.cache_clear()


def forget():
    """Let the engine know no kernel, as in a new process."""
    engine._engine = None


@pytest.fixture
def no_passes(monkeypatch):
    """Call it, and whatever makes a plan fails."""

    def fail(*arguments):
        raise AssertionError("a plan was made")

    def forbid():
        monkeypatch.setattr(kept, "compile_work", fail)
        monkeypatch.setattr(kept, "emit", fail)
        monkeypatch.setattr(engine.Engine, "_parsed", fail)

    return forbid


def entry(folder):
    (path,) = folder.glob("plan-*")
    return path


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("name", CASES)
def test_a_kept_plan_runs_as_the_one_that_was_made(folder, no_passes, name):
    case = CASES[name]()
    assert kept.found(case.work) is None
    made = build(case.work)
    wanted = case.run(made)
    forget()
    no_passes()
    again = build(CASES[name]().work)
    assert case.run(again) == wanted
    assert again.late == made.late and len(again.segments) == len(made.segments)


def test_its_plan_is_made_when_it_is_asked_for(folder):
    case = CASES["products"]()
    first = build(case.work)
    again = build(CASES["products"]().work)
    assert again._plan is None
    assert str(again.plan) == str(first.plan) and again.order == first.order


def test_a_wrong_label_is_explained(folder):
    case = CASES["checked"]()
    build(case.work)
    again = build(case.work)
    assert again._plan is None
    with pytest.raises(IndexRangeError, match="7"):
        again.run([case.arrays[0], np.array([0, 7, 2])], [None])


def test_updates_are_in_place(folder):
    case = CASES["update"]()
    (wanted,) = (np.frombuffer(x, np.float32) for x in case.run(build(case.work)))
    again = build(case.work)
    (result,) = again.run(case.arrays, [case.arrays[0]])
    assert result is case.arrays[0] and np.array_equal(result.reshape(-1), wanted)


def test_an_op_from_elsewhere_is_not_kept(folder):
    class Own(Elementwise):
        name = "exp"

        def scalar(self, s, x):
            return x + x

        def vjp(self, y, y_bar, x):
            return (y_bar + y_bar,)

    def make(x):
        y = Node(Own(), (x,), {}, x.shape, x.dtype)
        return [y], [y]

    case = Case(make, numbers(3))
    assert case.run(build(case.work)) == [(2 * numbers(3)).tobytes()]
    assert not list(folder.glob("plan-*"))


@pytest.mark.parametrize("value", [np.arange(3), {"a": 1}, np.float32(1)])
def test_metadata_that_no_text_tells_is_not_kept(value):
    x = Node(leaf.data, (), {"fixed": (1, [value])}, (), dtype_of(np.float32))
    assert kept._place(Work([], [x], [x])) is None


def test_what_a_plan_depends_on_is_in_its_key(folder, monkeypatch):
    case = CASES["products"]()
    build(case.work)
    assert kept.found(case.work) is not None
    with monkeypatch.context() as other:
        other.setattr(cache, "_digest_of_sources", lambda: "an edited emitter")
        assert kept.found(case.work) is None
    with monkeypatch.context() as other:
        other.setattr(kept, "VERSION", kept.VERSION + 1)
        assert kept.found(case.work) is None
    with monkeypatch.context() as other:
        other.setattr(engine.engine(), "machine", "with other registers")
        assert kept.found(case.work) is None
    with monkeypatch.context() as other:
        other.setenv("CHAINRULE_VERIFY", "1")
        assert kept.found(case.work) is None
    assert kept.found(case.work) is not None
    assert kept.found(Case(_products, numbers(41, 8), numbers(8, 30)).work) is None


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("place", [3, 20, 50, 200, -2])
def test_a_damaged_entry(folder, place):
    case = CASES["products"]()
    wanted = case.run(build(case.work))
    path = entry(folder)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 4
    for content in (bytes(damaged), whole[:place], b""):
        path.write_bytes(content)
        assert kept.found(case.work) is None
        assert case.run(build(case.work)) == wanted
        assert path.read_bytes() == whole  # it was made again


@pytest.mark.parametrize("how", ["missing", "damaged", "truncated"])
def test_a_kernel_that_is_gone(folder, how):
    case = CASES["products"]()
    wanted = case.run(build(case.work))
    for path in sorted(folder.glob("object-*")):
        content = path.read_bytes()
        path.unlink()
        if how != "missing":
            path.write_bytes(content[:-1] + (b"" if how == "truncated" else b"?"))
        forget()
        assert case.run(build(case.work)) == wanted
        assert path.read_bytes() == content


def changed(whole, path, value):
    """A copy with another value at a path of keys."""
    if not path:
        return value
    copy = list(whole) if isinstance(whole, list) else dict(whole)
    copy[path[0]] = changed(whole[path[0]], path[1:], value)
    return copy


def places(whole, path=()):
    """All paths into a JSON value."""
    yield path
    if isinstance(whole, (list, dict)):
        for k in range(len(whole)) if isinstance(whole, list) else whole:
            yield from places(whole[k], (*path, k))


WRONG = [
    (("arena",), -1),
    (("arena",), 64),  # less than its temporaries
    (("arena",), 1e9),
    (("temporaries", 0), [1, 4]),
    (("temporaries", 0), [64]),
    (("temporaries", 0, 1), 1 << 50),
    (("outputs",), []),
    (("outputs", 0), [30, 1]),
    (("outputs", 0), [1, 1 << 50]),
    (("outputs", 1), [31, 1]),
    (("steps", 0, 0), 5),
    (("steps", 0, 1), 0),
    (("steps", 0, 1), True),
    (("steps", 0, 2), 1),
    (("steps", 0, 3, 0), 0),
    (("steps", 0, 3, 0), 99),
    (("steps", 0), ["key"]),
    (("steps",), 7),
    (("steps", 1, 0), 99),
    (("steps", 1, 0), 0),
    (("steps", 1, 1), []),
    (("steps", 1, 2), 1),
    (("late",), 0),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=str)
def test_an_entry_that_is_whole_but_wrong(folder, path, value):
    case = CASES["products"]()
    wanted = case.run(build(case.work))
    content = default_cache().get("plan", kept._place(case.work))
    assert kept._read(content, case.work).steps
    wrong = json.dumps(changed(json.loads(content), path, value)).encode()
    default_cache().put("plan", kept._place(case.work), wrong)
    assert kept.found(case.work) is None
    assert case.run(build(case.work)) == wanted


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"arena": NaN}']
)
def test_an_entry_that_is_no_recipe(folder, content):
    case = CASES["products"]()
    default_cache().put("plan", kept._place(case.work), content)
    assert kept.found(case.work) is None


STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just([]), st.just({})
)


@functools.cache
def products():
    """A case, and its entry as JSON."""
    case = CASES["products"]()
    recipe, _ = kept.made(case.work)
    return case, json.loads(kept._content(recipe))


@settings(max_examples=200)
@given(st.data())
def test_no_entry_is_an_error(data):
    case, whole = products()
    path = data.draw(st.sampled_from([path for path in places(whole) if path]))
    wrong = json.dumps(changed(whole, path, data.draw(STRANGE))).encode()
    with suppress(ValueError, TypeError, KeyError):
        kept._read(wrong, case.work)


def test_a_folder_that_can_not_be_written(folder, monkeypatch, no_passes):
    case, other = CASES["products"](), CASES["update"]()
    wanted = case.run(build(case.work))

    def refused(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.replace", refused)
    forget()
    build(other.work)
    assert default_cache().failures and len(list(folder.glob("plan-*"))) == 1
    no_passes()
    assert case.run(build(case.work)) == wanted


# ---------------------------------------------------------------- processes

TRAINING = """
import os, signal, sys
from hashlib import sha256
from pathlib import Path
import chainrule as cr
from chainrule import nn
from chainrule.run.llvm.engine import Engine, engine
from chainrule.run.llvm import kept

if "warm" in sys.argv:
    def fail(*arguments):
        raise AssertionError("a plan was made")
    kept.compile_work = kept.emit = Engine._parsed = fail
if "killed" in sys.argv:
    replace = Path.replace
    def killed(path, to):
        os.kill(os.getpid(), signal.SIGKILL) if to.name.startswith("plan") else replace(path, to)
    Path.replace = killed

cr.manual_seed(1)
model = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 5)
)
optimizer = cr.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
criterion = nn.CrossEntropyLoss()

@cr.compile
def step(x, y):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

x, y = cr.randn(16, 1, 8, 8), cr.randint(0, 5, (16,))
losses = [step(x, y).item().hex() for _ in range(4)]
digest = sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters()))
print(losses, digest.hexdigest(), engine().stats().compiled)
"""


def training(folder, *words):
    """Start a process that trains with a cache in that folder."""
    environment = os.environ | {"CHAINRULE_CACHE": str(folder), "CHAINRULE_VERIFY": "0"}
    command = [sys.executable, "-c", TRAINING, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def result(process):
    """Losses and weights, as text, and how many kernels it has compiled."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    values, _, compiled = out.strip().rpartition(" ")
    return values, int(compiled)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def test_a_second_process_makes_no_plan(tmp_path):
    folder, other = tmp_path / "one", tmp_path / "other"
    cold, many = result(training(folder))
    before = content(folder)
    assert many > 20 and {name.partition("-")[0] for name in before} == {"object", "plan"}
    assert result(training(folder, "warm")) == (cold, 0)
    assert content(folder) == before
    assert result(training(other)) == (cold, many)
    assert content(other) == before  # a plan depends on no address and no order of a set


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_while_a_plan_is_written_and_two_at_once(tmp_path):
    for _ in range(2):
        process = training(tmp_path, "killed")
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not list(tmp_path.glob("plan-*"))
    both = [training(tmp_path), training(tmp_path)]
    (first, _), (second, _) = map(result, both)
    assert first == second == result(training(tmp_path, "warm"))[0]
