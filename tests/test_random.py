"""The streams: separate, repeatable, saved and restored."""

import copy
import json
import pickle
import threading

import numpy as np
import pytest

from chainrule import random
from chainrule.errors import UsageError
from chainrule.random import STREAMS, Generator, Stream


def test_the_same_seed_gives_the_same_numbers():
    a, b = Generator(3).stream("init"), Generator(3).stream("init")
    assert (a.uniform(size=9) == b.uniform(size=9)).all()
    assert (a.normal((2, 3)) == b.normal((2, 3))).all()
    assert (Generator(4).stream("init").uniform(size=9) != b.uniform(size=9)).all()


def test_streams_do_not_move_each_other():
    a, b = Generator(3), Generator(3)
    a.stream("shuffle").permutation(100)
    assert (a.stream("dropout").uniform(size=9) == b.stream("dropout").uniform(size=9)).all()
    first = [Generator(3).stream(name).uniform() for name in STREAMS]
    assert len(set(first)) == len(STREAMS)


def test_each_call_takes_one_draw_whatever_its_size():
    stream = Generator(3).stream()
    for draws, call in enumerate(
        (stream.uniform, stream.normal, lambda: stream.permutation(100)), 1
    ):
        call()
        assert stream.draws == draws
    assert stream.next_draw() == (3, 0, 3)


def test_a_longer_draw_begins_with_the_shorter_one():
    for name, arguments in (("uniform", (0, 1)), ("normal", ()), ("integers", (0, 9))):
        short = getattr(Stream(5, 1), name)(*arguments, 4)
        long = getattr(Stream(5, 1), name)(*arguments, 400)
        assert (short == long[:4]).all()


def test_values_lie_where_they_should():
    stream = Generator(0).stream()
    u = stream.uniform(-2, 3, 10_000)
    assert u.dtype == np.float64
    assert u.min() >= -2
    assert u.max() < 3
    assert abs(u.mean() - 0.5) < 0.06
    n = stream.normal(10_000)
    assert abs(n.mean()) < 0.05
    assert abs(n.std() - 1) < 0.03
    i = stream.integers(-2, 3, 10_000)
    assert i.dtype == np.int64
    assert set(i.tolist()) == {-2, -1, 0, 1, 2}
    assert sorted(stream.permutation(50).tolist()) == list(range(50))
    assert stream.permutation(0).shape == (0,)
    assert isinstance(stream.uniform(), float)
    assert isinstance(stream.normal(), float)
    with pytest.raises(UsageError, match="got low=3, high=3, needs low < high"):
        stream.integers(3, 3)


def test_states_go_through_json_and_back():
    generator = Generator(8)
    generator.stream("shuffle").permutation(5)
    generator.stream("init").normal(5)
    state = json.loads(json.dumps(generator.get_state()))
    expected = [generator.stream(name).uniform() for name in STREAMS]
    other = Generator()
    other.set_state(state)
    assert [other.stream(name).uniform() for name in STREAMS] == expected
    assert other.initial_seed() == 8


def test_an_unseeded_generator_tells_its_seed():
    a = Generator()
    b = Generator(a.initial_seed())
    assert a.stream().uniform() == b.stream().uniform()
    chosen = a.seed()
    assert chosen == a.initial_seed() != b.initial_seed()


def test_seeding_again_restarts_the_streams_that_are_held():
    generator = Generator(1)
    held = generator.stream("dropout")
    first = held.uniform()
    assert held.uniform() != first
    assert generator.manual_seed(1) is generator
    assert held.uniform() == first


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**63, 2**64 - 1, np.int64(7)])
def test_any_64_bits_are_a_seed(seed):
    assert -(2**63) <= Generator(seed).stream().next_draw()[0] < 2**63


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "1", None])
def test_nothing_else_is_a_seed(seed):
    generator = Generator(1)
    with pytest.raises(UsageError, match="needs a whole number"):
        generator.manual_seed(seed)
    assert generator.initial_seed() == 1


def test_a_stream_that_does_not_exist():
    with pytest.raises(UsageError) as caught:
        random.stream("droput")
    assert str(caught.value) == (
        "[stream] got 'droput', needs one of default, init, shuffle, augmentation, dropout."
    )
    with pytest.raises(UsageError):
        Generator(1).set_state({"seed": 1, "draws": {"other": 3}})


def test_a_child_draws_by_itself_and_travels():
    parent = Generator(5).stream("augmentation")
    one, two = parent.child(), parent.child()
    assert parent.draws == 2
    in_worker = pickle.loads(pickle.dumps(two))
    expected = two.uniform(size=3)
    one.uniform(size=100)  # does not move the other
    assert (in_worker.uniform(size=3) == expected).all()
    assert len({tuple(s.uniform(size=3)) for s in (one, two, parent, copy.deepcopy(parent))}) == 3
    with pytest.raises(UsageError, match="a stream that is no child itself"):
        one.child()


def test_threads_never_share_a_draw():
    stream = Stream(1, 0)
    taken: list[int] = []

    def take():
        taken.extend(stream.next_draw()[2] for _ in range(2_000))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(8_000))


def test_the_module_s_functions_are_those_of_the_default_generator():
    before = random.get_state()
    try:
        random.manual_seed(11)
        assert random.initial_seed() == 11
        assert random.stream("init").uniform() == Generator(11).stream("init").uniform()
    finally:
        random.set_state(before)
    assert random.get_state() == before


def test_reserved_draws_are_those_that_would_have_come():
    one, two = Stream(seed=3, number=2), Stream(seed=3, number=2)
    assert one.reserve(3) == (3, 2, 0) and one.draws == 3
    assert [two.next_draw() for _ in range(4)][3] == one.next_draw() == (3, 2, 3)
