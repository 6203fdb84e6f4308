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


def test_in_a_step_it_waits_for_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        for number in range(3):
            with interrupts.step():
                if number == 1:
                    signal.raise_signal(signal.SIGINT)
                done.append(number)
    assert done == [0, 1]


def test_between_steps_it_raises_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        with interrupts.step():
            done.append(0)
        signal.raise_signal(signal.SIGINT)
        done.append(1)
    assert done == [0]


def test_the_second_ends_a_step():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts, interrupts.step():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the step went on")


def test_a_failure_of_the_step_comes_first():
    with pytest.raises(ValueError, match="mine"), Interrupts() as interrupts, interrupts.step():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")


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
