import csv

import numpy as np
import pytest

from chainrule.errors import UsageError
from chainrule.train.history import History

EPOCHS = [{"loss": 3.0, "val_accuracy": 0.5}, {"loss": 1.0, "val_accuracy": 0.5}, {"loss": 2.0}]


def test_figures_by_name_epoch_and_as_arrays():
    history = History(EPOCHS)
    assert history["loss"] == [3, 1, 2] and history[-1] == history.last == {"loss": 2.0}
    assert np.isnan(history.arrays()["val_accuracy"][2])
    assert History().last == {} and len(History()) == 0


def test_the_best_epoch_is_the_first_of_equal_ones():
    assert History(EPOCHS).best() == (2, 1.0)
    assert History(EPOCHS[:2]).best("val_accuracy") == (1, 0.5)
    assert History(EPOCHS).best("loss", mode="max") == (1, 3.0)
    with pytest.raises(UsageError, match="no epochs"):
        History().best()
    with pytest.raises(UsageError, match="'accuracy', needs one of loss, val_accuracy"):
        History(EPOCHS)["accuracy"]


def test_a_table(tmp_path):
    History(EPOCHS).to_csv(tmp_path / "h.csv")
    rows = list(csv.reader((tmp_path / "h.csv").read_text().splitlines()))
    assert rows[0] == ["epoch", "loss", "val_accuracy"]
    assert rows[1:] == [["1", "3.0", "0.5"], ["2", "1.0", "0.5"], ["3", "2.0", ""]]
