"""``chainrule data``: which data sets there are, where they lie, what is in them; getting them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from chainrule.cli.output import can_print_blocks, command, console, say, say_json
from chainrule.cli.paint import paint, side_by_side
from chainrule.data import Grayscale, ImageSet, Resize, TensorDataset, open_dataset
from chainrule.data.image_sets import NAMES, locate
from chainrule.data.sources import SOURCES, data_folders, download
from chainrule.data.toys import TOYS
from chainrule.errors import UsageError, did_you_mean, message

HELP = """List the data sets, show what is in one, or get one.

ACTION is list, show or get. Files are sought in --data-dir, then in CHAINRULE_DATA; without both
in your data folder. get puts them into the first of these.

\b
Examples:
  chainrule data
  chainrule data show digits
  chainrule data get mnist
  chainrule data show mnist --data-dir ~/data
"""

SIDE = 14  # pixels of a painted picture: five fit into 79 columns
PLOT = (24, 48)  # rows and columns of painted points


def run(
    action: Annotated[str, typer.Argument(help="list, show or get.", show_default=False)] = "list",
    name: Annotated[str, typer.Argument(metavar="NAME", help="A set.", show_default=False)] = "",
    data_dir: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List, show or get."""
    if action not in _ACTIONS:
        remedy = did_you_mean(action, _ACTIONS)
        raise UsageError(message("data", repr(action), "list, show or get", remedy=remedy))
    if action == "list":
        _list(data_dir, json)
        return
    known = (*SOURCES, "digits") if action == "get" else (*NAMES, *TOYS)
    if name not in known:
        got = repr(name) if name else "no NAME"
        remedy = did_you_mean(name, known) if name else ""
        raise UsageError(
            message(f"data {action}", got, "one of " + ", ".join(known), remedy=remedy)
        )
    _ACTIONS[action](name, data_dir, json)


# ------------------------------------------------------------ list


def _list(data_dir: str | None, json: bool) -> None:
    rows = [_row(name, data_dir) for name in (*NAMES, *TOYS)]
    if json:
        say_json(rows)
        return
    say(f"{'name':13}  {'what':44}  {'size':>6}  where")
    for row in rows:
        size = f"{row['megabytes']} MB" if row["megabytes"] else ""
        say(f"{row['name']:13}  {row['what']:44}  {size:>6}  {row['where'] or 'not here'}")
    missing = [row["name"] for row in rows if not row["where"]]
    if missing:
        say(f"\n{command()} data get {missing[0]} puts it into {data_folders(data_dir)[0]}")


def _row(name: str, data_dir: str | None) -> dict[str, Any]:
    """One set: name, what, megabytes of its download, where (None where it is not present)."""
    if name in SOURCES:
        source, folder = SOURCES[name], locate(name, data_dir)
        where = None if folder is None else str(folder)
        return _record(name, source.what, source.megabytes, where)
    if name in TOYS:
        return _record(name, _what(name), 0, "made here")
    return _record(name, "handwritten digits, 8×8, 1,257 + 180 + 360", 0, "shipped")


def _record(name: str, what: str, megabytes: int, where: str | None) -> dict[str, Any]:
    present = where is not None
    return {"name": name, "what": what, "megabytes": megabytes, "where": where, "present": present}


def _what(toy: str) -> str:
    """What the function's docstring begins with."""
    return (TOYS[toy].__doc__ or "").partition(": f32")[0]


# ------------------------------------------------------------ show


def _show(name: str, data_dir: str | None, json: bool) -> None:
    if name in TOYS:
        _show_toy(name, json)
        return
    parts = {
        split: open_dataset(name, split, data_dir)
        for split in ("train", "validation", "test")
        if split != "validation" or name == "digits"
    }
    train = parts["train"]
    facts = {
        "name": name,
        "classes": train.classes,
        "parts": {split: _facts(part.raw, len(train.classes)) for split, part in parts.items()},
    }
    if json:
        say_json(facts)
        return
    for split, found in facts["parts"].items():
        say(f"{split:10}  images {found['x']}, labels {found['y']}")
    say(f"\n{'class':16}" + "".join(f"{split:>12}" for split in parts))
    for number, label in enumerate(train.classes):
        counts = [found["counts"][number] for found in facts["parts"].values()]
        title = f"{number:3} {'' if label == str(number) else label}"
        say(f"{title:16}" + "".join(f"{count:12,}" for count in counts))
    say()
    for line in _pictures(train):
        say(line)


