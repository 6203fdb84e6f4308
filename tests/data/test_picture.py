"""The path from any picture to the network's input, and what is no picture."""

import contextlib
import io
import json
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chainrule.data import (
    CentreByMass,
    Compose,
    RandomElastic,
    Scale,
    Upsample,
    digits,
    picture_like,
    prepare_picture,
    rasterise,
)
from chainrule.data.picture import (
    as_digits,
    as_mnist,
    crop_to_ink,
    find_ink,
    read_colour,
    read_grey,
)
from chainrule.errors import DataError

TRANSFORMS = Compose((Scale(16), Upsample(28), CentreByMass(), RandomElastic()))
DRAWINGS = json.loads((Path(__file__).parent / "drawings" / "drawings.json").read_text("utf-8"))
FIVE = next(d for d in DRAWINGS["drawings"] if d["label"] == 5 and d["style"] == "plain")


def drawn(size=1.0, move=(0.0, 0.0), canvas=(280, 280)):
    """Ink f32[H,W] of a five, enlarged and then moved."""
    strokes = [np.array(stroke) * size + move for stroke in FIVE["strokes"]]
    return rasterise(strokes, FIVE["width"] * size, canvas)


def png(image, **options):
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def bytes_of(brightness):
    return np.uint8(np.rint(255 * np.clip(brightness, 0, 1)))


def grid_of(source):
    return prepare_picture(source, TRANSFORMS).grid


EXPECTED = grid_of(drawn())


def assert_like_expected(source, at_most=1.0):
    """On average a pixel differs by at most one of its sixteen steps."""
    assert abs(grid_of(source) - EXPECTED).mean() <= at_most


# --- the whole path -----------------------------------------------------------------------------


def test_every_stage_is_kept():
    seen = prepare_picture(1 - drawn(), TRANSFORMS)
    assert seen.grey.shape == seen.ink.shape == (280, 280)
    np.testing.assert_allclose(seen.ink, drawn(), atol=0.51)  # edges are made steeper
    assert seen.digit.shape[0] == pytest.approx(220, abs=6)
    assert seen.grid.shape == (8, 8)
    assert np.array_equal(seen.input, TRANSFORMS.deterministic()(seen.grid[None, None]))
    assert seen.input.shape == (1, 1, 28, 28)
    for stage in (seen.grey, seen.ink, seen.digit, seen.grid, seen.input):
        assert stage.dtype == np.float32


@pytest.mark.parametrize(
    "drawing", DRAWINGS["drawings"], ids=lambda d: f"{d['label']}-{d['style']}"
)
def test_drawings_fill_the_grid_as_the_shipped_digits_do(drawing):
    ink = rasterise(drawing["strokes"], drawing["width"], tuple(DRAWINGS["canvas"]))
    grid = grid_of(1 - ink)
    assert grid.shape == (8, 8)
    assert 0 <= grid.min() < 1 < 12 < grid.max() <= 16 + 1e-4
    assert grid[0].max() > 4 < grid[7].max(), "from the top row to the bottom row"
    images, _ = digits("train")
    low, high = np.quantile(images.mean(axis=(1, 2)), [0.001, 0.999])
    assert low * 0.7 < grid.mean() < high * 1.2


def test_a_shipped_digit_enlarged_comes_back_as_itself():
    images, _ = digits("validation")
    enlarged = Compose((Scale(16), Upsample(176, 8)))(images[:, None])[:, 0]
    came_back = np.stack([grid_of(1 - image) for image in enlarged])
    alike = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(came_back, images, strict=True)
    ]
    assert np.median(alike) > 0.85


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 1), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_place_size_and_colours_do_not_matter(size, right, down, light_on_dark):
    ink = drawn(size, move=(280 * (1 - size) * right, 280 * (1 - size) * down))
    assert_like_expected(ink if light_on_dark else 1 - ink)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.5, 1),
    st.tuples(*[st.floats(-0.2, 0.2)] * 3),
    st.floats(0.25, 0.5),
    st.floats(0, 0.03),
    st.booleans(),
)
def test_uneven_light_contrast_and_noise_do_not_matter(paper, slope, contrast, noise, dark_paper):
    y, x = np.mgrid[-1:1:280j, -1:1:280j]
    light = paper + slope[0] * x + slope[1] * y + slope[2] * x * y
    photo = light - contrast * drawn() + np.random.default_rng(0).normal(0, noise, light.shape)
    photo = bytes_of(0.1 + 0.6 * photo)
    assert_like_expected(255 - photo if dark_paper else photo)


