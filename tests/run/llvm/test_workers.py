import ctypes
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import UsageError
from chainrule.run.llvm import driver, workers
from chainrule.run.llvm.engine import engine

THREADS = (1, 2, 3, 4, 64)

# out[chunk] = 3 a[chunk] + b[n - 1 - chunk] + 1: the second input reads what other chunks wrote.
MIX = """
define void @kernel(ptr %table, ptr %slots, i64 %chunk) {
  %s0 = load i64, ptr %slots
  %p0 = getelementptr ptr, ptr %table, i64 %s0
  %out = load ptr, ptr %p0
  %q1 = getelementptr i64, ptr %slots, i64 1
  %s1 = load i64, ptr %q1
  %p1 = getelementptr ptr, ptr %table, i64 %s1
  %a = load ptr, ptr %p1
  %q2 = getelementptr i64, ptr %slots, i64 2
  %s2 = load i64, ptr %q2
  %p2 = getelementptr ptr, ptr %table, i64 %s2
  %b = load ptr, ptr %p2
  %a.at = getelementptr i64, ptr %a, i64 %chunk
  %x = load i64, ptr %a.at
  %turned = sub i64 15, %chunk
  %b.at = getelementptr i64, ptr %b, i64 %turned
  %y = load i64, ptr %b.at
  %three = mul i64 %x, 3
  %sum = add i64 %three, %y
  %value = add i64 %sum, 1
  %out.at = getelementptr i64, ptr %out, i64 %chunk
  store i64 %value, ptr %out.at
  ret void
}
"""
WIDTH = 16


@pytest.fixture(autouse=True)
def threads_again():
    before = workers.get_num_threads()
    yield
    workers.set_num_threads(before)


class Step:
    """A tape of kernels given as (stage, out, a, b, chunks) over arrays i64[16]."""

    def __init__(self, kernels, arrays, function=MIX):
        self.error = np.zeros(1, np.int64)
        self.arrays = np.arange(arrays * WIDTH).reshape(arrays, WIDTH).copy()
        self.kernels = kernels
        address = engine().function(function, "kernel")
        rows = [self.error.ctypes.data, *(row.ctypes.data for row in self.arrays)]
        self.table = np.array(rows, np.int64)
        self.slots = np.array([kernel[1:4] for kernel in kernels], np.int64) + 1
        self.tape = np.zeros((len(kernels), 4), np.int64)
        self.tickets = begin = 0
        for k, (stage, *_, chunks) in enumerate(kernels):
            if k and stage != kernels[k - 1][0]:
                begin = self.tickets
            self.tape[k] = address, chunks, self.slots[k].ctypes.data, begin
            self.tickets += chunks

    def run(self, threads):
        addresses = self.tape.ctypes.data, len(self.tape), self.table.ctypes.data
        return workers.run(*addresses, self.tickets, threads)

    def expected(self):
        arrays = self.arrays.copy()
        for _, out, a, b, chunks in self.kernels:
            mixed = 3 * arrays[a] + arrays[b][::-1] + 1
            arrays[out][:chunks] = mixed[:chunks]
        return arrays


@st.composite
def tapes(draw):
    """Kernels in stages; those of one stage write arrays that no other of the stage touches."""
    kernels, arrays = [], 12
    for stage in range(draw(st.integers(1, 8))):
        places = draw(st.permutations(range(arrays)))
        many = draw(st.integers(1, 4))
        for k in range(many):
            out, (a, b) = (
                places[k],
                draw(st.lists(st.sampled_from(places[many:]), min_size=2, max_size=2)),
            )
            kernels.append((stage, out, a, b, draw(st.integers(0, WIDTH))))
    return kernels, arrays


@pytest.mark.parametrize("threads", THREADS)
@settings(max_examples=40)
@given(tapes())
def test_any_number_of_threads_gives_the_same_results(threads, drawn):
    workers.set_num_threads(threads)
    step = Step(*drawn)
    expected = step.expected()
    assert step.run(threads) == 0
    assert step.arrays.tolist() == expected.tolist()


def chain(length, chunks=WIDTH):
    """Each kernel reads, turned round, what the one before it wrote."""
    return [(k, 1 + k % 2, 1 + (k + 1) % 2, 0, chunks) for k in range(length)]


