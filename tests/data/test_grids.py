"""Pictures side by side, as torchvision's utils make them."""

import numpy as np
import pytest

from chainrule import tensor
from chainrule.data import read_picture
from chainrule.data.grids import make_grid, save_image
from chainrule.errors import ShapeError, UsageError


def test_a_grid_has_each_picture_at_its_place():
    pictures = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) * np.ones((1, 1, 2, 3))
    grid = make_grid(tensor(pictures), nrow=3, padding=1, pad_value=9.0)
    assert grid.shape == (3, 7, 13)
    assert grid[0].tolist()[1] == [9, 0, 0, 0, 9, 1, 1, 1, 9, 2, 2, 2, 9]
    assert grid[2].tolist()[4] == [9, 3, 3, 3, 9, 4, 4, 4, 9, 9, 9, 9, 9]
    assert make_grid(pictures[:1]).shape == (3, 2, 3)
    normal = make_grid([pictures[1], pictures[3]], padding=0, normalize=True)
    assert normal[0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ShapeError, match=r"\[make_grid\] got pictures \[0,"):
        make_grid(pictures[:0])


def test_a_grid_in_a_file(tmp_path):
    pictures = np.random.default_rng(0).random((4, 3, 5, 5)).astype(np.float32) * 2 - 0.5
    save_image(tensor(pictures), tmp_path / "x.png", nrow=2, padding=0)
    back = read_picture(tmp_path / "x.png")
    wanted = make_grid(pictures, nrow=2, padding=0).numpy().clip(0, 1)
    assert back.shape == (3, 10, 10) and np.abs(back - wanted).max() <= 0.5 / 255 + 1e-6
    with pytest.raises(UsageError, match=r"x\.txt, needs a name that ends with"):
        save_image(pictures, tmp_path / "x.txt")
