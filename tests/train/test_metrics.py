import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import IndexRangeError, ShapeError, UsageError
from chainrule.train.metrics import (
    ConfusionMatrix,
    Figures,
    TopKAccuracy,
    TopKError,
    accuracy,
    binary_accuracy,
    error,
    mean_absolute_error,
    mean_squared_error,
)

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(50, 6)).astype(np.float32)
LABELS = RNG.integers(0, 6, 50)
LABEL_PAIR = cr.tensor([0, 1])


def test_top_k_over_batches_is_that_of_all_samples():
    order = np.argsort(-SCORES, axis=1)
    for k in (1, 2, 5, 6, 9):
        wanted = np.mean([label in row[:k] for row, label in zip(order, LABELS, strict=True)])
        top, wrong = TopKAccuracy(k), TopKError(k)
        for part in (slice(0, 7), slice(7, 50)):
            top.update(cr.tensor(SCORES[part]), cr.tensor(LABELS[part]))
            wrong.update(cr.tensor(SCORES[part]), cr.tensor(LABELS[part]))
        assert top.compute() == pytest.approx(wanted)
        assert wrong.compute() == pytest.approx(1 - wanted)
    assert error(cr.tensor(SCORES), cr.tensor(LABELS)) == 1 - accuracy(
        cr.tensor(SCORES), cr.tensor(LABELS)
    )


def test_equal_outputs_and_nan_are_no_luck():
    top = TopKAccuracy(1)
    top.update(cr.zeros(4, 3), cr.tensor([0, 1, 2, 0]))
    assert top.compute() == 0.5
    top.reset()
    top.update(cr.full((2, 3), float("nan")), cr.tensor([0, 1]))
    assert top.compute() == 0.0


def test_a_confusion_matrix_adds_up_and_tells_each_class():
    matrix = ConfusionMatrix(6)
    for part in (slice(0, 11), slice(11, 50)):
        matrix.update(cr.tensor(SCORES[part]), cr.tensor(LABELS[part]))
    wanted = np.zeros((6, 6), int)
    for label, answer in zip(LABELS, SCORES.argmax(1), strict=True):
        wanted[label, answer] += 1
    assert (matrix.compute() == wanted).all()
    of_class = matrix.per_class()[2]
    precision, recall = wanted[2, 2] / wanted[:, 2].sum(), wanted[2, 2] / wanted[2].sum()
    assert of_class["precision"] == pytest.approx(precision)
    assert of_class["recall"] == pytest.approx(recall)
    assert of_class["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert of_class["samples"] == wanted[2].sum()


def test_a_class_that_never_came_up_has_no_figures():
    matrix = ConfusionMatrix(["cat", "dog"])
    matrix.update(cr.tensor([0, 0]), cr.tensor([0, 0]))
    assert str(matrix).splitlines()[2].split() == ["dog", "0", "0", "-", "-", "-"]


def test_mean_errors():
    y, t = cr.tensor([[1.0], [4.0]]), cr.tensor([[3.0], [4.0]])
    assert mean_squared_error(y, t) == 2.0 and mean_absolute_error(y, t) == 1.0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: accuracy(cr.ones(3, 2), LABEL_PAIR), ShapeError, r"f32\[3,2\] and targets i64"),
        (lambda: accuracy(cr.ones(3), cr.tensor([0, 1, 1])), ShapeError, "needs f.N,K. and i64.N."),
        (lambda: accuracy(cr.ones(3, 2), cr.ones(3, 2)), ShapeError, "one-hot"),
        (lambda: accuracy(cr.ones(3, 1), cr.ones(3, 1)), ShapeError, "binary_accuracy"),
        (lambda: binary_accuracy(cr.ones(3, 1), cr.ones(3)), ShapeError, r"s\.reshape\(3, 1\)"),
        (lambda: binary_accuracy(cr.ones(2), -cr.ones(2)), UsageError, r"target of -1.*\+ 1\) / 2"),
        (lambda: mean_squared_error(cr.ones(4, 1), cr.ones(4)), ShapeError, "equal shapes"),
        (lambda: TopKAccuracy(0), UsageError, "k = 0"),
        (lambda: ConfusionMatrix(0), UsageError, "no classes"),
        (lambda: TopKAccuracy(2).update(cr.ones(2, 1), LABEL_PAIR), IndexRangeError, "class 1 at"),
        (lambda: ConfusionMatrix(1).update(cr.ones(2, 3), LABEL_PAIR), IndexRangeError, "0 to 0"),
        (lambda: ConfusionMatrix(2).update(cr.ones(3), LABEL_PAIR), ShapeError, "i64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_figures_are_kept_and_go_on():
    def figures():
        return Figures([accuracy, TopKAccuracy(2), ConfusionMatrix(6)])

    whole, first = figures(), figures()
    for part in (slice(0, 20), slice(20, 50)):
        whole.add(1.0 + part.start, cr.tensor(SCORES[part]), cr.tensor(LABELS[part]))
    first.add(1.0, cr.tensor(SCORES[:20]), cr.tensor(LABELS[:20]))
    second = figures()
    second.load_state_dict(first.state_dict())
    second.add(21.0, cr.tensor(SCORES[20:]), cr.tensor(LABELS[20:]))
    assert second.value() == whole.value()
    assert set(whole.value()) == {"loss", "accuracy", "top2_accuracy"}
    assert whole.value()["loss"] == pytest.approx((20 * 1 + 30 * 21) / 50)
    matrices = [f.metrics["confusion_matrix"].compute() for f in (whole, second)]
    assert (matrices[0] == matrices[1]).all()


def test_a_metric_by_its_name_is_no_metric():
    with pytest.raises(UsageError, match=r"\[Trainer\] got metric 'accuracy', needs a function"):
        Figures(["accuracy"])