def test_thousands_of_short_runs():
    workers.set_num_threads(4)
    step = Step(chain(6), 3)
    wanted = step.expected()
    before = step.arrays.copy()
    for _ in range(10_000):
        step.arrays[:] = before
        assert step.run(4) == 0
        assert (step.arrays == wanted).all()


def test_steps_of_different_lengths_take_turns():
    """A worker that wakes late finds another tape in the control block."""
    workers.set_num_threads(3)
    steps = [Step(chain(length), 3) for length in (1, 40, 2, 9, 150)]
    wanted = [step.expected() for step in steps]
    before = steps[0].arrays.copy()
    for n in range(3000):
        step = steps[n * n % 5]
        step.arrays[:] = before
        step.run(3)
        assert (step.arrays == wanted[n * n % 5]).all()


# Runs two tapes in turn, so fast that a worker between two tickets finds another run.
TURNS = """
define i64 @turns(ptr %run, ptr %control, ptr %a, ptr %b, ptr %table, i64 %n) {
entry:
  br label %again
again:
  %i = phi i64 [ 0, %entry ], [ %i.next, %again ]
  %wrong = phi i64 [ 0, %entry ], [ %sum, %again ]
  %e = call i64 %run(ptr %control, ptr %a, i64 3, ptr %table, i64 12, i64 4)
  %f = call i64 %run(ptr %control, ptr %b, i64 1, ptr %table, i64 2, i64 4)
  %g = add i64 %e, %f
  %sum = add i64 %wrong, %g
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %again, label %end
end:
  ret i64 %sum
}
"""
COUNT = """
define void @kernel(ptr %table, ptr %slots, i64 %chunk) {
  %s0 = load i64, ptr %slots
  %p0 = getelementptr ptr, ptr %table, i64 %s0
  %out = load ptr, ptr %p0
  %at = getelementptr i64, ptr %out, i64 %chunk
  %before = atomicrmw add ptr %at, i64 1 monotonic
  ret void
}
"""


HELD_UP = {
    "before it takes a ticket": "  %number = atomicrmw sub ptr %remaining, i64 1 acquire",
    "with a ticket": "  %generation = load i64, ptr %generation.at",
    "before it counts": "  %counted = atomicrmw add ptr %done, i64 1 release",
    "after it has counted": "  br label %look\nout:",
}


@pytest.mark.skipif(os.name != "posix", reason="no POSIX threads, no workers")
@pytest.mark.parametrize("place", HELD_UP)
def test_a_late_worker_does_no_harm(place, monkeypatch):
    """Workers sleep between two instructions, and wake up in another run."""
    line = HELD_UP[place]
    text = driver.serve()
    assert text.count(line) == 1
    text = text.replace(line, f"  %slept = call i32 @usleep(i32 20)\n{line}")
    monkeypatch.setattr(driver, "serve", lambda: "declare i32 @usleep(i32)\n" + text)
    workers.set_num_threads(1)
    workers.set_num_threads(4)
    step = Step([*((k, 1 + k, 0, 0, 4) for k in range(3)), (3, 4, 0, 0, 2)], 8, COUNT)
    step.arrays[:] = 0
    step.tape[3, 3] = 0  # the fourth kernel is a tape of its own
    pool = workers._start()
    assert pool is not None
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64)
    turns = kind(engine().function(TURNS, "turns"))
    run = ctypes.cast(pool.run, ctypes.c_void_p).value
    a, b, table = step.tape.ctypes.data, step.tape[3:].ctypes.data, step.table.ctypes.data
    wanted = np.zeros_like(step.arrays)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert turns(run, pool.control, a, b, table, 10_000) == 0
        wanted[1:4, :4] += 10_000
        wanted[4, :2] += 10_000
        assert (step.arrays == wanted).all()
        time.sleep(0.001)  # on one core workers get their turn now


