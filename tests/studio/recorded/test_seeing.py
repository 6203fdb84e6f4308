"""A drawing as the network sees it, stage by stage."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset, from_spec, prepare_picture, rasterise
from chainrule.train import Recording, Trainer

AT = "/api/runs/drawn-001/steps/probe/0"
TRANSFORMS = {
    "name": "Compose",
    "transforms": [
        {"name": "Scale", "peak": 16},
        {"name": "Upsample", "size": 12, "border": 2},
        {"name": "RandomAffine", "degrees": 15},
    ],
}
ONE = np.rint(255 * (1 - rasterise([[(150, 40), (140, 240)]], width=20))).astype(np.uint8)


@pytest.fixture
def recorded(make_run):
    """recorded(inputs, layers, **config): a recorded training on inputs of any shape."""

    def train(inputs, *layers, **config):
        run = make_run("drawn-001", [0.5], **config)
        cr.manual_seed(0)
        features = inputs[0].size
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 2))
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        record = Recording(run.folder, "steps=0")
        trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record)
        data = TensorDataset(inputs.astype(np.float32), np.arange(len(inputs)) % 2)
        trainer.fit(DataLoader(data, 2), verbose=False)
        return run

    return train


@pytest.fixture
def see(client):
    """see(body, kind, query): the answer to a picture."""

    def send(body, kind="application/octet-stream", query="?rows=280&columns=280"):
        headers = {"content-type": kind, "origin": str(client.base_url).rstrip("/")}
        return client.post(f"{AT}/see{query}", content=body, headers=headers)

    return send


def png(array, mode=None):
    content = io.BytesIO()
    Image.fromarray(array, mode).save(content, "PNG")
    return content.getvalue()


def row(page):
    return np.frombuffer(base64.b64decode(page["pixels"]), "<f4").reshape(page["shape"])


def test_a_run_on_digits_sees_what_predict_would_show_it(recorded, see):
    recorded(np.zeros((4, 1, 12, 12)), data="digits", transforms=TRANSFORMS)
    page = see(ONE.tobytes()).json()
    wanted = prepare_picture(ONE, from_spec(TRANSFORMS)).input
    assert page["state"] == "seen" and page["shape"] == [1, 12, 12] and page["node"] == 0
    assert row(page).tobytes() == wanted.tobytes()
    assert [stage["name"] for stage in page["stages"]] == [
        "grey",
        "ink",
        "digit",
        "grid",
        "input",
    ]
    for stage in page["stages"]:
        levels = np.frombuffer(base64.b64decode(stage["pixels"]), np.uint8)
        assert levels.size == np.prod(stage["shape"]) and max(stage["shape"]) <= 96
    last = page["stages"][-1]
    levels = np.frombuffer(base64.b64decode(last["pixels"]), np.uint8).reshape(last["shape"])
    shown = last["low"] + (last["high"] - last["low"]) * levels / 255
    np.testing.assert_allclose(shown, wanted[0], atol=1 / 255)
    same = see(png(ONE), "image/png", "").json()
    assert same["pixels"] == page["pixels"]
    jpeg = io.BytesIO()
    Image.fromarray(ONE).save(jpeg, "JPEG", quality=95)
    assert see(jpeg.getvalue(), "image/jpeg", "?node=0").json()["state"] == "seen"


def test_what_is_seen_can_be_put_in(recorded, see, client):
    recorded(np.zeros((4, 1, 12, 12)), data="digits", transforms=TRANSFORMS)
    page = see(ONE.tobytes()).json()
    asked = {"edits": [{"kind": "input", "node": page["node"], "pixels": page["pixels"]}]}
    headers = {"origin": str(client.base_url).rstrip("/")}
    edit = client.post(f"{AT}/edits", json=asked, headers=headers).json()["edit"]
    found = client.get(f"{AT}/array?node=0&what=value&sample=0&edit={edit}")
    assert found.content == row(page).tobytes()


def test_a_stroke_is_answered_with_its_classes(recorded, see, client):
    inputs = np.random.default_rng(0).normal(size=(4, 1, 12, 12))
    recorded(inputs, data="digits", transforms=TRANSFORMS)
    at = "?rows=280&columns=280&sample=2"
    page = see(ONE.tobytes(), query=at).json()
    asked = {"kind": "input", "node": page["node"], "pixels": page["pixels"]}
    headers = {"origin": str(client.base_url).rstrip("/")}
    body = {"sample": 2, "edits": [asked]}
    edit = client.post(f"{AT}/edits", json=body, headers=headers).json()["edit"]
    whole = client.get(f"{AT}/layers?sample=2&edit={edit}").json()["scores"]
    scores = page["scores"]
    assert page["edit"] == edit and {name: scores[name] for name in whole} == whole
    assert scores["shares"] != scores["before"]
    raw = client.get(f"{AT}/array?node={whole['layer']}&what=value&sample=2&edit={edit}").content
    assert np.array(scores["numbers"], np.float32).tobytes() == raw
    # On top of other changes: here of a unit that is off.
    off = {"kind": "off", "node": whole["layer"], "map": 1}
    body = {"sample": 2, "edits": [off]}
    base = client.post(f"{AT}/edits", json=body, headers=headers).json()["edit"]
    both = see(ONE.tobytes(), query=f"{at}&base={base}").json()
    assert both["scores"]["numbers"] == [scores["numbers"][0], 0.0]
    assert both["edit"] not in (edit, base)


def test_nothing_drawn_has_no_classes(recorded, see):
    recorded(np.zeros((4, 1, 12, 12)), data="digits", transforms=TRANSFORMS)
    page = see(bytes(9), query="?rows=3&columns=3&sample=0").json()
    assert page["state"] == "empty" and "edit" not in page
    page = see(ONE.tobytes()).json()
    assert page["state"] == "seen" and "edit" not in page


@pytest.mark.parametrize("empty", [np.full((280, 280), 255, np.uint8), np.zeros((280, 280), "u1")])
def test_nothing_drawn_is_no_error(recorded, see, empty):
    recorded(np.zeros((4, 1, 12, 12)), data="digits", transforms=TRANSFORMS)
    answer = see(empty.tobytes())
    page = answer.json()
    assert answer.status_code == 200 and page["state"] == "empty" and page["pixels"] is None
    assert page["sentence"] == "Nothing is drawn yet: the network waits for ink."
    assert [stage["name"] for stage in page["stages"]] == ["grey"]


def test_other_data_are_drawn_like_the_inputs(recorded, see):
    inputs = np.full((4, 1, 14, 10), -1.0)
    inputs[:, :, 4:8, 5] = 2.0
    recorded(inputs)
    page = see(ONE.tobytes()).json()
    found = row(page)
    assert found.shape == (1, 14, 10) and found.min() == -1 and 0.5 < found.max() <= 2
    assert (found > 0).any(axis=(0, 2)).sum() == 10 and "does not say" in page["sentence"]


def test_colour(recorded, see):
    rng = np.random.default_rng(0)
    recorded(rng.uniform(-1, 1, (4, 3, 8, 8)))
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:] = [255, 0, 0]
    page = see(png(picture), "image/png", "").json()
    found = row(page)
    assert [stage["name"] for stage in page["stages"]] == ["colour", "input"]
    assert (
        np.ptp(found[1]) == 0 and (found[0, :, 5:] > 0.9).all() and (found[0, :, :3] < -0.9).all()
    )


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 5), (4, 2, 5, 5)])
def test_a_model_that_reads_no_picture_says_so(recorded, see, shape):
    recorded(np.random.default_rng(0).normal(size=shape))
    answer = see(ONE.tobytes())
    assert answer.status_code == 422
    assert "needs a grey or colour picture: [N,1,H,W] or [N,3,H,W]" in answer.json()["error"]


def test_transforms_of_another_size(recorded, see):
    recorded(np.zeros((4, 1, 9, 9)), data="digits", transforms=TRANSFORMS)
    answer = see(ONE.tobytes())
    assert answer.status_code == 422 and "[1, 12, 12], needs as many" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind", "query", "says"),
    [
        (b"x", "image/png", "", "needs a picture"),
        (png(ONE)[:300], "image/png", "", "needs a whole picture"),
        (b"x", "text/plain", "", "got text/plain, needs image/png, image/jpeg"),
        (b"x", "application/octet-stream", "", "with rows and columns"),
        (b"xyz", "application/octet-stream", "?rows=2&columns=2", "3 bytes, needs a byte for each"),
        (b"", "application/octet-stream", "?rows=0&columns=9", "0 bytes, needs a byte for each"),
        (b"x", "application/octet-stream", "?rows=-1&columns=9", "rows as a whole number"),
        (b"x" * 9, "application/octet-stream", "?rows=3&columns=3&node=1", "an input of the model"),
        (bytes(2_100_000), "image/png", "", "more than 2,097,152 bytes"),
    ],
)
def test_what_is_no_picture(recorded, see, body, kind, query, says):
    recorded(np.zeros((4, 1, 12, 12)), data="digits", transforms=TRANSFORMS)
    answer = see(body, kind, query)
    assert answer.status_code == 422 and says in answer.json()["error"], answer.text
