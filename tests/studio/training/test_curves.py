"""Figures of steps in buckets: what a page draws is what Python reads."""

import base64
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from chainrule.studio.training import curves as module
from chainrule.train.records import Writer

NAMES = [("fc.weight", w) for w in ("value", "gradient", "change")]
NAMES += [("relu", "dead"), ("training", "rate"), ("training", "speed")]


@pytest.fixture
def write(make_run):
    """write(name, losses, first=0): a run with figures of so many steps."""

    def write(name, losses, first=0):
        folder = make_run(name).folder if first == 0 else make_run.folder
        make_run.folder = folder
        writer = Writer(folder / "record", first)
        for step, loss in enumerate(losses, start=first):
            row = np.array([2, 1 + step, 0.5, 0.25, 0.1, 100 + step], np.float32)
            writer.add_row(step, 0, loss, [NAMES], [row])
        writer.close()
        return folder

    return write


def array(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])


def asked(client, name="xor-001", **has):
    answer = client.get(f"/api/runs/{name}/curves", params=has)
    assert answer.status_code == 200, answer.text
    return answer.json()


def has(found):
    return {name: found[name] for name in ("begun", "width", "map_width")}


def test_few_steps_are_told_one_by_one_bit_for_bit(client, write):
    losses = np.random.default_rng(0).normal(size=40)
    write("xor-001", losses)
    found = asked(client)
    assert (found["width"], found["rows"], found["last"], found["since"]) == (1, 40, 39, 0)
    assert array(found["steps"]).tolist() == list(range(40))
    for what in ("mean", "low", "high"):
        assert array(found["loss"][what]).tobytes() == losses.tobytes()
    kinds = {kind["kind"]: kind["rows"] for kind in found["maps"]["kinds"]}
    (gradient,) = kinds["gradient"]
    assert gradient["of"] == "fc.weight"
    assert array(gradient["values"]).tolist() == [1.0 + step for step in range(40)]
    assert array(kinds["ratio"][0]["values"]).tolist() == [0.25] * 40
    assert array(kinds["dead"][0]["values"]).tolist() == [0.25] * 40 and kinds["saturated"] == []
    assert array(found["speed"]["mean"]).tolist() == [100.0 + step for step in range(40)]


def test_many_steps_are_told_in_buckets(client, write):
    losses = np.random.default_rng(0).normal(size=5000)
    write("xor-001", losses)
    found = asked(client)
    width = found["width"]
    assert width == 8 and found["map_width"] == 32
    parts = losses.reshape(-1, 8)
    np.testing.assert_allclose(array(found["loss"]["mean"]), parts.mean(1), rtol=1e-12)
    assert array(found["loss"]["low"]).tolist() == parts.min(1).tolist()
    assert array(found["loss"]["high"]).tolist() == parts.max(1).tolist()
    window = found["window"]
    trailing = [losses[max(0, end - window) : end].mean() for end in range(8, 5001, 8)]
    np.testing.assert_allclose(array(found["loss"]["smooth"]), trailing, atol=1e-12)
    speed = 1 / np.mean(1 / (100.0 + np.arange(5000 - window, 5000)))
    np.testing.assert_allclose(array(found["speed"]["smooth"])[-1], speed)


def test_a_page_gets_what_is_new(client, write):
    losses = np.random.default_rng(0).normal(size=3000)
    write("xor-001", losses[:2600])
    first = asked(client)
    write("xor-001", losses[2600:], 2600)  # a training that went on: another word
    all_again = asked(client, **has(first), since=int(array(first["steps"])[-1]))
    assert all_again["since"] == 0 and all_again["rows"] == 3000
    part = asked(client, **has(all_again), since=2990)
    assert part["since"] == 2990 - 2990 % all_again["map_width"]
    for of in ("steps", "rate"):
        kept = array(all_again["steps"]) >= part["since"]
        assert array(part[of]).tobytes() == array(all_again[of])[kept].tobytes()
    for what in ("mean", "smooth"):
        np.testing.assert_allclose(
            array(part["loss"][what]), array(all_again["loss"][what])[kept], rtol=1e-9
        )


def test_rows_that_were_given_up_are_gone(client, write):
    write("xor-001", [1.0] * 30)
    assert asked(client)["rows"] == 30
    write("xor-001", [2.0] * 5, 10)  # resumed at step 10
    found = asked(client)
    assert array(found["loss"]["mean"]).tolist() == [1.0] * 10 + [2.0] * 5


def test_a_loss_that_is_no_number_is_seen(client, write):
    write("xor-001", [1.0, float("nan"), 3.0, float("inf")] + [2.0] * 1990)
    found = asked(client)
    mean = array(found["loss"]["mean"])
    assert np.isnan(mean[0]) and np.isinf(mean[1]) and np.isfinite(mean[2:]).all()
    assert np.isfinite(array(found["loss"]["smooth"])[1:]).all()


def test_no_curve_is_longer_than_a_page_can_draw(client, write, monkeypatch):
    monkeypatch.setattr(module, "POINTS", 16)
    monkeypatch.setattr(module, "COLUMNS", 4)
    for steps in (1, 2, 16, 17, 500):
        write(f"xor-{steps:03}", [1.0] * steps)
        found = asked(client, f"xor-{steps:03}")
        assert len(array(found["steps"])) <= 16 and len(array(found["maps"]["steps"])) <= 4
        assert found["map_width"] % found["width"] == 0


def test_without_a_record_there_is_nothing(client, make_run):
    make_run("xor-001", [0.5])
    found = asked(client)
    assert (found["rows"], found["last"], len(array(found["steps"]))) == (0, None, 0)


@pytest.mark.parametrize("wrong", ["since=-1", "width=x", "map_width=1.5", "since=" + "9" * 400])
def test_what_is_no_number_is_refused(client, make_run, wrong):
    make_run("xor-001")
    answer = client.get(f"/api/runs/xor-001/curves?{wrong}")
    assert answer.status_code == 422 and "as a whole number" in answer.json()["error"]


def test_a_damaged_record_is_one_sentence(client, write):
    folder = write("xor-001", [1.0])
    for path in (folder / "record").glob("statistics.sqlite*"):
        path.write_bytes(b"no database at all" * 100)
    answer = client.get("/api/runs/xor-001/curves")
    assert answer.status_code == 422 and "can't be used" in answer.json()["error"]
    assert "none" in client.get("/api/runs/none/curves").json()["error"]


def test_a_hundred_pages_at_once(client, write):
    write("xor-001", np.arange(3000.0))
    with ThreadPoolExecutor(20) as pages:
        answers = set(pages.map(lambda _: client.get("/api/runs/xor-001/curves").text, range(100)))
    assert len(answers) == 1