def test_python_threads_that_run_at_once():
    workers.set_num_threads(3)
    wrong = []

    def many():
        step = Step(chain(50), 3)
        wanted, before = step.expected(), step.arrays.copy()
        for _ in range(300):
            step.arrays[:] = before
            if step.run(3) or (step.arrays != wanted).any():
                wrong.append(step)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in (2, 5, 3):  # whoever is in a run ends it
        time.sleep(0.01)
        workers.set_num_threads(n)
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("short", [False, True])
def test_a_prepared_call(short):
    for threads in (1, 2):
        step = Step(chain(5), 3)
        wanted = step.expected()
        addresses = step.tape.ctypes.data, 5, step.table.ctypes.data
        assert workers.prepared(*addresses, step.tickets, threads, short=short)() == 0
        assert step.arrays.tolist() == wanted.tolist()


def test_an_empty_tape():
    step = Step([(0, 1, 0, 0, 0)], 3)
    wanted = step.arrays.copy()
    for threads in (1, 2):
        assert step.run(threads) == 0
        assert workers.run(0, 0, step.table.ctypes.data, 0, threads) == 0
    assert (step.arrays == wanted).all()


# ---------------------------------------------------------------- errors, denormals

# Writes 7 into the error word if its first input is not 0 at this chunk, and counts in its output.
FAIL = """
define void @kernel(ptr %table, ptr %slots, i64 %chunk) {
  %error = load ptr, ptr %table
  %s0 = load i64, ptr %slots
  %p0 = getelementptr ptr, ptr %table, i64 %s0
  %out = load ptr, ptr %p0
  %q1 = getelementptr i64, ptr %slots, i64 1
  %s1 = load i64, ptr %q1
  %p1 = getelementptr ptr, ptr %table, i64 %s1
  %a = load ptr, ptr %p1
  %at = getelementptr i64, ptr %a, i64 %chunk
  %x = load i64, ptr %at
  %bad = icmp ne i64 %x, 0
  %out.at = getelementptr i64, ptr %out, i64 %chunk
  store i64 1, ptr %out.at
  br i1 %bad, label %wrong, label %end
wrong:
  store atomic i64 7, ptr %error monotonic, align 8
  br label %end
end:
  ret void
}
"""


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_error_ends_the_step(threads):
    workers.set_num_threads(threads)
    kernels = [(k, 1 + k, 0, 0, WIDTH) for k in range(4)]
    step = Step(kernels, 6, FAIL)
    step.kernels[2:] = [(k, 1 + k, 5, 0, WIDTH) for k in (2, 3)]
    step.arrays[:] = 0
    assert step.run(threads) == 0
    assert (step.arrays[1:5] == 1).all()
    step.slots[1, 1] = 6  # the second kernel reads what makes it fail
    step.arrays[:] = 0
    step.arrays[5, 9] = 1
    assert step.run(threads) == 7
    assert (step.arrays[1] == 1).all() and (step.arrays[3:5] == 0).all()
    assert step.arrays[2, 9] == 1
    step.arrays[5] = 0  # the next run begins without an error
    assert step.run(threads) == 0


# Waits until as many threads are at work as %needed says, or a second is over.
TOGETHER = """
  br label %wait
wait:
  %n = phi i64 [ 0, %entry ], [ %n.next, %again ]
  %now = load atomic i64, ptr %here seq_cst, align 8
  %met = icmp sge i64 %now, %needed
  %late = icmp sgt i64 %n, 1000000
  %go = or i1 %met, %late
  br i1 %go, label %end, label %again
again:
  %ignored = call i32 @sched_yield()
  %n.next = add i64 %n, 1
  br label %wait
"""

# out[chunk] = a[chunk] / 3, once as many threads are at work as the third array's first number says
# (or a second is over): whoever computes it, it is not the caller alone.
THIRD = """
declare i32 @sched_yield()
define void @kernel(ptr %table, ptr %slots, i64 %chunk) {
entry:
  %s0 = load i64, ptr %slots
  %p0 = getelementptr ptr, ptr %table, i64 %s0
  %out = load ptr, ptr %p0
  %q1 = getelementptr i64, ptr %slots, i64 1
  %s1 = load i64, ptr %q1
  %p1 = getelementptr ptr, ptr %table, i64 %s1
  %a = load ptr, ptr %p1
  %q2 = getelementptr i64, ptr %slots, i64 2
  %s2 = load i64, ptr %q2
  %p2 = getelementptr ptr, ptr %table, i64 %s2
  %meeting = load ptr, ptr %p2
  %needed = load i64, ptr %meeting
  %here = getelementptr i64, ptr %meeting, i64 1
  %before = atomicrmw add ptr %here, i64 1 seq_cst
; together
end:
  %a.at = getelementptr double, ptr %a, i64 %chunk
  %out.at = getelementptr double, ptr %out, i64 %chunk
  %x = load double, ptr %a.at
  %third = fdiv double %x, 3.0
  store double %third, ptr %out.at
  ret void
}
""".replace("; together\n", TOGETHER)


