"""The mistakes that people make, and the whole text that each of them gets."""

import re
import warnings

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn as nn
import chainrule.nn.functional as F
from chainrule import optim

TABLE = []


def says(error, text):
    """Put a mistake, its exception and its text into the table; LINE stands for where it is."""

    def put(mistake):
        TABLE.append(pytest.param(mistake, error, text, id=mistake.__name__))
        return mistake

    return put


def without_lines(text):
    return re.sub(r"test_error_table\.py:\d+( in [\w.<>]+)?", "LINE", text)


# ---------------------------------------------------------------- shapes


@says(
    cr.ShapeError,
    "[1/Linear] got f32[2,16,5,5] with last axis 5, needs 400: flatten(1) first (LINE). "
    "weight is f32[10,400].",
)
def forgotten_flatten():
    nn.Sequential(nn.Conv2d(1, 16, 6), nn.Linear(400, 10))(cr.zeros(2, 1, 10, 10))


@says(
    cr.ShapeError,
    "[0/Conv2d] got f32[64,3,28,28], needs C=1 (LINE). weight is f32[6,1,5,5]: an RGB image into "
    "a grey-scale network? Grayscale(), or in_channels=3.",
)
def a_colour_image_into_a_grey_network():
    nn.Sequential(nn.Conv2d(1, 6, 5))(cr.zeros(64, 3, 28, 28))


@says(
    cr.ShapeError,
    "[Conv2d] got f32[64,28,28,3], needs C=3 (LINE). weight is f32[6,3,5,5]: are the channels the "
    "last axis of the input? permute(0, 3, 1, 2).",
)
def channels_last():
    nn.Conv2d(3, 6, 5)(cr.zeros(64, 28, 28, 3))


@says(
    cr.ShapeError,
    "[MSELoss] got input f32[4,1] against target f32[4], needs equal shapes (LINE). Broadcasting "
    "would compare each number with every other. input.reshape([4]).",
)
def a_column_against_a_row_in_a_loss():
    nn.MSELoss()(cr.zeros(4, 1), cr.zeros(4))


@says(
    cr.ShapeError,
    "[1/BatchNorm1d] got f32[1,4] in train mode, needs more than one value per channel (LINE). "
    "The variance of one value is 0. eval(), or a larger batch.",
)
def batch_norm_of_one_value():
    nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))(cr.zeros(1, 3))


# ---------------------------------------------------------------- labels


@says(
    cr.DtypeError,
    "[CrossEntropyLoss] got input f32[4,10] with target f32[4], needs labels i64[4] (LINE). Class "
    "labels are whole numbers, these are float32. target.long(), or MSELoss for numbers, "
    "BCEWithLogitsLoss for yes or no.",
)
def float_labels():
    nn.CrossEntropyLoss()(cr.zeros(4, 10), cr.tensor([1.0, 2.0, 3.0, 4.0]))


@says(
    cr.DtypeError,
    "[CrossEntropyLoss] got input f32[4,10] with target i64[4,10], needs labels i64[4] (LINE). "
    "They look one-hot. target.argmax(1), or .float() for soft targets.",
)
def integer_one_hot_labels():
    nn.CrossEntropyLoss()(cr.zeros(4, 10), cr.eye(10)[:4].long())


@says(
    cr.IndexRangeError,
    "[CrossEntropyLoss/label] got 10 at index [2], needs 0 to 9 (LINE). "
    "10 classes: labels run from 0 to 9.",
)
def a_label_out_of_range():
    nn.CrossEntropyLoss()(cr.zeros(4, 10), cr.tensor([1, 2, 10, 4])).item()


def test_soft_targets_are_right():
    loss = F.cross_entropy(cr.zeros(4, 10), cr.full((4, 10), 0.1))
    assert loss.item() == pytest.approx(np.log(10))


# ---------------------------------------------------------------- softmax


@says(
    cr.UsageError,
    "[softmax] got no dim, needs the axis that sums to 1 (LINE). dim=1 for classes in f[N,C].",
)
def softmax_without_dim():
    F.softmax(cr.zeros(3, 4))


def test_softmax_before_cross_entropy_warns_once():
    model = nn.Sequential(nn.Linear(3, 10), nn.Softmax(dim=1))
    loss = nn.CrossEntropyLoss()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # as in a script
        for _ in range(3):
            loss(model(cr.randn(4, 3)), cr.tensor([1, 2, 3, 4])).item()
    assert [str(warning.message) for warning in caught] == [
        "[CrossEntropyLoss] got the output of softmax, needs logits. "
        "rows sum to 1: CrossEntropyLoss expects logits. Leave the softmax out."
    ]


# ---------------------------------------------------------------- modules


@says(
    cr.UsageError,
    "[Plain.layers] got 2 layers in a plain list, needs an nn.ModuleList. Their parameters would "
    "be neither trained nor saved. self.layers = nn.ModuleList(layers).",
)
def layers_in_a_plain_list():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2), nn.Linear(2, 1)]

        def forward(self, x):
            return self.layers[1](self.layers[0](x))

    list(Plain().parameters())


@says(
    cr.UsageError,
    "[Hasty] got self.fc = Linear(…), needs super().__init__() before it. "
    "Add super().__init__() as the first line of Hasty.__init__.",
)
def super_init_forgotten():
    class Hasty(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(2, 2)

    Hasty()


@says(
    cr.CheckpointError,
    "[load_state_dict] got 3 names that Sequential has otherwise, needs Sequential's state_dict.\n"
    "  reshaped    0.bias    f32[4], needs f32[3]\n"
    "  missing     0.weight  f32[3,2]  nearest 0.weigth\n"
    "  unexpected  0.weigth  nearest 0.weight",
)
def state_of_another_model():
    state = {"0.weigth": cr.zeros(3, 2), "0.bias": cr.zeros(4)}
    nn.Sequential(nn.Linear(2, 3)).load_state_dict(state)


# ---------------------------------------------------------------- optimizers


@says(
    cr.GradientError,
    "[SGD.step] got no gradient for any of 2 parameters, needs loss.backward() before it. "
    "zero_grad() comes before backward(), and the loss must depend on them.",
)
def step_without_any_gradient():
    optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1).step()


