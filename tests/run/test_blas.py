import os
import subprocess
import sys

from chainrule.run import blas

PROGRAM = """
import hashlib
import numpy as np
import chainrule as cr
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for m, k, n in [(64, 400, 120), (6, 25, 50176), (300, 300, 300), (1, 100000, 1)]:
    for dtype in ("float32", "float64"):
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        digest.update((cr.tensor(a) @ cr.tensor(b)).numpy().tobytes())
print(digest.hexdigest())
"""


def digest_with(threads: int) -> str:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_products_have_the_same_bits_for_any_number_of_blas_threads():
    assert len({digest_with(threads) for threads in (1, 2, 3)}) == 1


def test_numpy_has_its_threads_back_afterwards():
    if blas._get is None:
        return  # NumPy uses another library: there is nothing to give back
    before = blas._get()
    with blas.one_thread(), blas.one_thread():
        assert blas._get() == 1
    assert blas._get() == before
