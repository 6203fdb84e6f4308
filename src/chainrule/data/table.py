"""Tables of numbers in CSV files."""

from __future__ import annotations

import csv
import io
from array import array
from math import isfinite
from os import PathLike
from typing import Any

import numpy as np

from chainrule.data.dataset import TensorDataset
from chainrule.data.files import content_of
from chainrule.errors import DataError, UsageError, did_you_mean, message

__all__ = ["CSV"]

EXACT = 2**53  # whole numbers up to here are exact in a float


class CSV(TensorDataset):
    r"""The rows of a CSV file: sample i is (x f32[D], label), or (x,) without a label column.

    source: a path or the bytes.  label: the name or the number of the column (-1: the last) that is
    to be predicted.  Its texts become classes, in alphabetical order, and labels i64; whole numbers
    stay labels i64; other numbers become targets f32[1].  header: whether the first line holds
    names; by default, if no entry of it is a number.  All other columns must be finite numbers.
    Raises DataError with line and column.  Memory: 12 bytes a number while reading, then 4.

    columns: the names of the numbers in x.  classes: those of the labels, if they are texts.

    >>> table = CSV(b"width,height,kind\n1,2,cat\n3,4.5,ant\n", label="kind")
    >>> table.columns, table.classes, table[1]
    (['width', 'height'], ['ant', 'cat'], (array([3. , 4.5], dtype=float32), np.int64(0)))
    """

    def __init__(
        self,
        source: str | PathLike[str] | bytes,
        label: str | int | None = None,
        *,
        header: bool | None = None,
        delimiter: str = ",",
    ) -> None:
        content, self.name = content_of(source, "a table")
        self.classes: list[str] = []
        try:
            text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            arrays = self._read(rows, label, header)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(
                message("CSV", self.name, "a table in UTF-8", why=str(error))
            ) from error
        super().__init__(*arrays)

    def _read(self, rows: Any, label: str | int | None, header: bool | None) -> list[np.ndarray]:
        first = next((row for row in rows if row), None)
        if first is None:
            raise DataError(message("CSV", f"{self.name}, which is empty", "rows of numbers"))
        if header is None:
            header = not any(map(_is_number, first))
        names = first if header else [str(number) for number in range(len(first))]
        where = self._label_column(label, names, header)
        self.columns = [name for column, name in enumerate(names) if column != where]
        numbers, marks = array("d"), []
        if not header:
            self._add(first, names, where, rows.line_num, numbers, marks)
        for row in rows:
            if row:
                self._add(row, names, where, rows.line_num, numbers, marks)
        count = len(marks)
        if not count:
            raise DataError(message("CSV", f"{self.name} of 0 rows", "at least one"))
        x = (
            np.frombuffer(numbers, np.float64).reshape(count, -1)
            if numbers
            else np.empty((count, 0))
        )
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
            got = f"{self.name}: a number beyond float32 in row {row + 1} of the data"
            raise DataError(message("CSV", got, "at most 3.4e38"))
        return [x] if where is None else [x, self._targets(marks)]

    def _add(
        self,
        row: list[str],
        names: list[str],
        where: int | None,
        line: int,
        numbers: array[float],
        marks: list[str],
    ) -> None:
        if len(row) != len(names):
            got, needs = f"{self.name}, line {line}: {len(row)} entries", f"{len(names)}"
            raise DataError(message("CSV", got, needs, why="The first line has as many"))
        for column, entry in enumerate(row):
            sound = entry.strip() if column == where else _is_number(entry)
            if not sound:
                place = f"line {line}, column {column + 1} ({names[column][:40]})"
                needs = "a label" if column == where else "a finite number"
                got = f"{self.name}, {place}: {entry[:40]!r}"
                raise DataError(message("CSV", got, needs))
            if column != where:
                numbers.append(float(entry))
        marks.append("" if where is None else row[where].strip())

    def _label_column(self, label: str | int | None, names: list[str], header: bool) -> int | None:
        if label is None:
            return None
        if isinstance(label, str) and label in names and header:
            return names.index(label)
        if isinstance(label, int) and -len(names) <= label < len(names):
            return label % len(names)
        columns = ", ".join(names[:12]) if header else f"a number up to {len(names) - 1}"
        remedy = did_you_mean(str(label), names) if header else ""
        raise UsageError(
            message("CSV", f"label = {label!r}", f"a column: {columns}", remedy=remedy)
        )

    def __repr__(self) -> str:
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"<CSV {self.name}: {len(self)} rows of {len(self.columns)} numbers{classes}>"

    def _targets(self, marks: list[str]) -> np.ndarray:
        """Labels i64[N] or targets f32[N,1] of the entries of the label column."""
        if not all(map(_is_number, marks)):
            self.classes = sorted(set(marks))
            number_of = {name: number for number, name in enumerate(self.classes)}
            return np.array([number_of[mark] for mark in marks], np.int64)
        values = np.array([float(mark) for mark in marks])
        if (values == np.rint(values)).all() and abs(values).max() <= EXACT:
            return values.astype(np.int64)
        with np.errstate(over="ignore"):
            targets = values.astype(np.float32)[:, None]
        if not np.isfinite(targets).all():
            raise DataError(message("CSV", f"{self.name}: labels beyond float32", "at most 3.4e38"))
        return targets


def _is_number(entry: str) -> bool:
    """Whether a text is a finite number as people write them (Python also takes 1_000 and ٣)."""
    try:
        return entry.isascii() and "_" not in entry and isfinite(float(entry))
    except ValueError:
        return False
