import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.inspect.pictures import save_picture


def test_grey_and_colour_come_back(tmp_path):
    grey = save_picture(cr.tensor([[0.0, 0.5], [1.0, 7.0]]), tmp_path / "new" / "grey")
    assert grey == tmp_path / "new" / "grey.png"
    assert np.asarray(Image.open(grey)).tolist() == [[0, 128], [255, 255]]
    colour = save_picture(np.eye(3)[:, None], tmp_path / "colour.png")
    assert np.asarray(Image.open(colour)).tolist() == (255 * np.eye(3, dtype=int)[None]).tolist()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["colour.png", "grey.png", "new"]


def test_nothing_is_written_over(tmp_path):
    path = save_picture(np.zeros((2, 2)), tmp_path / "a")
    assert save_picture(np.zeros((2, 2)), tmp_path / "turned.by.30").name == "turned.by.30.png"
    with pytest.raises(cr.UsageError, match=r"a\.png, which exists, needs a new file"):
        save_picture(np.ones((2, 2)), tmp_path / "a")
    assert np.asarray(Image.open(path)).max() == 0


def test_what_is_no_picture(tmp_path):
    with pytest.raises(cr.ShapeError, match=r"f\[2, 4, 4\], needs f\[H,W\] or f\[3,H,W\]"):
        save_picture(np.zeros((2, 4, 4)), tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(cr.DataError, match="can't be written"):
        save_picture(np.zeros((2, 2)), tmp_path / "file" / "a")
