"""How `digits.npz` and `split.json` were made from the table that scikit-learn distributes.

    python -m chainrule.data.digits.make digits.csv.gz

Each row of the table is 64 pixels (0 to 16) and a label. Running this again gives the same bytes.
"""

import gzip
import hashlib
import json
import sys
import textwrap
from pathlib import Path

import numpy as np

SIZES = {"train": 1257, "validation": 180, "test": 360}


def stratified_split(images: np.ndarray, labels: np.ndarray) -> dict[str, list[int]]:
    """Rows of the three parts, each with the classes in the proportions of the whole.

    images: uint8[N,8,8], labels: int[N]. A part's share of a class is its share of the whole,
    rounded by largest remainder so that the part has its size exactly. Inside a class the rows
    are taken in the order of the SHA-256 of their pixels: as good as a shuffle, with no random
    generator whose next version might shuffle differently.
    """
    order = sorted(range(len(images)), key=lambda row: hashlib.sha256(images[row]).digest())
    queues = [[row for row in order if labels[row] == label] for label in range(10)]
    counts = np.array([len(queue) for queue in queues])
    rows: dict[str, list[int]] = {"train": []}
    for name in ("test", "validation"):
        shares = _largest_remainder(counts * SIZES[name] / len(images), SIZES[name])
        rows[name] = sorted(
            row for queue, n in zip(queues, shares, strict=True) for row in queue[:n]
        )
        queues = [queue[n:] for queue, n in zip(queues, shares, strict=True)]
    rows["train"] = sorted(row for queue in queues for row in queue)
    return {name: rows[name] for name in SIZES}


def _largest_remainder(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers near `shares` that add up to `total`; of equal remainders the first goes up."""
    whole = np.floor(shares).astype(int)
    largest = np.argsort(whole - shares, kind="stable")
    whole[largest[: total - whole.sum()]] += 1
    return whole


def main(table: Path) -> None:
    """Write both files beside this one."""
    with gzip.open(table, "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :64].reshape(-1, 8, 8), rows[:, 64]
    here = Path(__file__).parent
    np.savez_compressed(here / "digits.npz", images=images, labels=labels)
    parts = stratified_split(images, labels).items()
    lists = [f'"{name}": [\n{textwrap.fill(str(rows)[1:-1], 100)}\n]' for name, rows in parts]
    text = "{" + ",\n".join(lists) + "}\n"
    assert json.loads(text) == dict(parts)
    (here / "split.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
