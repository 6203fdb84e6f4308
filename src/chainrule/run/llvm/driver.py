"""The machine code that runs a step: the loop over its kernels, alone or with workers.

A step is a *tape*, i64[kernels, 4]: address of the function, chunks, address of the slots, wait.
A kernel is ``void kernel(ptr table, ptr slots, i64 chunk)``; its argument i lies at
``table[slots[i]]``.  ``table[0]`` is the address of the step's error word: a kernel that finds
something wrong writes a number other than 0 there, and what has not begun is skipped.

**Tickets.**  The chunks of a tape are numbered, ticket 0 the first.  Whoever has time takes the
next ticket, finds its kernel by walking on (tickets only grow), waits until as many tickets are
done as the kernel's ``wait`` says, runs the chunk and counts it as done.  ``wait`` is the first
ticket of the kernel's stage, the kernels of a stage do not depend on each other, and so on its
first time the count can only reach ``wait`` when everything before that stage is done.  The lowest
ticket that is not done is never kept waiting: there is always progress, and who is late, asleep or
gone holds up nobody, as long as it holds no ticket.

**Why a late worker can do no harm.**  The control block is used again by the next run, and a worker
may sleep between any two of its instructions.  ``REMAINING`` counts down; a ticket is *held* by the
one whose decrement found a number above 0.  A worker reads the run's addresses only while it
holds a ticket.  They were written before REMAINING was set (release, acquire), and they are not
written again before all tickets are done, among them the one that is held.  So whoever holds
a ticket sees the addresses of the ticket's own run, also a worker that still thinks of the run
before: the generation beside them tells it to start walking anew.  A decrement that found 0 or
less gave nothing; if it comes just before REMAINING is set anew it is overwritten, just after, it
is a ticket of the new run like any other.
"""

from __future__ import annotations

import platform
import time
from string import Template

__all__ = [
    "CONTROL_BYTES",
    "alone",
    "denormals",
    "flush",
    "prepare",
    "restore",
    "run",
    "serve",
    "stop",
]

CONTROL_BYTES = 768

# A worker that has found nothing for so long sleeps. Waking it takes some 50 µs.
_PATIENCE = 2_000_000  # nanoseconds
_SPINS = 256  # that a thread waits before it offers its core to others

# A control block: what several threads write lies 128 bytes apart.
_FIELDS = {
    "REMAINING": 0,
    "DONE": 128,
    "GENERATION": 256,
    "TAPE": 264,
    "TABLE": 272,
    "TICKETS": 280,
    "ERROR": 288,
    "STOP": 384,
    "SLEEPING": 392,
    "BUSY": 400,
    "MUTEX": 512,
    "AWAKE": 640,
}

# Round to nearest, no exceptions, denormals flushed: whatever the thread had set.
_MACHINE = {
    "x86_64": """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare void @llvm.x86.sse2.pause()
define internal i64 @flush() {
  %word = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %word)
  %before = load i32, ptr %word
  store i32 40896, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  %kept = zext i32 %before to i64
  ret i64 %kept
}
define internal void @restore(i64 %kept) {
  %word = alloca i32
  %before = trunc i64 %kept to i32
  store i32 %before, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  ret void
}
define internal void @pause() {
  call void @llvm.x86.sse2.pause()
  ret void
}
""",
    "aarch64": """
define internal i64 @flush() {
  %before = call i64 asm sideeffect "mrs $0, fpcr", "=r"()
  call void asm sideeffect "msr fpcr, $0", "r"(i64 16777216)
  ret i64 %before
}
define internal void @restore(i64 %before) {
  call void asm sideeffect "msr fpcr, $0", "r"(i64 %before)
  ret void
}
define internal void @pause() {
  call void asm sideeffect "yield", ""()
  ret void
}
""",
    "": """
define internal i64 @flush() {
  ret i64 0
}
define internal void @restore(i64 %before) {
  ret void
}
define internal void @pause() {
  ret void
}
""",
}