def test_specks_and_the_table_beside_the_paper_are_left_out():
    photo = 0.9 - 0.8 * drawn(0.7, move=(30, 30))
    photo[:, 265:] = 0.2
    photo[15:19, 15:19] = photo[262:266, 100:103] = 0.1
    assert_like_expected(photo)


def test_a_digit_that_touches_the_edge_is_no_clutter():
    assert_like_expected(1 - drawn(1, move=(0, -26)))


def test_ink_is_the_minority_even_if_it_is_bold():
    ink = rasterise([[(140, 30), (140, 250)]], width=110)
    assert np.array_equal(grid_of(ink), grid_of(1 - ink))
    assert find_ink(read_grey(1 - ink))[140, 140] == 1


# --- files and arrays ---------------------------------------------------------------------------

PAPER = bytes_of(1 - drawn())
GREY = Image.fromarray(PAPER)
ALPHA = np.dstack([np.zeros((280, 280, 3), np.uint8), 255 - PAPER])


@pytest.mark.parametrize(
    "content",
    [
        png(GREY),
        png(GREY.convert("RGB"), format="JPEG", quality=60),
        png(GREY.convert("CMYK"), format="JPEG"),
        png(GREY.convert("P")),
        png(GREY.convert("1")),
        png(GREY, format="GIF"),
        png(GREY, format="BMP"),
        png(GREY, format="TIFF"),
        png(GREY, format="WEBP"),
        png(Image.fromarray(PAPER.astype(np.uint16) * 257)),
        png(Image.fromarray(PAPER / np.float32(255)), format="TIFF"),
        png(Image.fromarray(ALPHA)),
        png(Image.fromarray(ALPHA).convert("LA")),
        png(GREY.resize((1500, 1500))),
        png(GREY.resize((1500, 1500)), format="JPEG"),
        png(Image.fromarray(ALPHA).resize((1500, 1500))),
    ],
    ids=[
        "L",
        "RGB-jpeg",
        "CMYK-jpeg",
        "P",
        "1",
        "gif",
        "bmp",
        "tiff",
        "webp",
        "I;16",
        "F-tiff",
        "RGBA",
        "LA",
        "large",
        "large-jpeg",
        "large-RGBA",
    ],
)
def test_kinds_of_files(content):
    assert_like_expected(content)
    assert max(read_grey(content).shape) <= 512


@pytest.mark.parametrize(
    "array",
    [
        PAPER,
        PAPER / 255,
        PAPER[None],
        PAPER[:, :, None],
        np.dstack([PAPER] * 3),
        np.dstack([PAPER] * 3) / 255,
        ALPHA,
        ALPHA / 255,
        PAPER > 128,
        PAPER.astype(np.int64) * 1000 - 7,
        np.dstack([PAPER] * 3).astype(np.int64),
        PAPER.repeat(5, 0).repeat(5, 1),
    ],
    ids=[
        "uint8",
        "float",
        "1HW",
        "HW1",
        "RGB",
        "RGB-float",
        "RGBA",
        "RGBA-float",
        "bool",
        "any-range",
        "RGB-int64",
        "large",
    ],
)
def test_kinds_of_arrays(array):
    assert_like_expected(array)
    assert max(read_grey(array).shape) <= 512


def test_a_path_may_be_a_string(tmp_path):
    (tmp_path / "five.png").write_bytes(png(GREY))
    assert_like_expected(tmp_path / "five.png")
    assert np.array_equal(grid_of(str(tmp_path / "five.png")), grid_of(png(GREY)))


def test_a_photo_that_says_it_lies_on_its_side_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn a quarter clockwise to show"
    assert_like_expected(png(GREY.rotate(90), format="JPEG", exif=exif))


def test_a_picture_in_the_shape_of_the_data():
    """A data set's own image [1,8,8], values 0 to 16, is a picture as well."""
    images, _ = digits("validation")
    grid = grid_of(images[:1])
    assert np.corrcoef(grid.ravel(), images[0].ravel())[0, 1] > 0.7


def test_pillow_is_loaded_only_when_a_file_is_read():
    code = "import chainrule.data, sys; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- fitting ------------------------------------------------------------------------------------