def _facts(dataset: TensorDataset, classes: int) -> dict[str, Any]:
    x, y = dataset.arrays
    counts = np.bincount(y, minlength=classes).tolist() if y.dtype == np.int64 else []
    return {"samples": len(x), "x": _type(x), "y": _type(y), "counts": counts}


def _type(array: np.ndarray) -> str:
    """f32[N,2]"""
    kinds = {"uint8": "u8", "int64": "i64", "float32": "f32"}
    return f"{kinds[array.dtype.name]}[{','.join(map(str, array.shape))}]"


def _pictures(dataset: ImageSet) -> Iterator[Any]:
    """The first picture of each of the first ten classes, five in a row."""
    first = [np.flatnonzero(dataset.targets == label) for label in range(len(dataset.classes))]
    chosen = [int(found[0]) for found in first if found.size][:10]
    for start in range(0, len(chosen), 5):
        painted = []
        for number in chosen[start : start + 5]:
            image = dataset.data[number][None] / np.float32(dataset.peak)
            image = Grayscale()(image) if image.shape[1] == 3 else image
            image = Resize((SIDE, SIDE))(image) if image.shape[-1] > SIDE else image
            painted.append(paint(image[0, 0]))
        yield from side_by_side(painted)


def _show_toy(name: str, json: bool) -> None:
    dataset = TOYS[name]()
    x, y = dataset.arrays
    classes = int(y.max()) + 1 if y.dtype == np.int64 else 0
    if json:
        say_json({"name": name} | _facts(dataset, classes))
        return
    say(f"{name}: {_what(name)}")
    say(f"{len(x)} samples: inputs {_type(x)}, " + (f"{classes} classes" if classes else "targets"))
    points = x if x.shape[1] == 2 else np.concatenate([x[:, :1], y], axis=1)
    for line in paint(_plot(points, y if classes else np.zeros(len(x), np.int64))):
        say(line)


def _plot(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """f64[24,48]: points as pixels, the lower classes brighter."""
    low, high = points.min(axis=0), points.max(axis=0)
    at = (points - low) / np.where(high > low, high - low, 1)
    rows, columns = PLOT
    image = np.zeros(PLOT)
    shade = 1 - 0.55 * labels / max(1, labels.max())
    image[
        np.rint((1 - at[:, 1]) * (rows - 1)).astype(int),
        np.rint(at[:, 0] * (columns - 1)).astype(int),
    ] = shade
    return image


# ------------------------------------------------------------ get


def _get(name: str, data_dir: str | None, json: bool) -> None:
    there = "shipped" if name == "digits" else locate(name, data_dir)
    new = there is None
    if new:
        with _bar(quiet=json) as progress:
            there = download(name, data_dir, progress)
    if name != "digits":
        for split in ("train", "test"):
            open_dataset(name, split, data_dir)  # damaged files are told now
    if json:
        say_json({"name": name, "where": str(there), "downloaded": new})
    elif name == "digits":
        say("digits come with the package")
    else:
        say(f"{name} is {'now' if new else 'already'} in {there}")


@contextmanager
def _bar(quiet: bool) -> Iterator[Any]:
    """What download tells its progress to: a bar on a terminal, else a line for each file."""
    to = console()
    shown = to.is_terminal and not quiet and can_print_blocks()
    columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=to, disable=not shown) as bar:
        tasks: dict[str, Any] = {}

        def progress(file: str, so_far: int, in_all: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file)
                if not shown and not quiet:
                    size = f" ({in_all / 1e6:.1f} MB)" if in_all else ""
                    say(f"getting {Path(file).name}{size}")
            bar.update(tasks[file], completed=so_far, total=in_all or None)

        yield progress


_ACTIONS: dict[str, Any] = {"list": _list, "show": _show, "get": _get}