_ALONE = """
define internal i64 @in_order(ptr %tape, i64 %kernels, ptr %table) {
entry:
  %error = load ptr, ptr %table
  store i64 0, ptr %error
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %k.next, %done ]
  %more = icmp slt i64 %k, %kernels
  br i1 %more, label %kernel, label %end
kernel:
  %row = getelementptr [4 x i64], ptr %tape, i64 %k
  %function = load ptr, ptr %row
  %chunks.at = getelementptr i64, ptr %row, i64 1
  %chunks = load i64, ptr %chunks.at
  %slots.at = getelementptr i64, ptr %row, i64 2
  %slots = load ptr, ptr %slots.at
  %k.next = add i64 %k, 1
  br label %again
again:
  %chunk = phi i64 [ 0, %kernel ], [ %chunk.next, %call ]
  %left = icmp slt i64 %chunk, %chunks
  br i1 %left, label %check, label %done
check:
  %wrong = load i64, ptr %error
  %good = icmp eq i64 %wrong, 0
  br i1 %good, label %call, label %end
call:
  call void %function(ptr %table, ptr %slots, i64 %chunk)
  %chunk.next = add i64 %chunk, 1
  br label %again
done:
  br label %next
end:
  %result = load i64, ptr %error
  ret i64 %result
}
"""

_WORK = """
declare i32 @sched_yield()
define internal void @rest(i64 %times) {
  %early = icmp slt i64 %times, $SPINS
  br i1 %early, label %soon, label %later
soon:
  call void @pause()
  ret void
later:
  %ignored = call i32 @sched_yield()
  ret void
}
define internal void @work(ptr %control) {
entry:
  %remaining = getelementptr i8, ptr %control, i64 $REMAINING
  %done = getelementptr i8, ptr %control, i64 $DONE
  %generation.at = getelementptr i8, ptr %control, i64 $GENERATION
  %tape.at = getelementptr i8, ptr %control, i64 $TAPE
  %table.at = getelementptr i8, ptr %control, i64 $TABLE
  %tickets.at = getelementptr i8, ptr %control, i64 $TICKETS
  %error.at = getelementptr i8, ptr %control, i64 $ERROR
  br label %look
look:
  %k.before = phi i64 [ 0, %entry ], [ %k, %count ]
  %first.before = phi i64 [ 0, %entry ], [ %first, %count ]
  %known = phi i64 [ -1, %entry ], [ %generation, %count ]
  %seen = load atomic i64, ptr %remaining monotonic, align 8
  %some = icmp sgt i64 %seen, 0
  br i1 %some, label %take, label %out
take:
  %number = atomicrmw sub ptr %remaining, i64 1 acquire
  %held = icmp sgt i64 %number, 0
  br i1 %held, label %found, label %out
found:
  %generation = load i64, ptr %generation.at
  %tape = load ptr, ptr %tape.at
  %table = load ptr, ptr %table.at
  %tickets = load i64, ptr %tickets.at
  %error = load ptr, ptr %error.at
  %ticket = sub i64 %tickets, %number
  %same = icmp eq i64 %generation, %known
  %k.start = select i1 %same, i64 %k.before, i64 0
  %first.start = select i1 %same, i64 %first.before, i64 0
  br label %walk
walk:
  %k = phi i64 [ %k.start, %found ], [ %k.next, %on ]
  %first = phi i64 [ %first.start, %found ], [ %behind, %on ]
  %row = getelementptr [4 x i64], ptr %tape, i64 %k
  %chunks.at = getelementptr i64, ptr %row, i64 1
  %chunks = load i64, ptr %chunks.at
  %behind = add i64 %first, %chunks
  %within = icmp slt i64 %ticket, %behind
  br i1 %within, label %here, label %on
on:
  %k.next = add i64 %k, 1
  br label %walk
here:
  %wait.at = getelementptr i64, ptr %row, i64 3
  %wait = load i64, ptr %wait.at
  br label %spin
spin:
  %times = phi i64 [ 0, %here ], [ %times.next, %early ]
  %so.far = load atomic i64, ptr %done acquire, align 8
  %ready = icmp sge i64 %so.far, %wait
  br i1 %ready, label %check, label %early
early:
  call void @rest(i64 %times)
  %times.next = add i64 %times, 1
  br label %spin
check:
  %wrong = load atomic i64, ptr %error monotonic, align 8
  %good = icmp eq i64 %wrong, 0
  br i1 %good, label %call, label %count
call:
  %function = load ptr, ptr %row
  %slots.at = getelementptr i64, ptr %row, i64 2
  %slots = load ptr, ptr %slots.at
  %chunk = sub i64 %ticket, %first
  call void %function(ptr %table, ptr %slots, i64 %chunk)
  br label %count
count:
  %counted = atomicrmw add ptr %done, i64 1 release
  br label %look
out:
  ret void
}
"""

