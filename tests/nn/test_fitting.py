"""Errors of shapes: where the sizes came from, and which inputs would fit."""

import re

import pytest

import chainrule as cr
import chainrule.nn as nn
import chainrule.nn.functional as F


def text_of(call, error=cr.ShapeError):
    with pytest.raises(error) as caught:
        call()
    return re.sub(r"\(test_fitting\.py:\d+", "(LINE", str(caught.value))


class LectureNet(nn.Module):
    """Two convolutions without padding, and a first affine layer for 32×32."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.calls = 0

    def forward(self, x):
        print("called with", x.shape)
        self.calls += 1
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc1(x.view(x.shape[0], -1))


def test_features_that_were_an_image_and_the_inputs_that_fit(capsys):
    net = LectureNet()
    assert text_of(lambda: net(cr.zeros(1, 1, 28, 28))) == (
        "[fc1/Linear] got f32[1,400], needs 576 features (LINE in LectureNet.forward). "
        "400 = 16·5·5: view of max_pool2d(conv2), input 28×28. "
        "Use Linear(400, 120), or an input of 30×30 to 33×33."
    )
    assert capsys.readouterr().out == "called with (1, 1, 28, 28)\n"  # the search is silent
    for side in (30, 33):
        assert net(cr.zeros(1, 1, side, side)).shape == (1, 120)
    for side in (29, 34):
        assert "needs 576 features" in text_of(lambda side=side: net(cr.zeros(1, 1, side, side)))


def test_a_kernel_that_does_not_fit_shows_how_the_sides_shrank():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5)
    )
    assert text_of(lambda: net(cr.zeros(1, 1, 28, 28))) == (
        "[4/Conv2d] got f32[1,4,4,4], needs H ≥ 5 and W ≥ 5 (LINE). The kernel 5×5 does not fit "
        "into the input, which shrank 28 → 24 → 12 → 8 → 4. An input of at least 32×32, "
        "more padding, or fewer layers that shrink it."
    )
    net(cr.zeros(1, 1, 32, 32))


def test_layers_before_the_first_parameter_are_in_the_trace():
    net = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 2, 3))
    text = text_of(lambda: net(cr.zeros(2, 1, 4, 4)))
    assert "which shrank 4 → 2" in text and "An input of at least 6×6" in text


def test_one_axis_and_oblong_images():
    line = nn.Sequential(nn.Conv1d(3, 4, 9, stride=3), nn.Flatten(), nn.Linear(40, 2))
    text = text_of(lambda: line(cr.zeros(2, 3, 28)))
    assert "28 = 4·7: view of 0/Conv1d, input 28." in text
    assert "or an input of 36 to 38." in text
    oblong = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 6, 2))
    assert "or an input of 6×8." in text_of(lambda: oblong(cr.zeros(1, 1, 8, 10)))


def test_where_no_size_fits_nothing_is_promised():
    net = nn.Sequential(nn.Flatten(), nn.Linear(7, 10))
    assert text_of(lambda: net(cr.zeros(2, 1, 3, 3))).endswith("or an input of 7 features.")
    assert text_of(lambda: nn.Linear(5, 2)(cr.zeros(3, 4))) == (
        "[Linear] got f32[3,4], needs 5 features (LINE in <lambda>). "
        "weight is f32[2,5]. Use Linear(4, 2), or an input of 5 features."
    )


def test_the_search_leaves_no_trace():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(64, 2)
    )
    seen = []
    net[0].register_forward_hook(lambda *_: seen.append(1))
    x, before = cr.zeros(2, 1, 8, 8), cr.get_state()
    net[:3](x)  # what the call below does until it fails
    after = cr.get_state()
    cr.set_state(before)
    assert "an input of 6×6" in text_of(lambda: net(x))
    assert cr.get_state() == after != before
    assert len(seen) == 2 and all(part.training for part in net.modules())
    assert net[1].num_batches_tracked.item() == 2


def test_bytes_into_a_network_of_floats():
    picture = cr.zeros(1, 1, 28, 28, dtype=cr.uint8)
    says = "A picture of 0 to 255, where networks are trained on 0 to 1? x.float() / 255."
    assert text_of(lambda: nn.Conv2d(1, 6, 5)(picture), cr.DtypeError).endswith(says)
    assert text_of(lambda: nn.Linear(28, 6)(picture), cr.DtypeError).endswith(says)
