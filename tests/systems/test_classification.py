"""The recipes of the digits' classifiers, on the shipped digits and on files in MNIST's form."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.systems import SYSTEMS
from chainrule.systems.classification import open_parts
from chainrule.train.trainer import Trainer

NAMES = ["softmax-regression", "mlp", "lenet", "lenet-1998", "lenet-lecture"]


@pytest.fixture
def mnist(tmp_path):
    """A folder with 40 training and 20 test images in MNIST's files: bars, one place per class."""
    for part, count in (("train", 40), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 + 2 * label] = 255
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim])
            header += b"".join(size.to_bytes(4, "big") for size in array.shape)
            path = tmp_path / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes()))
    return tmp_path


def trained(recipe, data_dir=None):
    parts = recipe.parts(data_dir)
    net = models.build(recipe.model, **recipe.config)
    optimizer = recipe.optimizer(net.parameters(), lr=recipe.lr)
    trainer = Trainer(net, recipe.loss, optimizer, schedule=recipe.schedule)
    trainer.fit(parts.train, epochs=recipe.epochs)
    return trainer, parts


@pytest.mark.parametrize("name", NAMES)
def test_recipes_count_their_parameters_and_fit_their_data(name, mnist):
    for data, recipe in SYSTEMS[name].recipes.items():
        assert recipe.data == data
        net = models.build(recipe.model, **recipe.config)
        assert sum(p.numel() for p in net.parameters()) == recipe.parameters
        parts = recipe.parts(str(mnist))
        for loader in (parts.train, parts.validation, parts.test):
            assert loader is not None
            images, labels = next(iter(loader))
            assert images.shape[1:] in (net.input_shape, (1, 28, 28)) and images.max() <= 1.001
            assert net(images[:2]).shape == (2, 10) and labels.dtype == cr.int64
        assert len(parts.train.dataset) == (1257 if data == "digits" else 36)


@pytest.mark.parametrize("name", NAMES)
def test_each_learns_bars_in_files_of_mnist_s_form(name, mnist):
    """A few steps on pictures that any of them tells apart at once: the whole path works."""
    cr.manual_seed(0)
    recipe = SYSTEMS[name].recipes["mnist"]
    trainer, parts = trained(replace(recipe, epochs=60, batch_size=18), str(mnist))
    report = recipe.report(trainer, parts)
    assert report.result["of"] == 20 and report.result["correct"] >= 16


def test_the_last_tenth_of_few_images_validates(mnist):
    parts = open_parts("mnist", str(mnist))
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 36,
        "validation": 4,
        "test": 20,
    }
    assert parts["validation"].arrays[1].tolist() == [6, 7, 8, 9]


def test_softmax_regression_shows_its_rows_as_pictures():
    recipe = replace(SYSTEMS["softmax-regression"].recipes["digits"], epochs=1)
    trainer, parts = trained(recipe)
    pictures = recipe.report(trainer, parts).pictures
    assert list(pictures) == [f"template-{label}" for label in range(10)]
    for row in pictures.values():
        assert row.shape == (28, 28) and row.min() >= 0 and row.max() <= 1
    weight = trainer.model.fc.weight.numpy()[3].reshape(28, 28)
    assert np.corrcoef(pictures["template-3"].ravel(), weight.ravel())[0, 1] > 0.9999


def test_a_set_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(cr.DataError, match="chainrule data get mnist"):
        SYSTEMS["lenet"].recipes["mnist"].parts(str(tmp_path))


def test_the_softmax_s_jacobian_is_diag_y_minus_y_yt():
    x = cr.tensor(np.random.default_rng(0).normal(size=10))
    y = x.softmax(0).numpy()
    jacobian = cr.func.jacrev(lambda x: x.softmax(0))(x).numpy()
    np.testing.assert_allclose(jacobian, np.diag(y) - np.outer(y, y), rtol=0, atol=1e-12)