_RUN = """
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_signal(ptr)
define i64 @run(ptr %control, ptr %tape, i64 %kernels, ptr %table, i64 %tickets, i64 %threads) {
entry:
  %before = call i64 @flush()
  %busy = getelementptr i8, ptr %control, i64 $BUSY
  %pair = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %free = extractvalue { i64, i1 } %pair, 1
  br i1 %free, label %publish, label %occupied
occupied:
  %result.alone = call i64 @in_order(ptr %tape, i64 %kernels, ptr %table)
  call void @restore(i64 %before)
  ret i64 %result.alone
publish:
  %error = load ptr, ptr %table
  store i64 0, ptr %error
  %generation.at = getelementptr i8, ptr %control, i64 $GENERATION
  %generation = load i64, ptr %generation.at
  %generation.next = add i64 %generation, 1
  store i64 %generation.next, ptr %generation.at
  %tape.at = getelementptr i8, ptr %control, i64 $TAPE
  store ptr %tape, ptr %tape.at
  %table.at = getelementptr i8, ptr %control, i64 $TABLE
  store ptr %table, ptr %table.at
  %tickets.at = getelementptr i8, ptr %control, i64 $TICKETS
  store i64 %tickets, ptr %tickets.at
  %error.at = getelementptr i8, ptr %control, i64 $ERROR
  store ptr %error, ptr %error.at
  %done = getelementptr i8, ptr %control, i64 $DONE
  store atomic i64 0, ptr %done monotonic, align 8
  %remaining = getelementptr i8, ptr %control, i64 $REMAINING
  store atomic i64 %tickets, ptr %remaining seq_cst, align 8
  ; a worker counts itself as sleeping before it looks for the last time: one of us sees the other
  %sleeping = getelementptr i8, ptr %control, i64 $SLEEPING
  %asleep = load atomic i64, ptr %sleeping seq_cst, align 8
  %needed = sub i64 %threads, 1
  %few = icmp slt i64 %asleep, %needed
  %wake = select i1 %few, i64 %asleep, i64 %needed
  %any = icmp sgt i64 %wake, 0
  br i1 %any, label %wake.begin, label %help
wake.begin:
  %mutex = getelementptr i8, ptr %control, i64 $MUTEX
  %awake = getelementptr i8, ptr %control, i64 $AWAKE
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %wake.one
wake.one:
  %w = phi i64 [ 0, %wake.begin ], [ %w.next, %wake.one ]
  %signalled = call i32 @pthread_cond_signal(ptr %awake)
  %w.next = add i64 %w, 1
  %w.more = icmp slt i64 %w.next, %wake
  br i1 %w.more, label %wake.one, label %wake.end
wake.end:
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %help
help:
  call void @work(ptr %control)
  br label %spin
spin:
  %times = phi i64 [ 0, %help ], [ %times.next, %early ]
  %so.far = load atomic i64, ptr %done acquire, align 8
  %all = icmp sge i64 %so.far, %tickets
  br i1 %all, label %end, label %early
early:
  call void @rest(i64 %times)
  %times.next = add i64 %times, 1
  br label %spin
end:
  %result = load i64, ptr %error
  store atomic i64 0, ptr %busy release, align 8
  call void @restore(i64 %before)
  ret i64 %result
}
"""

_RUN_ALONE = """
define i64 @alone(ptr %tape, i64 %kernels, ptr %table) {
  %before = call i64 @flush()
  %result = call i64 @in_order(ptr %tape, i64 %kernels, ptr %table)
  call void @restore(i64 %before)
  ret i64 %result
}
"""

