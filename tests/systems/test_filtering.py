import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.systems import SYSTEMS
from chainrule.systems.filtering import picture_of


def test_a_picture_is_taken_from_a_file_a_folder_or_drawn(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    drawn, name = picture_of(None)
    assert drawn.shape == (96, 96) and name == "a drawn picture"
    assert drawn.min() >= 0 and drawn.max() <= 1
    with pytest.raises(cr.DataError, match="needs a picture, or a folder of them"):
        picture_of(str(tmp_path))
    (tmp_path / "photos").mkdir()
    path = tmp_path / "photos" / "a.png"
    Image.fromarray(np.full((5, 6), 51, np.uint8)).save(path)
    for place in (path, path.parent, tmp_path):
        picture, name = picture_of(str(place))
        assert name == "a.png" and picture.shape == (5, 6)
        assert picture == pytest.approx(0.2)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    assert picture_of(None)[1] == "a.png"


def test_the_filtered_pictures_are_saved(tmp_path):
    compute = SYSTEMS["filters"].compute
    assert compute is not None
    report = compute()
    files = report.save_pictures(tmp_path / "out")
    assert len(files) == 21 and {"picture.png", "sobel-x.png"} <= {f.name for f in files}
    blurred = np.asarray(Image.open(tmp_path / "out" / "gaussian-5.png")) / 255
    assert np.abs(blurred - report.pictures["gaussian-5"]).max() < 1 / 255
    for picture in report.pictures.values():
        assert picture.shape == (96, 96)