def test_digits_grid_counts_the_ink_of_4x4_blocks():
    block = np.ones((64, 40), np.float32)  # a filled box, scaled to 32 rows and 17 columns
    grid = as_digits(block)
    assert grid.sum() < 32 * 17 - 40, "so much ink is thinned"
    assert np.array_equal(grid, as_digits(np.ones((128, 80), np.float32)))
    assert (grid[1:7, 3:5] == 16).all()
    assert (grid[:, [0, 7]] == 0).all()


def test_digits_grid_stands_upright():
    slanted = rasterise([[(60, 10), (20, 110)]], width=10, canvas=(120, 80))
    upright = as_digits(crop_to_ink(slanted))
    middle = (upright * np.arange(8)).sum(axis=1) / upright.sum(axis=1)
    assert np.ptp(middle) < 0.5
    mirrored = as_digits(crop_to_ink(slanted[:, ::-1]))
    middle = (mirrored * np.arange(8)).sum(axis=1) / mirrored.sum(axis=1)
    assert np.ptp(middle) < 0.5


@pytest.mark.parametrize("width", [4, 40])
def test_digits_grid_evens_out_the_pen(width):
    stroke = [np.array(stroke) for stroke in FIVE["strokes"]]
    grid = grid_of(1 - rasterise(stroke, width))
    assert 3 < grid.mean() < 7.5


def test_mnist_grid_is_20_pixels_high_and_centred_by_mass():
    digit = crop_to_ink(drawn())
    grid = as_mnist(digit)
    assert grid.shape == (28, 28)
    assert grid.dtype == np.float32
    assert 200 < grid.max() <= 255.001
    assert (grid.max(axis=1) > 0).sum() == 20
    y, x = np.mgrid[0:28, 0:28] + 0.5
    assert abs((grid * y).sum() / grid.sum() - 14) <= 0.51
    assert abs((grid * x).sum() / grid.sum() - 14) <= 0.51


def test_mnist_runs_have_their_own_grid():
    seen = prepare_picture(drawn(), Compose((Scale(255),)), dataset="mnist")
    assert seen.input.shape == (1, 1, 28, 28)
    assert 0.8 < seen.input.max() <= 1.001
    with pytest.raises(DataError) as caught:
        prepare_picture(drawn(), TRANSFORMS, dataset="cifar")
    assert str(caught.value) == "[picture] got dataset 'cifar', needs one of 'digits', 'mnist'."


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_ink_fits(height, width, seed):
    ink = np.random.default_rng(seed).random((height, width), np.float32)
    ink[0] = ink[:, 0] = 1
    for grid, most in ((as_digits(ink), 16), (as_mnist(ink), 255)):
        assert np.isfinite(grid).all()
        assert 0 <= grid.min() <= grid.max() <= most * 1.0001
        assert grid.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (30, 3)])
@pytest.mark.parametrize("value", [0.0, 0.55, 1.0])
def test_constant_ink_fits(shape, value):
    grid = as_digits(np.full(shape, value, np.float32))
    assert grid.shape == (8, 8)
    assert grid.any() == (value > 0)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 2), (7, 900)])