_SERVE = """
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
define internal i64 @now() {
  %time = alloca [2 x i64]
  %ignored = call i32 @clock_gettime(i32 $CLOCK, ptr %time)
  %seconds = load i64, ptr %time
  %part.at = getelementptr i64, ptr %time, i64 1
  %part = load i64, ptr %part.at
  %whole = mul i64 %seconds, 1000000000
  %nanoseconds = add i64 %whole, %part
  ret i64 %nanoseconds
}
define void @serve(ptr %control) {
entry:
  %before = call i64 @flush()
  %remaining = getelementptr i8, ptr %control, i64 $REMAINING
  %stop = getelementptr i8, ptr %control, i64 $STOP
  %sleeping = getelementptr i8, ptr %control, i64 $SLEEPING
  %mutex = getelementptr i8, ptr %control, i64 $MUTEX
  %awake = getelementptr i8, ptr %control, i64 $AWAKE
  br label %idle
idle:
  %since = call i64 @now()
  br label %poll
poll:
  %times = phi i64 [ 0, %idle ], [ %times.next, %patient ]
  %stopped = load atomic i64, ptr %stop acquire, align 8
  %go.on = icmp eq i64 %stopped, 0
  br i1 %go.on, label %look, label %end
look:
  %seen = load atomic i64, ptr %remaining monotonic, align 8
  %some = icmp sgt i64 %seen, 0
  br i1 %some, label %work, label %wait
work:
  call void @work(ptr %control)
  br label %idle
wait:
  call void @rest(i64 %times)
  %times.next = add i64 %times, 1
  %part = and i64 %times.next, 31
  %look.at.clock = icmp eq i64 %part, 0
  br i1 %look.at.clock, label %clock, label %patient
clock:
  %now = call i64 @now()
  %waited = sub i64 %now, %since
  %long = icmp sgt i64 %waited, $PATIENCE
  br i1 %long, label %sleep, label %patient
patient:
  br label %poll
sleep:
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %more = atomicrmw add ptr %sleeping, i64 1 seq_cst
  br label %sleep.look
sleep.look:
  %stopped.now = load atomic i64, ptr %stop seq_cst, align 8
  %seen.now = load atomic i64, ptr %remaining seq_cst, align 8
  %some.now = icmp sgt i64 %seen.now, 0
  %stop.now = icmp ne i64 %stopped.now, 0
  %up = or i1 %some.now, %stop.now
  br i1 %up, label %sleep.end, label %sleep.on
sleep.on:
  %ignored = call i32 @pthread_cond_wait(ptr %awake, ptr %mutex)
  br label %sleep.look
sleep.end:
  %less = atomicrmw sub ptr %sleeping, i64 1 seq_cst
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %idle
end:
  call void @restore(i64 %before)
  ret void
}
"""

_DENORMALS = """
define i64 @denormals() {
  %before = call i64 @flush()
  call void @restore(i64 %before)
  ret i64 %before
}
"""

_PREPARE = """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_cond_init(ptr, ptr)
define void @prepare(ptr %control) {
  %mutex = getelementptr i8, ptr %control, i64 $MUTEX
  %awake = getelementptr i8, ptr %control, i64 $AWAKE
  %a = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr %awake, ptr null)
  ret void
}
"""

_STOP = """
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_broadcast(ptr)
define void @stop(ptr %control) {
  %stop = getelementptr i8, ptr %control, i64 $STOP
  %mutex = getelementptr i8, ptr %control, i64 $MUTEX
  %awake = getelementptr i8, ptr %control, i64 $AWAKE
  %a = call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i64 1, ptr %stop seq_cst, align 8
  %b = call i32 @pthread_cond_broadcast(ptr %awake)
  %c = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
"""


def alone() -> str:
    """``i64 alone(ptr tape, i64 kernels, ptr table)``: the error word after the whole tape."""
    return _text(_machine(), _ALONE, _RUN_ALONE)


def run() -> str:
    """``i64 run(ptr control, ptr tape, i64 kernels, ptr table, i64 tickets, i64 threads)``.

    As ``alone``, with the workers of the control block; at most threads - 1 are woken.  If another
    thread has them, it runs alone.
    """
    return _text(_machine(), _ALONE, _WORK, _RUN)


def serve() -> str:
    """``void serve(ptr control)``: a worker's life, until ``stop``."""
    return _text(_machine(), _WORK, _SERVE)


def denormals() -> str:
    """``i64 denormals()``: how this thread treats them, for ``restore``."""
    return _text(_machine(), _DENORMALS)


def flush() -> str:
    """``i64 flush()``: from now on this thread's denormals are flushed; how it was before."""
    return _text(_machine()).replace("define internal i64 @flush", "define i64 @flush")


def restore() -> str:
    """``void restore(i64)``: this thread as it was before."""
    return _text(_machine()).replace("define internal void @restore", "define void @restore")


def prepare() -> str:
    """``void prepare(ptr control)``: make a control block of zeros ready."""
    return _text(_PREPARE)


def stop() -> str:
    """``void stop(ptr control)``: let the workers end; awake ones do when they have no ticket."""
    return _text(_STOP)


def _machine() -> str:
    name = platform.machine().lower()
    return _MACHINE.get({"amd64": "x86_64", "arm64": "aarch64"}.get(name, name), _MACHINE[""])


def _text(*parts: str) -> str:
    numbers = {name: str(offset) for name, offset in _FIELDS.items()}
    numbers |= {"SPINS": str(_SPINS), "PATIENCE": str(_PATIENCE)}
    numbers["CLOCK"] = str(getattr(time, "CLOCK_MONOTONIC", 0))
    return Template("".join(parts)).safe_substitute(numbers)