def test_zero_grad_that_is_never_called_is_noticed_once():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(8):
            model(cr.ones(1, 2)).sum().backward()
            optimizer.step()
    assert [str(warning.message) for warning in caught] == [
        "[SGD.step] got gradients of 3 steps added up, needs zero_grad() before each backward()."
    ]


# ---------------------------------------------------------------- gradients


@says(
    cr.GradientError,
    "[mul f32[2]] got no gradient that was kept, needs to be named, retained or recorded before "
    'backward() (LINE). Give it a name (v.name = "v"), call v.retain_grad(), or run the step under '
    "cr.record().",
)
def gradient_of_an_unrecorded_value():
    x = cr.ones(2, requires_grad=True)
    h = x * 2
    h.sum().backward()
    h.grad  # noqa: B018


@says(
    cr.GradientError,
    "[backward] got a history that the backward at LINE used up (sum f32[]), needs a fresh one "
    "(LINE). Pass retain_graph=True to the first backward, or compute the loss again.",
)
def backward_twice():
    x = cr.ones(2, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    loss.backward()


@says(
    cr.GradientError,
    "[backward] got mul of type f32[2], needs a scalar. Reduce it with sum() or mean(), or pass "
    "gradient=.",
)
def backward_of_two_numbers():
    x = cr.ones(2, requires_grad=True)
    (x * x).backward()


@says(
    cr.GradientError,
    "[add_] got this tensor, a leaf that requires grad, needs a tensor whose old value no "
    "derivative needs (LINE). with no_grad(): write to it, or compute a new tensor out of place.",
)
def in_place_on_a_leaf():
    x = cr.ones(2, requires_grad=True)
    x += 1


@says(
    cr.GradientError,
    "[backward] got a leaf f32[2], changed in place since mul used it at LINE, needs the value of "
    "then (LINE). Call backward() before the update, or update a copy.",
)
def a_leaf_that_has_changed():
    x = cr.ones(2, requires_grad=True)
    loss = (x * x).sum()
    with cr.no_grad():
        x += 1
    loss.backward()


# ---------------------------------------------------------------- numbers that are not finite


@says(
    cr.NonFiniteError,
    "[data] got 1 NaN in f32[16,3] in step 2 of epoch 1, needs finite numbers (LINE). Sample 5 of "
    "the batch (37 of the data). It came in like that: look at the data. The parameters are those "
    "before this step.",
)
def a_sample_that_is_not_a_number():
    cr.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    labels = (x.sum(1) > 0).astype(np.int64)
    x[37, 1] = np.nan
    batches = cr.data.DataLoader(cr.data.TensorDataset(x, labels), 16, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    cr.Trainer(model, nn.CrossEntropyLoss(), optimizer).fit(batches, epochs=2)


@says(
    cr.NonFiniteError,
    "[log] got all 3 NaN in f32[3], needs finite numbers (LINE). Input: f32[3] = -1. "
    "log needs numbers above 0: x.clamp(min=1e-12).log().",
)
def the_logarithm_of_a_negative_number():
    with cr.detect_anomaly():
        cr.log(cr.zeros(3) - 1).numpy()


# ---------------------------------------------------------------- files


def test_a_file_that_is_missing_damaged_or_foreign(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)

    def says(name, content):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(cr.DataError) as caught:
            cr.data.MNIST(tmp_path) if content is None else cr.data.read_idx(tmp_path / name)
        return str(caught.value).replace(str(tmp_path), "FOLDER")

    assert says("", None) == (
        "[data] got no files of mnist in FOLDER, needs train-images-idx?-ubyte.gz. "
        "chainrule data get mnist gets them; --data-dir and CHAINRULE_DATA say where to look."
    )
    remedy = "Delete it and get it again: chainrule data get NAME."
    short = b"\0\0\x08\x03" + 3 * b"\0\0\0\2" + b"123"
    assert says("short", short) == (
        "[read_idx] got FOLDER/short: [2, 2, 2] with 3 bytes of values, needs 8. "
        f"It is cut short, or its header is damaged. {remedy}"
    )
    assert says("page", b"<html>") == (
        "[read_idx] got FOLDER/page, a web page (HTML), needs an IDX file, whose first four bytes "
        f"are 0, 0, the type and the number of axes. {remedy}"
    )


# ---------------------------------------------------------------- the rest


@says(
    cr.ReadOnlyError,
    "[numpy()] got a write to a read-only snapshot, needs an array of your own. "
    "t.numpy().copy() makes one; t[...] = value writes to the tensor.",
)
def a_write_to_a_snapshot():
    cr.zeros(3).numpy()[0] = 1


@says(
    cr.DtypeError,
    "[dtype] got complex64, needs one of bool, uint8, int32, int64, float32, float64. "
    "Cast it first: .astype('float32').",
)
def a_foreign_number_type():
    cr.tensor(np.zeros(2, np.complex64))


@says(cr.NameNotFoundError, "chainrule has no unsqueze; nearest unsqueeze")
def a_misspelt_name():
    cr.unsqueze  # noqa: B018


@pytest.mark.parametrize(("mistake", "error", "text"), TABLE)
def test_the_text(mistake, error, text):
    with pytest.raises(error) as caught:
        mistake()
    assert without_lines(str(caught.value)) == text
