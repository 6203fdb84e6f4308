"""The figures of docs/results.md: ``python benchmarks/core.py [FIGURE]``, all without a word.

Each is measured by the program itself, on the machine it runs on, which should do nothing else.
``digits`` also reads MNIST, where ``--data-dir FOLDER`` names a folder with its t10k files.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.data import rasterise
from chainrule.errors import DataError
from chainrule.train.reader import PictureReader

DRAWINGS = Path(__file__).parent.parent / "tests" / "data" / "drawings" / "drawings.json"


def seconds_to_import() -> None:
    """``import chainrule`` in a fresh interpreter, without the interpreter's own start."""
    program = (
        "import time; t = time.perf_counter(); import chainrule; print(time.perf_counter() - t)"
    )
    times = []
    for _ in range(10):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        times.append(float(done.stdout))
    print(f"import chainrule: median of 10 {statistics.median(times):.3f} s")


def seconds_for_nodes(count: int = 50_000) -> None:
    """Nodes of a small graph recorded, differentiated and run, in graphs of 20 nodes."""
    x = cr.tensor(np.linspace(0.1, 0.4, 4), requires_grad=True)
    start = time.perf_counter()
    for _ in range(count // 20):
        y = x
        for _ in range(5):
            y = (y * x + 0.5).tanh() - x
        x.grad = None
        y.sum().backward()
        x.grad.numpy()
    print(f"{count} nodes recorded, differentiated, run: {time.perf_counter() - start:.2f} s")


def ratio_of_jacobian_orders(n: int = 800) -> None:
    """A row times three Jacobians: how much longer it takes from the input than from the loss."""
    rng = np.random.default_rng(0)
    row = cr.tensor(rng.normal(size=(1, n)))
    a, b, c = (cr.tensor(rng.normal(size=(n, n))) for _ in range(3))

    def seconds(product: Callable[[], cr.Tensor]) -> float:
        start = time.perf_counter()
        product().numpy()
        return time.perf_counter() - start

    ratios = [
        seconds(lambda: row @ (a @ (b @ c))) / seconds(lambda: row @ a @ b @ c) for _ in range(9)
    ]
    ratio = statistics.median(ratios)
    print(f"Jacobians of {n}×{n}, input first / loss first: median of 9 {ratio:.0f}")


def cost_of_the_check_for_nan(steps: int = 60) -> None:
    """LeNet's step under ``Trainer(nan="stop")`` against ``nan="ignore"``, in turn."""
    rng = np.random.default_rng(0)
    x = cr.tensor(rng.random((64, 1, 28, 28), np.float32))
    labels = cr.tensor(rng.integers(0, 10, 64))
    trainers = {}
    for nan in ("stop", "ignore"):
        cr.manual_seed(0)
        model = cr.models.lenet5()
        optimizer = cr.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        trainers[nan] = cr.Trainer(model, cr.nn.CrossEntropyLoss(), optimizer, nan=nan)
    times: dict[str, list[float]] = {nan: [] for nan in trainers}
    for _ in range(steps):
        for nan, trainer in trainers.items():
            start = time.perf_counter()
            trainer.fit([(x, labels)], epochs=1, verbose=False)
            times[nan].append(time.perf_counter() - start)
    stop, ignore = (statistics.median(times[nan]) for nan in ("stop", "ignore"))
    print(f"LeNet's step {1e3 * ignore:.1f} ms; the check for NaN adds {stop / ignore - 1:.1%}")


def train(seed: int, folder: Path) -> dict:
    """One run of ``chainrule train lenet``; its result."""
    command = [sys.executable, "-m", "chainrule", "train", "lenet", "--seed", str(seed), "--json"]
    out = folder / f"lenet-{seed}"
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def drawings_right(reader: PictureReader) -> tuple[int, int]:
    """How many of the program-drawn digits a run reads rightly."""
    drawings = json.loads(DRAWINGS.read_text())["drawings"]
    pictures = [rasterise(d["strokes"], d["width"]) for d in drawings]
    right = sum(reader.read(p) == d["label"] for p, d in zip(pictures, drawings, strict=True))
    return right, len(drawings)


def mnist_right(reader: PictureReader, folder: Path, count: int = 1000) -> tuple[int, int]:
    """How many of the first MNIST test images, enlarged to 280×280, a run reads rightly."""
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    labels = np.frombuffer(
        gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )
    right = 0
    for image, label in zip(images, labels, strict=False):
        with contextlib.suppress(DataError):  # what shows no digit is not read rightly
            right += int(reader.read(np.kron(image, np.ones((10, 10), np.uint8))) == label)
    return right, len(images)


def digits(seeds: range, data_dir: Path | None) -> None:
    """Accuracy and time of training for each seed; drawings and MNIST with the first."""
    with tempfile.TemporaryDirectory() as name:
        for seed in seeds:
            result = train(seed, Path(name))
            accuracy, seconds = result["test_accuracy"], result["seconds"]
            print(f"seed {seed}: test accuracy {accuracy:.1%}, {seconds:.1f} s")
        reader = PictureReader(Path(name) / f"lenet-{seeds[0]}")
        print("drawings right: {} of {}".format(*drawings_right(reader)))
        if data_dir is None:
            print("MNIST: not measured; name its folder with --data-dir")
        else:
            print("MNIST test images right: {} of {}".format(*mnist_right(reader, data_dir)))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=["all", "import", "nodes", "jacobians", "check", "digits"],
    )
    parser.add_argument("--data-dir", type=Path, help="a folder with MNIST's t10k files")
    options = parser.parse_args()
    if options.what in ("all", "import"):
        seconds_to_import()
    if options.what in ("all", "nodes"):
        seconds_for_nodes()
    if options.what in ("all", "jacobians"):
        ratio_of_jacobian_orders()
    if options.what in ("all", "check"):
        cost_of_the_check_for_nan()
    if options.what in ("all", "digits"):
        digits(range(5), options.data_dir)


if __name__ == "__main__":
    main()
