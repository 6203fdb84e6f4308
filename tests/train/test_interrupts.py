"""When Ctrl-C raises, and who handles it."""

import signal
import sys
import threading

import pytest

from chainrule.train.interrupts import Interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.fixture(autouse=True)
def pythons_own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def training(steps):
    """Run functions as steps of a training that Ctrl-C ends; the error, if there was one."""
    try:
        with Interrupts() as interrupts:
            for step in steps:
                with interrupts.step():
                    step()
    except BaseException as error:
        return type(error)
    return None


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_in_a_step_it_waits_for_its_end():
    done = []
    steps = [lambda: done.append(0), lambda: (ctrl_c(), done.append(1)), lambda: done.append(2)]
    assert training(steps) is KeyboardInterrupt
    assert done == [0, 1]


def test_between_steps_it_raises_at_once():
    done = []

    def batches():
        yield lambda: done.append(0)
        ctrl_c()
        done.append("not at once")

    assert training(batches()) is KeyboardInterrupt
    assert done == [0]


def test_the_second_ends_a_step():
    done = []
    assert training([lambda: (ctrl_c(), ctrl_c(), done.append(0))]) is KeyboardInterrupt
    assert not done


def test_a_failure_of_the_step_comes_first():
    assert training([lambda: (ctrl_c(), 1 / 0)]) is ZeroDivisionError


def test_a_handler_of_somebody_else_stays():
    def mine(number, frame):
        pass

    signal.signal(signal.SIGINT, mine)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is mine
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is mine


def test_other_threads_have_no_part_in_it():
    found = []

    def run():
        with Interrupts() as interrupts, interrupts.step():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
