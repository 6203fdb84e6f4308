import numpy as np
import pytest

from chainrule.data import CSV, DataLoader
from chainrule.errors import DataError, UsageError


def test_numbers_with_and_without_names(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\r\n1,2\r\n3e0, 4.5\r\n\r\n", encoding="utf-8-sig")
    table = CSV(path)
    assert table.columns == ["a", "b"] and table.arrays[0].tolist() == [[1, 2], [3, 4.5]]
    assert table.arrays[0].dtype == np.float32
    assert CSV(b"1,2\n3,4\n").arrays[0].tolist() == [[1, 2], [3, 4]]
    assert CSV(b"1;2\n3;4\n", delimiter=";", header=True).columns == ["1", "2"]
    (batch,) = DataLoader(table, 2)
    assert batch[0].tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    ("entries", "label", "targets", "classes"),
    [
        ("dog cat dog", "y", [1, 0, 1], ["cat", "dog"]),
        ("2 0 1", "y", [2, 0, 1], []),
        ("2.0 0 1", -1, [2, 0, 1], []),
        ("2.5 0 1", 1, [[2.5], [0], [1]], []),
        ("1 two 3", "y", [0, 2, 1], ["1", "3", "two"]),
    ],
)
def test_labels(entries, label, targets, classes):
    rows = "".join(f"{number},{entry}\n" for number, entry in enumerate(entries.split()))
    table = CSV(("x,y\n" + rows).encode(), label=label)
    x, y = table.arrays
    assert x.tolist() == [[0], [1], [2]] and y.tolist() == targets
    assert y.dtype == (np.float32 if y.ndim == 2 else np.int64)
    assert table.classes == classes and table.columns == ["x"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n3,x\n", r"line 3, column 2 \(b\): 'x', needs a finite number"),
        ("a,b\n1,2\n3,\n", r"line 3, column 2 \(b\): ''"),
        ("a,b\n1,nan\n", "'nan', needs a finite number"),
        ("a,b\n1,1e400\n", "'1e400'"),
        ("a,b\n1,1e39\n", r"beyond float32 in row 1"),
        ("a,b\n1,1_0\n", "'1_0'"),
        ("a,b\n1,2\n3\n", r"line 3: 1 entries, needs 2\. The first line has as many"),
        ("a,b\n", "of 0 rows"),
        ("\n\n", "which is empty"),
        ('a,b\n1,"2\n', "needs a table in UTF-8"),
        ("a,b\n1,\ud800\n", "needs a table in UTF-8"),
    ],
)
def test_faults_name_the_place(content, words, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=words) as caught:
        CSV(path)
    assert str(path) in str(caught.value)


def test_wrong_labels():
    assert repr(CSV(b"ab,kind\n1,x\n2,y\n", label="kind")).endswith(
        ": 2 rows of 1 numbers, 2 classes>"
    )
    with pytest.raises(UsageError, match=r"needs a column: ab, kind\. Did you mean kind\?"):
        CSV(b"ab,kind\n1,x\n", label="kidn")
    with pytest.raises(UsageError, match="label = 'c', needs a column: a, b"):
        CSV(b"a,b\n1,2\n", label="c")
    with pytest.raises(UsageError, match="a number up to 1"):
        CSV(b"1,2\n", label="a")
    with pytest.raises(UsageError, match="label = 2"):
        CSV(b"1,2\n", label=2)
    with pytest.raises(DataError, match=r"line 3, column 2 \(b\): ' ', needs a label"):
        CSV(b"a,b\n1,x\n1, \n", label="b")
