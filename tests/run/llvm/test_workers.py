import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import UsageError
from chainrule.run.llvm import workers
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


@pytest.mark.parametrize("n", [0, 65, True, 2.0, "2"])
def test_a_wrong_number_of_threads(n):
    with pytest.raises(UsageError, match=r"needs a whole number from 1 to 64\."):
        workers.set_num_threads(n)
