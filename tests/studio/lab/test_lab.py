"""The convolution lab's answers: the framework's own numbers; a sentence for what is wrong."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scipy import signal

from chainrule.inspect.sliding import pooled, slide
from chainrule.studio.lab.inputs import IMAGES, KERNELS_1D, KERNELS_2D, SIGNALS, numbers_of, text_of
from chainrule.studio.lab.lab import MOST_PICTURE, asked_of

CROSS = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def read(array):
    data = base64.b64decode(array["data"])
    return np.frombuffer(data, np.dtype(array["dtype"]).newbyteorder("<")).reshape(array["shape"])


@pytest.fixture
def ask(client):
    """ask(what, **asked): the answer, which must be one."""

    def post(what, **asked):
        answer = client.post(f"/api/lab/{what}", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def refused(client):
    def post(what, **asked):
        answer = client.post(f"/api/lab/{what}", json=asked)
        assert answer.status_code == 422, answer.text
        return answer.json()["error"]

    return post


def test_the_lectures_image(ask):
    found = ask("slide", image="lecture", kernel="cross", back=True,
                upstream="1 0 0_0 2 0_0 0 -1")  # fmt: skip
    assert read(found["y"]).tolist() == [CROSS]
    assert read(found["back"]["w_bar"])[0, 0].tolist() == [[2, 2, 2], [-1, 2, 3], [-1, 2, 3]]
    assert found["kernel_sum"] == 5 and found["unused"] == 0
    assert [f["count"] for f in found["formula"]] == [3, 3]
    assert found["weights"] == {"full": 225, "local": 81, "shared": 9}


def test_every_array_is_the_framework_s_bit_for_bit(ask):
    x, w = (
        np.random.default_rng(0).normal(size=(6, 7)),
        np.random.default_rng(1).normal(size=(3, 2)),
    )
    options = {"stride": 2, "padding": 1, "dilation": 2}
    asked = {"image": text_of(x), "kernel": text_of(w), "op": "convolution", "back": True}
    found = ask("slide", **asked, **options)
    wanted = slide(x, w, mode="convolution", **options)
    for name in ("x", "w", "seen", "y", "products", "channel_sums", "sums"):
        assert read(found[name]).tobytes() == getattr(wanted, name).numpy().tobytes(), name
    for name in ("y_bar", "x_bar", "w_bar", "to_x", "to_w", "x_sums", "w_sums"):
        assert read(found["back"][name]).tobytes() == getattr(wanted, name).numpy().tobytes(), name
    assert read(found["places"]).tolist() == wanted.places.tolist()
    assert read(found["used"]).tolist() == wanted.used.tolist()


def test_a_signal_is_a_picture_of_one_row(ask):
    found = ask("slide", image="short", kernel="lecture", dims=1, padding="full", op="convolution")
    assert read(found["y"]).tolist() == [[[2, 1, 4, -1, 2]]]
    assert found["before"] == [0, 2] and read(found["x"]).shape == (1, 1, 3)


def test_matrices(ask):
    found = ask("slide", image="lecture", matrix=True)["matrix"]
    columns = read(found["columns"])
    assert columns.shape == (9, 9) and columns[:, 0].tolist() == [1, 1, 1, 0, 1, 1, 0, 0, 1]
    assert found["difference"] == found["difference_back"] == 0
    large = {"full": 1_600_000_000, "local": 4_000_000, "shared": 100}
    assert found["large"] == {"units": 40_000, "window": 100, "weights": large}


@pytest.mark.parametrize("copies", ["weights", "pixels"])
def test_copies_add_up_to_the_error_signal(ask, copies):
    found = ask("slide", image="1 3_0 -1", kernel="1 2_3 -1", upstream="7", copies=copies,
                back=True)  # fmt: skip
    assert read(found["back"]["x_bar"]).tolist() == [[[7, 14], [21, -7]]]
    layers = read(found["copies"]["layers"])
    assert layers.sum(0).tolist() == read(found["copies"]["partial"])[-1].tolist()
    assert layers.sum(0).tolist() == [7, 14, 21, -7]
    assert len(layers) == (4 if copies == "weights" else 1)
    factors = [1, 2, 3, -1] if copies == "weights" else [7]
    assert read(found["copies"]["factors"]).tolist() == factors


def test_what_is_not_listed_is_one_number(ask):
    """Of more than twelve products: those that are left after the twelve largest."""
    found = ask("channels", image="scene", kernel="opponents", padding="same", back=True,
                size=6, outputs=2)  # fmt: skip
    places, (products, rest) = read(found["places"]), map(read, (found["products"], found["rest"]))
    terms = products.reshape(*rest.shape, -1)
    small = np.sort(np.abs(terms), axis=-1)[..., :-12]
    assert (np.abs(rest) <= small.sum(-1) + 1e-12).all() and np.abs(rest).max() > 0
    back = found["back"]
    to_x, to_w = read(back["to_x"]), read(back["to_w"])
    order = np.argsort(-np.abs(to_w), axis=1, kind="stable")[:, 12:]
    wanted = np.take_along_axis(to_w, order, 1).sum(1).ravel()
    assert read(back["w_rest"]).ravel() == pytest.approx(wanted, abs=1e-12)
    for cell in (0, 14, 35):
        for channel in range(3):
            sent = np.concatenate([k[:, channel][places == cell] for k in to_x])
            order = np.argsort(-np.abs(sent), kind="stable")[12:]
            got = read(back["x_rest"])[channel].ravel()[cell]
            assert got == pytest.approx(sent[order].sum(), abs=1e-12)


@pytest.mark.parametrize("copies", ["weights", "pixels"])
def test_copies_add_up_to_the_output(ask, copies):
    found = ask("slide", image="1 3 1_0 -1 1_2 2 -1", kernel="1 2_0 -1", padding="full",
                op="convolution", copies=copies)  # fmt: skip
    layers, partial = read(found["copies"]["layers"]), read(found["copies"]["partial"])
    y = [[1, 5, 7, 2], [0, -2, -4, 1], [2, 6, 4, -3], [0, -2, -2, 1]]
    assert partial[-1].reshape(4, 4).tolist() == layers.sum(0).reshape(4, 4).tolist() == y
    assert found["copies"]["left_out"] == 1  # a zero in the kernel, and one in the image
    if copies == "pixels":  # the lecture's 3 times the kernel, one to the right
        three = np.zeros((4, 4))
        three[:2, 1:3] = [[3, 6], [0, -3]]
        assert layers[1].reshape(4, 4).tolist() == three.tolist()


@pytest.mark.parametrize("kernel", KERNELS_2D)
def test_named_kernels_on_a_picture(ask, kernel):
    found = ask("slide", image="picture", size=14, kernel=kernel, op="convolution", padding="full")
    x, w, y = (read(found[name]) for name in ("x", "w", "y"))
    np.testing.assert_allclose(y[0], signal.convolve2d(x[0], w[0, 0]), rtol=0, atol=1e-12)


def test_all_pictures_and_signals(ask):
    for name in IMAGES:
        x = read(ask("slide", image=name, kernel="identity")["x"])
        assert x.max() > x.min() and max(x.shape) <= 32
    for name in SIGNALS:
        ask("slide", image=name, kernel="ends", dims=1, padding="same")
    for name in KERNELS_1D:
        ask("slide", image="step", kernel=name, dims=1)


def test_pooling_and_a_shift_by_a_pixel(ask):
    found = ask("pool", image="1 1 2 4_5 6 7 8_3 2 1 0_1 2 3 4", upstream="1 2_3 4")
    assert read(found["y"]).tolist() == [[[6, 8], [3, 4]]]
    assert read(found["winner"]).tolist() == [5, 7, 8, 15]
    assert read(found["moved"]["x"])[0, 0].tolist() == [0, 1, 1, 2]
    wanted = pooled(read(found["moved"]["x"])[0], 2, 2)
    assert read(found["moved"]["y"])[0].tolist() == wanted.y.tolist()
    # One active pixel stays in its window, or it does not: the lecture's partial invariance.
    for column, changed in ((2, 0), (3, 2)):
        rows = ["0 0 0 0 0 0 0 0"] * 8
        rows[3] = " ".join("1" if c == column else "0" for c in range(8))
        assert ask("pool", image="_".join(rows))["moved"]["changed"] == changed


@pytest.mark.parametrize("shift", ["right", "left", "up", "down"])
def test_what_moves_in_is_zero(ask, shift):
    moved = read(ask("pool", image="1 2 3_4 5 6_7 8 9", shift=shift, every=1)["moved"]["x"])[0]
    x = np.arange(1.0, 10).reshape(3, 3)
    axis, by = {"right": (1, 1), "left": (1, -1), "down": (0, 1), "up": (0, -1)}[shift]
    wanted = np.roll(x, by, axis)
    wanted[(slice(None),) * axis + (0 if by > 0 else -1,)] = 0
    assert moved.tolist() == wanted.tolist()


def test_several_channels(ask):
    found = ask("channels", image="scene", kernel="opponents", size=8, back=True)
    x, w, y = (read(found[name]) for name in ("x", "w", "y"))
    wanted = slide(x, w, read(found["bias"]))
    assert y.tobytes() == wanted.y.numpy().tobytes() and y.shape == (3, 6, 6)
    assert found["parameters"] == 3 * (3 * 9 + 1)
    assert read(found["channel_sums"]).shape == (3, 36, 3)
    drawn = ask("channels", image="scene", kernel="random", outputs=2, seed=5, size=8)
    again = ask("channels", image="scene", kernel="random", outputs=2, seed=5, size=8)
    assert drawn["w"] == again["w"] and read(drawn["w"]).shape == (2, 3, 3, 3)


def test_numbers_as_text_come_back_with_their_bits():
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 1, 3, 2)):
        array = np.random.default_rng(0).normal(size=shape)
        assert numbers_of(text_of(array), len(shape), "image").tobytes() == array.tobytes()


def png(array, mode="L"):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "PNG")
    return file.getvalue()


def test_a_picture_file_becomes_numbers(client):
    half = np.zeros((40, 60), np.uint8)
    half[:, 30:] = 255
    answer = client.post("/api/lab/picture?size=4", content=png(half)).json()
    assert numbers_of(answer["image"], 2, "image").tolist() == [[0, 0, 1, 1]] * 4
    refusals = {
        "size=4": (b"no picture", "needs a picture: PNG"),
        "size=99": (png(half), "needs a whole number from 3 to 32"),
        "size=-1": (png(half), "needs a whole number"),
    }
    for query, (content, words) in refusals.items():
        answer = client.post(f"/api/lab/picture?{query}", content=content)
        assert answer.status_code == 422 and words in answer.json()["error"]
    huge = client.post("/api/lab/picture?size=4", content=b"0" * (MOST_PICTURE + 1))
    assert huge.status_code == 422 and "more than 12,000,000 bytes" in huge.json()["error"]


@pytest.mark.parametrize(
    ("what", "asked", "words"),
    [
        ("slide", {}, "a JSON object with an image"),
        ("slide", {"image": "lectur"}, "Did you mean lecture"),
        ("slide", {"image": "1 2_3"}, "rows of several lengths"),
        ("slide", {"image": "1 x"}, "'x', needs numbers between"),
        ("slide", {"image": "1 nan"}, "'nan', needs numbers between"),
        ("slide", {"image": "1e7"}, "'1e7', needs numbers between"),
        ("slide", {"image": "1/0"}, "'1/0', needs numbers between"),
        ("slide", {"image": ""}, "no numbers"),
        ("slide", {"image": "_".join(["1"] * 33)}, "image of 33×1, needs at most 32"),
        ("slide", {"image": "lecture", "kernel": "1 " * 12}, "kernel of 1×12, needs at most 11"),
        ("slide", {"image": "lecture", "kernel": "mean-7"}, "needs one that fits into 5×5"),
        ("slide", {"image": "lecture", "padding": "same", "stride": 2}, "needs stride 1"),
        ("slide", {"image": "lecture", "padding": 99}, "padding=99, needs a whole number"),
        ("slide", {"image": "lecture", "padding": "half"}, "'valid' or 'same' or 'full'"),
        ("slide", {"image": "lecture", "stride": True}, "stride=True, needs a whole number"),
        ("slide", {"image": "lecture", "upstream": "1 2"}, "[upstream] got f64[1,1,2], needs"),
        ("slide", {"image": "lecture", "colour": 1}, "'colour', needs one of"),
        ("slide", {"image": "lecture", "back": 1}, "back=1, needs true or false"),
        ("slide", {"image": 3}, "image=3, needs text"),
        ("slide", {"image": "picture", "size": 32, "copies": "pixels"}, "needs at most 64"),
        ("slide", {"image": "picture", "size": 32, "kernel": "mean-11", "padding": 16,
                   "dilation": 1}, "products, needs at most"),
        ("pool", {"image": "lecture", "window": 8}, "window of 8×8, needs one that fits into 5×5"),
        ("pool", {"image": "lecture", "around": 2}, "padding 2, needs at most 1"),
        ("pool", {"image": "lecture", "pool": "mean", "dilation": 2}, "dilation 2 for a mean"),
        ("channels", {"image": "scene", "kernel": "edges", "size": 20}, "20×20, needs at most 16"),
        ("channels", {"image": "scene", "kernel": "1 1__1 1"}, "kernels of 2 channels"),
        ("channels", {"image": "__".join(["1"] * 5), "kernel": "1"}, "5 channels with"),
        ("channels", {"image": "scene", "kernel": "random", "outputs": 5}, "from 1 to 4"),
    ],
)  # fmt: skip
def test_one_sentence_for_what_is_wrong(refused, what, asked, words):
    assert words in refused(what, **asked)


def test_bodies_that_are_no_request(client):
    for body in (b"", b"[1]", b"{", b"[" * 100_000, b"\xff"):
        answer = client.post("/api/lab/slide", content=body)
        assert answer.status_code == 422 and "a JSON object" in answer.json()["error"]
    assert "more than" in client.post("/api/lab/slide", content=b" " * 300_000).json()["error"]
    assert client.get("/api/lab/slide").status_code == 404


def test_the_code_that_is_shown_computes_the_same(ask, capsys):
    found = ask("slide", image="five", kernel="three", dims=1, padding="same", back=True)
    exec(found["code"], {})
    assert "-7" in capsys.readouterr().out
    exec(ask("pool", image="hook", around=1, dilation=2)["code"], {})
    exec(ask("pool", image="hook", around=1, pool="mean")["code"], {})
    exec(ask("channels", image="scene", kernel="edges")["code"], {})


def test_threads_may_share_it(client):
    asked = [
        {"image": "picture", "size": n, "kernel": "sobel-x", "back": True} for n in range(6, 18)
    ]
    one = [client.post("/api/lab/slide", json=a).json()["y"] for a in asked]
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda a: client.post("/api/lab/slide", json=a).json()["y"], asked))
    assert many == one


def test_a_request_is_read_once():
    asked = asked_of(b'{"image": "lecture", "padding": 2}')
    assert (asked.padding, asked.kernel) == (2, "cross")