def thirds(threads):
    """A step that divides by 3, on so many threads; its inputs and outputs."""
    step = Step([(0, 1, 0, 2, WIDTH)], 3, THIRD)
    inputs, outputs = step.arrays[:2].view(np.float64)

    def run():
        step.arrays[2, :2] = threads, 0
        assert step.run(threads) == 0
        return outputs.tolist()

    return run, inputs


X86 = platform.machine().lower() in ("x86_64", "amd64")
FLUSHES = X86 or platform.machine().lower() in ("aarch64", "arm64")


@pytest.mark.skipif(not FLUSHES, reason="this processor is not told to flush denormals")
@pytest.mark.parametrize("threads", [1, 4])
def test_denormals_are_flushed_in_a_run_and_only_there(threads):
    workers.set_num_threads(threads)
    run, inputs = thirds(threads)
    tiny = np.finfo(np.float64).tiny
    for value, third in ((tiny, 0.0), (tiny / 4, 0.0), (3 * tiny, tiny), (-tiny, -0.0)):
        inputs[:] = value
        outputs = run()
        assert outputs == [third] * WIDTH
        assert (np.signbit(outputs) == np.signbit(third)).all()
    assert np.array([tiny])[0] * np.float64(0.5) > 0


EXCHANGE = """
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare void @llvm.x86.sse.stmxcsr(ptr)
define i64 @exchange(i64 %new) {
  %word = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %word)
  %old = load i32, ptr %word
  %short = trunc i64 %new to i32
  store i32 %short, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  %long = zext i32 %old to i64
  ret i64 %long
}
"""


@pytest.mark.skipif(not X86, reason="MXCSR is x86's")
@pytest.mark.parametrize("threads", [1, 4])
def test_rounding_is_the_steps_own_and_the_threads_is_restored(threads):
    workers.set_num_threads(threads)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    exchange = kind(engine().function(EXCHANGE, "exchange"))
    run, inputs = thirds(threads)
    inputs[:] = 1
    upwards = 0x1F80 | 0x4000
    before = exchange(upwards)
    try:
        outputs = run()
    finally:
        after = exchange(before)
    assert after & ~0x3F == upwards and outputs == [1 / 3] * WIDTH


# ---------------------------------------------------------------- idle, fork, exit


def test_idle_workers_sleep():
    workers.set_num_threads(8)
    step = Step(chain(3), 3)
    step.run(8)
    time.sleep(0.3)  # they were started just now
    step.run(8)
    time.sleep(0.05)
    begun = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begun < 0.1  # one that spins takes 0.5
    step.run(8)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores can't be chosen here")
def test_more_threads_than_cores():
    cores = os.sched_getaffinity(0)
    workers.set_num_threads(6)
    step = Step(chain(200), 3)
    wanted = step.expected()
    os.sched_setaffinity(0, {min(cores)})
    try:
        workers.set_num_threads(5)  # new workers, on one core
        assert step.run(5) == 0
    finally:
        os.sched_setaffinity(0, cores)
    assert step.arrays.tolist() == wanted.tolist()