def test_strips_are_pictures_too(shape):
    strip = np.zeros(shape)
    strip[shape[0] // 2, shape[1] // 2 :] = 1
    with contextlib.suppress(DataError):  # a line along the whole strip is no ink
        assert grid_of(strip).shape == (8, 8)


# --- what is no picture -------------------------------------------------------------------------


def error_of(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as caught:
            prepare_picture(source, TRANSFORMS)
    return str(caught.value)


def test_missing_file(tmp_path):
    path = tmp_path / "none.png"
    assert error_of(path) == (
        f"[picture] got {path}, needs a file that can be read. No such file or directory."
    )
    assert error_of(tmp_path).startswith(f"[picture] got {tmp_path}, needs a file that can be read")


@pytest.mark.parametrize("content", [b"", b"Dear Sir", b"%PDF-1.7", b"\0" * 4000])
def test_not_a_picture(tmp_path, content):
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    assert error_of(path) == (
        f"[picture] got {path}, needs a picture: PNG, JPEG, GIF, BMP, TIFF, WEBP."
    )


def test_postscript_is_not_run():
    assert "needs a picture" in error_of(png(GREY.convert("RGB"), format="EPS"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_truncated_file(tmp_path, kind):
    path = tmp_path / "half"
    content = png(GREY, format=kind)
    path.write_bytes(content[: len(content) // 2])
    text = error_of(path)
    assert text.startswith(f"[picture] got {path}, needs a ")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(data):
    content = bytearray(data.draw(st.sampled_from([png(GREY), png(GREY, format="JPEG")])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, about odd metadata
        try:
            outcome = prepare_picture(bytes(content), TRANSFORMS).input.shape
        except DataError as error:
            outcome = str(error)[: len("[picture] got a picture (bytes)")]
    assert outcome in ((1, 1, 28, 28), "[picture] got a picture (bytes)")


def huge_png(side):
    """The head of a PNG that claims side x side pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", struct.pack(">I", 13), head, struct.pack(">I", zlib.crc32(head))]
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    return b"".join([*parts, struct.pack(">I", len(body) - 4), body, b"\0" * 4])


@pytest.mark.parametrize(
    ("side", "got"),
    [(8001, "8001 x 8001 pixels"), (10_000, "10000 x 10000 pixels"), (90_000, "too many pixels")],
)
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side, got):
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(side))
    text = f"[picture] got {path} with {got}, needs at most 64 million. Make it smaller."
    assert error_of(path) == text


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((50, 60)),
        np.full((50, 60), 255, np.uint8),
        png(Image.new("L", (90, 90), 255)),
        png(Image.new("RGBA", (90, 90), (255, 255, 255, 0))),
        np.random.default_rng(0).normal(0.5, 0.05, (200, 200)),
        np.linspace(0, 1, 120) * np.ones((100, 1)),
        np.ones((1, 1)),
    ],
    ids=["black", "white", "white-png", "transparent", "noise", "gradient", "pixel"],
)
def test_empty_picture(source):
    text = error_of(source)
    assert text.startswith("[picture] got ")
    assert text.endswith(
        ", needs ink. Nothing stands out from the paper. "
        "Dark strokes on light paper, or light ones on dark; transparent parts are white."
    )


def test_empty_file_is_named(tmp_path):
    path = tmp_path / "empty.png"
    path.write_bytes(png(Image.new("L", (90, 90), 255)))
    assert str(path) in error_of(path)


@pytest.mark.parametrize("shape", [(), (5,), (4, 5, 2), (3, 5, 6), (2, 1, 5, 6), (0, 5), (5, 0, 3)])
def test_arrays_of_other_shapes(shape):
    assert error_of(np.zeros(shape)) == (
        f"[picture] got a picture (array {list(shape)}), "
        "needs [H,W], [H,W,1], [1,H,W], [H,W,3] or [H,W,4]."
    )


@pytest.mark.parametrize(
    "array", [np.full((4, 5), np.nan), np.full((4, 5), np.inf), np.full((4, 5), "x"), [[1j, 2]]]
)
def test_arrays_of_no_numbers(array):
    assert "needs finite numbers" in error_of(array)


# --- like other inputs --------------------------------------------------------------------------


def test_like_inputs_of_any_range():
    """Paper takes the end of the range that most numbers are near, ink the other."""
    light = np.full((2, 1, 20, 14), 0.5, np.float32)
    light[:, :, 3, 3] = -1.5
    seen = picture_like(drawn(), light)
    assert seen.input.shape == (1, 1, 20, 14) and seen.input.dtype == np.float32
    assert seen.input[0, 0, 0, 0] == 0.5 and seen.input.min() < -1
    assert seen.grid.shape == (20, 14)
    dark = picture_like(drawn(), -light)
    np.testing.assert_array_equal(dark.input, -seen.input)


def test_a_colour_picture_keeps_its_middle_and_its_colours():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = [255, 128, 0]
    seen = picture_like(picture, np.zeros((1, 3, 4, 4), np.float32))
    np.testing.assert_allclose(seen.input[0, :, 2, 2], [1, 128 / 255, 0], atol=1e-6)
    assert np.ptp(seen.input[0], axis=(1, 2)).max() < 1e-6


def test_what_is_transparent_is_white_in_colour_too():
    clear = np.zeros((4, 4, 4), np.uint8)
    np.testing.assert_array_equal(read_colour(clear), np.ones((3, 4, 4)))
    grey = read_colour(np.eye(4))
    assert grey.shape == (3, 4, 4) and (grey[0] == grey[2]).all()


def test_inputs_that_are_no_pictures():
    with pytest.raises(DataError, match=r"got inputs \[2, 5\], needs pictures \[N,1,H,W\]"):
        picture_like(drawn(), np.zeros((2, 5)))