BEGIN = """
import os, sys, threading, time
sys.path.insert(0, {folder!r})
from test_workers import Step, chain
from chainrule.run.llvm import driver, workers
workers.set_num_threads(3)
step = Step(chain(40), 3)
wanted, before = step.expected(), step.arrays.copy()
def right(n=20):
    for _ in range(n):
        step.arrays[:] = before
        step.run(3)
        assert (step.arrays == wanted).all()
right()
"""
ENDS = {
    "at once": ("", 0),
    "asleep": ("time.sleep(0.05)", 0),
    "in an exception": ("raise ValueError", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "beside a thread that runs": (
        "threading.Thread(target=right, args=(10**9,), daemon=True).start(); time.sleep(0.02)",
        0,
    ),
    "beside a thread that ends": ("threading.Thread(target=right, args=(500,)).start()", 0),
    "running at exit": ("import atexit; atexit.register(right)", 0),
    "fork, both run": (
        "child = os.fork()\nassert child or workers._pool is None\nright()\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        0,
    ),
    "fork, the child forks": (
        "child = os.fork()\nif not child: child = os.fork()\nright()\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        0,
    ),
    "fork, the child fails": (
        "child = os.fork()\nif not child: right(); raise ValueError\n"
        "sys.exit(4 + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        5,
    ),
    "fork beside a thread that runs": (
        "threading.Thread(target=right, args=(10**9,), daemon=True).start()\ntime.sleep(0.02)\n"
        "child = os.fork()\n"
        "if not child: step = Step(chain(40), 3); right()\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        0,
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no POSIX threads, no workers")
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_process(end):
    program, code = ENDS[end]
    text = BEGIN.format(folder=str(Path(__file__).parent)) + program
    settings = {"stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", text], **settings) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=60)[1]
        assert process.returncode == code, said


# ---------------------------------------------------------------- how many

# Writes down who computes a chunk, once as many threads have one as `meeting` says (or a second is
# over), and does what the kernel does whose place it has taken.
SPY = """
declare i32 @sched_yield()
declare i64 @pthread_self()
define void @spy(ptr %table, ptr %slots, i64 %chunk) {{
entry:
  %meeting = inttoptr i64 {meeting} to ptr
  %needed = load i64, ptr %meeting
  %here = getelementptr i64, ptr %meeting, i64 1
  %before = atomicrmw add ptr %here, i64 1 seq_cst
  %me = call i64 @pthread_self()
  %place = getelementptr [2 x i64], ptr %meeting, i64 1
  %own = getelementptr i64, ptr %place, i64 %chunk
  store i64 %me, ptr %own
; together
end:
  %kernel = inttoptr i64 {kernel} to ptr
  call void %kernel(ptr %table, ptr %slots, i64 %chunk)
  ret void
}}
""".replace("; together\n", TOGETHER)


@pytest.mark.skipif(os.name != "posix", reason="no POSIX threads, no workers")
def test_a_bound_step_runs_on_as_many_threads_as_are_chosen_now():
    workers.set_num_threads(1)
    step = cr.compile(lambda x: (x * 3 + 1).tanh())
    x = cr.arange(300_000, dtype=cr.float32) / 1e5
    expected = [step(x).numpy().tobytes() for _ in range(3)][-1]
    bound = step._newest._bound
    call, (tape,) = bound.call, step._newest.built.segments
    ((kernel, chunks),) = tape.rows[:, :2].tolist()
    assert call is not None and chunks > 4
    meeting = np.zeros(2 + chunks, np.int64)
    text = SPY.format(meeting=meeting.ctypes.data, kernel=kernel)
    tape.rows[0, 0] = engine().function(text, "spy")
    for threads in (1, 2, 4, 1, 3):
        workers.set_num_threads(threads)
        meeting[:2] = threads, 0
        found = step(x).numpy()
        assert len(set(meeting[2:].tolist())) == threads
        assert found.tobytes() == expected
        assert step._newest._bound is bound and bound.call is call


def test_how_many_threads_there_are(monkeypatch):
    for chosen, threads in (("5", 5), ("", min(engine().machine.cores, 64))):
        monkeypatch.setattr(workers, "_threads", 0)
        monkeypatch.setenv("CHAINRULE_THREADS", chosen)
        assert workers.get_num_threads() == threads
    monkeypatch.setattr(workers, "_threads", 0)
    monkeypatch.setenv("CHAINRULE_THREADS", "many")
    with pytest.raises(UsageError, match=r"\[CHAINRULE_THREADS\] got 'many', needs a number from"):
        workers.get_num_threads()
    workers._alone.cache_clear()  # as in a new process, whose work is small
    with pytest.raises(UsageError, match="CHAINRULE_THREADS"):
        workers._alone(True)


@pytest.mark.parametrize("n", [0, 65, True, 2.0, "2"])
def test_a_wrong_number_of_threads(n):
    with pytest.raises(UsageError, match=r"needs a whole number from 1 to 64\."):
        workers.set_num_threads(n)
