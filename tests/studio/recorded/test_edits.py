"""A recorded step with something changed, as pages ask for it."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.studio.recorded import edits
from chainrule.train import Recording, Trainer

X = np.random.default_rng(0).normal(size=(12, 1, 6, 6)).astype(np.float32)
Y = np.arange(12) % 3
AT = "/api/runs/small-001/steps/probe/2"


def network():
    cr.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


@pytest.fixture
def run(make_run):
    """A recorded training of a small network; its batches of 6 are kept in part."""
    run, net = make_run("small-001", [0.5]), network()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=Recording(run.folder, "all"))
    trainer.fit(DataLoader(TensorDataset(X, Y), 6), epochs=2, verbose=False)
    return run


@pytest.fixture
def post(client, run):
    """post(**asked): the answer of an edit that is asked for, of the probe unless told."""

    def send(at=AT, **asked):
        return client.post(f"{at}/edits", json=asked, headers=origin(client))

    return send


@pytest.fixture
def made(post):
    """made(**asked): what POST answers where it is well."""

    def send(**asked):
        answer = post(**asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return send


def origin(client):
    return {"origin": str(client.base_url).rstrip("/")}


def pixels(row):
    return base64.b64encode(row.tobytes()).decode()


def numbers(client, node, what, edit=None, at=AT):
    """The bytes of an array; of an edited step if it is one."""
    answer = client.get(f"{at}/array?node={node}&what={what}" + (f"&edit={edit}" if edit else ""))
    return answer.content if answer.status_code == 200 else None


def layers(client, edit=None, sample=0):
    return client.get(f"{AT}/layers?sample={sample}" + (f"&edit={edit}" if edit else "")).json()


def test_without_a_change_every_number_is_the_recorded_one(client, made):
    edit = made()["edit"]
    nodes = client.get(AT).json()["nodes"]
    again = client.get(f"{AT}?edit={edit}").json()["nodes"]
    assert [node["op"] for node in again] == [node["op"] for node in nodes]
    compared = 0
    for k in range(len(nodes)):
        for what in ("value", "bar"):
            recorded = numbers(client, k, what)
            if recorded is not None:
                assert numbers(client, k, what, edit) == recorded
                compared += 1
    assert compared > len(nodes)


def test_a_picture_in_a_row(client, made):
    row = X[7, 0] + 1
    one = [{"kind": "input", "node": 0, "pixels": pixels(row)}]
    edit = made(sample=2, edits=one)
    assert edit["words"] == ["input of sample 2 is a picture of yours"]
    assert edit["edits"] == [{"kind": "input", "node": 0, "sample": 2}]
    found = np.frombuffer(numbers(client, 0, "value", edit["edit"]), "<f4").reshape(-1, 1, 6, 6)
    assert (found[2, 0] == row).all() and (found[3] == X[3]).all()
    assert made(sample=2, edits=one)["edit"] == edit["edit"]
    as_bytes = made(edits=[{"kind": "input", "node": 0, "pixels": pixels(np.full(36, 9, "u1"))}])
    found = np.frombuffer(numbers(client, 0, "value", as_bytes["edit"]), "<f4")
    assert (found[:36] == 9).all() and found[36] == X[1, 0, 0, 0]


def test_the_seed_and_the_shares_before(client, made):
    before = layers(client, sample=3)
    assert before["seed"]["text"] == "the loss of all 12 samples" and before["edit"] is None
    edit = made(sample=3, seed={"kind": "loss", "target": 2})
    assert edit["seed"]["text"] == "loss with target 2, of sample 3 alone"
    after = layers(client, edit["edit"], 3)
    assert after["seed"] == edit["seed"] == after["edit"]["seed"]
    assert after["scores"]["shares"] == after["scores"]["before"] == before["scores"]["shares"]
    row = edit["edit"], before["scores"]["layer"], "bar"
    bar = np.frombuffer(numbers(client, row[1], row[2], row[0]), "<f4").reshape(-1, 3)
    shares = np.array(before["scores"]["shares"])
    np.testing.assert_allclose(bar[3], shares - np.eye(3)[2], rtol=1e-5)
    assert not np.delete(bar, 3, axis=0).any()
    score = made(sample=3, seed={"kind": "score", "class": 1})
    assert score["seed"]["index"] == [3, 1] and score["seed"]["node"] == row[1]
    bar = np.frombuffer(numbers(client, row[1], "bar", score["edit"]), "<f4").reshape(-1, 3)
    assert bar[3].tolist() == [0, 1, 0]
    input_bar = numbers(client, 0, "bar", score["edit"])
    assert np.count_nonzero(np.frombuffer(input_bar, "<f4").reshape(12, -1).any(1)) == 1
    element = made(seed={"kind": "element", "node": row[1], "index": [0, 2]})
    assert element["seed"]["text"] == "3 at 0, 2"
    own = made(sample=3, seed={"kind": "loss", "target": None})
    assert own["seed"]["text"] == "loss of sample 3 alone"


def test_the_loss_with_a_target_is_that_of_the_network(client, made, run):
    """What a page would change for a 2 is what PyTorch's words give for one sample."""
    edit = made(sample=5, seed={"kind": "loss", "target": 2})["edit"]
    net = network()
    tape = run.records.tape(2, "probe")
    for name, p in net.named_parameters():
        with cr.no_grad():
            p.copy_(tape[name].value)
    x = cr.tensor(X[5:6], requires_grad=True)
    F.cross_entropy(net(x), cr.tensor([2])).backward()
    bar = np.frombuffer(numbers(client, 0, "bar", edit), "<f4").reshape(-1, 1, 6, 6)
    np.testing.assert_allclose(bar[5:6], x.grad.numpy(), rtol=1e-4, atol=1e-7)


def test_maps_off_and_nudges_add_up_and_are_undone(client, made):
    conv = layers(client)["layers"][1]["node"]
    weight = layers(client)["names"].index("0.weight")
    off = made(edits=[{"kind": "off", "node": conv, "map": 1}])
    assert off["words"] == ["map 1 of 0 is off"]
    value = np.frombuffer(numbers(client, conv, "value", off["edit"]), "<f4").reshape(-1, 2, 4, 4)
    assert not value[:, 1].any() and value[:, 0].any()
    nudge = {"kind": "nudge", "node": weight, "index": [0, 0, 1, 1]}
    both = made(base=off["edit"], edits=[nudge | {"by": 0.5}, nudge | {"by": 0.25}])
    assert both["words"][1:] == [
        "0.weight[0, 0, 1, 1] is changed by 0.5",
        "0.weight[0, 0, 1, 1] is changed by 0.25",
    ]
    recorded = np.frombuffer(numbers(client, weight, "value"), "<f4")
    found = np.frombuffer(numbers(client, weight, "value", both["edit"]), "<f4")
    assert found[4] == np.float32(np.float32(recorded[4] + 0.5) + 0.25)
    set_to = made(base=both["edit"], edits=[nudge | {"to": 2}])
    assert set_to["words"] == ["map 1 of 0 is off", "0.weight[0, 0, 1, 1] is 2"]
    layer = layers(client)["layers"][-1]["node"]
    assert numbers(client, layer, "value", set_to["edit"]) != numbers(client, layer, "value")
    undone = made(base=None)
    assert numbers(client, layer, "value", undone["edit"]) == numbers(client, layer, "value")


def test_everything_is_answered_of_an_edited_step(client, made):
    conv = layers(client)["layers"][1]["node"]
    edit = made(edits=[{"kind": "off", "node": conv, "map": 1}])["edit"]
    count = len(client.get(AT).json()["nodes"])
    graph = client.get(f"{AT}?edit={edit}").json()
    assert graph["nodes"][conv]["op"] == "put" and len(graph["nodes"]) == count + 5
    assert graph["nodes"][conv]["inputs"][0] == count and graph["edit"]["edit"] == edit
    found = client.get(f"{AT}/element?node={conv}&index=0,1,2,2&edit={edit}").json()
    assert found["what"]["value"] == 0
    hidden = client.get(f"{AT}/element?node={count}&index=0,1,2,2&edit={edit}").json()
    recorded = client.get(f"{AT}/element?node={conv}&index=0,1,2,2").json()
    assert hidden["what"]["hex"] == recorded["what"]["hex"]
    (box,) = client.get(f"{AT}/patch?node={conv}&index=0,0,2,2&edit={edit}").json()["boxes"]
    assert box["node"] == 0 and box["count"] == 9


def test_while_somebody_draws_no_backward_runs(client, made):
    edit = made(seed={"kind": "none"})
    found = layers(client, edit["edit"])
    assert all(layer["bar"] is None for layer in found["layers"])
    assert found["scores"] is not None and found["seed"]["text"] == "no backward was run"


def test_the_seed_of_the_base_stays(made):
    base = made(sample=1, seed={"kind": "loss", "target": 0})
    nudge = [{"kind": "nudge", "node": 0, "index": [0, 0, 0, 0], "to": 1.0}]
    assert made(base=base["edit"], edits=nudge)["seed"]["target"] == 0
    assert made(base=base["edit"], edits=nudge)["sample"] == 1
    assert made(base=base["edit"], edits=nudge, seed=None)["seed"]["kind"] is None


def test_a_new_picture_replaces_what_was_done_to_the_old_one(made):
    nudges = [{"kind": "nudge", "node": 0, "index": [k, 0, 0, 0], "to": 1.0} for k in (0, 1)]
    base = made(sample=1, edits=nudges)["edit"]
    picture = {"kind": "input", "node": 0, "pixels": pixels(X[0])}
    found = made(base=base, sample=1, edits=[picture, picture])["edits"]
    assert [(one["kind"], one.get("index")) for one in found] == [
        ("nudge", [0, 0, 0, 0]),
        ("input", None),
    ]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "got list, needs an object with sample, edits and seed"),
        ({"sample": 12}, "[studio/sample] got 12, needs a whole number from 0 to 11"),
        ({"sample": True}, "[studio/sample] got True"),
        ({"edits": {}}, "[studio/edits] got dict, needs a list"),
        ({"edits": [1]}, "kind None, needs input, nudge or off"),
        ({"edits": [{"kind": "off", "node": 999, "map": 0}]}, "[studio/node] got 999"),
        ({"edits": [{"kind": "off", "node": 0, "map": 0}]}, "a call's output, with maps"),
        ({"edits": [{"kind": "off", "node": 4, "map": 2}]}, "[studio/map] got 2, needs"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0], "to": 1}]}, "4 numbers, for"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0, 0, 0, 6], "to": 1}]}, "0 to 5"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0, 0, 0, 0]}]}, "neither to nor by"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0, 0, 0, 0], "to": "1"}]}, "to '1'"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0] * 4, "to": 1e300}]}, "a finite"),
        ({"edits": [{"kind": "nudge", "node": 0, "index": [0] * 4, "to": 10**400}]}, "a finite"),
        ({"edits": [{"kind": "nudge", "node": 4, "index": [0] * 4, "to": 1}]}, "from outside"),
        ({"edits": [{"kind": "input", "node": 0, "pixels": "?"}]}, "what is no base64"),
        ({"edits": [{"kind": "input", "node": 0, "pixels": "AAAA"}]}, "3 bytes, needs 36 numbers"),
        ({"edits": [{"kind": "input", "node": 0}]}, "what is no base64"),
        (
            {"edits": [{"kind": "input", "node": 0, "pixels": pixels(X[0] * np.nan)}]},
            "NaN or infinity, needs finite numbers",
        ),
        ({"edits": [{"kind": "input", "node": 1, "pixels": ""}]}, "data that the program reads"),
        ({"seed": 3}, "needs loss, score, element or none"),
        ({"seed": {"kind": "score", "class": 3}}, "index (0, 3) of f32[12,3]"),
        ({"seed": {"kind": "loss", "target": 7}}, "7"),
        ({"seed": {"kind": "loss", "target": -1}}, "[studio/target] got -1"),
        ({"seed": {"kind": "element", "node": 4, "index": []}}, "[studio/index] got []"),
    ],
)
def test_what_can_t_be_asked_for(client, run, asked, says):
    answer = client.post(f"{AT}/edits", json=asked, headers=origin(client))
    assert answer.status_code == 422 and says in answer.json()["error"], answer.text


def test_too_many_changes_and_what_is_no_json(client, post, monkeypatch):
    monkeypatch.setattr(edits, "MOST_CHANGES", 2)
    nudge = {"kind": "nudge", "node": 0, "index": [0, 0, 0, 0], "by": 1.0}
    assert "3 of them, needs 2 at most" in post(edits=[nudge] * 3).json()["error"]
    json_ = {"content-type": "application/json"} | origin(client)
    answer = client.post(f"{AT}/edits", content=b"{", headers=json_)
    assert answer.status_code == 422 and "needs JSON" in answer.json()["error"]
    answer = client.post(f"{AT}/edits", content=b"{}", headers=origin(client))
    assert "needs application/json" in answer.json()["error"]


def test_a_batch_of_which_some_samples_were_kept(client, post):
    answer = post(at="/api/runs/small-001/steps/batch/1")
    assert answer.status_code == 422
    assert "4 of its 6 samples were kept, and the program needs all" in answer.json()["error"]
    assert "probe" in answer.json()["error"]


def test_an_edit_that_is_forgotten(client, run, post):
    for path in ("layers?edit=0123", "array?node=0&edit=0123", "element?node=0&edit=0123"):
        answer = client.get(f"{AT}/{path}")
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "The edit 0123 is forgotten.",
            "remedy": "Undo all, or make it again.",
        }
    assert post(base="0123").status_code == 404


def test_links_outlive_the_steps_that_are_held_open(client, made):
    first = made(edits=[{"kind": "nudge", "node": 0, "index": [0] * 4, "to": 0.0}])["edit"]
    recorded = numbers(client, 0, "value", first)
    for k in range(1, 30):
        made(edits=[{"kind": "nudge", "node": 0, "index": [0] * 4, "to": float(k)}])
    assert numbers(client, 0, "value", first) == recorded
    at = "/api/runs/small-001/steps/probe/1"  # the same edit, of another step
    assert np.frombuffer(numbers(client, 0, "value", first, at), "<f4")[0] == 0


def test_what_is_remembered(monkeypatch):
    monkeypatch.setattr(edits, "KEPT", 2)
    monkeypatch.setattr(edits, "BYTES", 100)
    known = edits.Edits()
    made = [edits.Edit(k, ({"kind": "off", "node": k, "map": 0},), None) for k in range(4)]
    assert len({edit.id for edit in made}) == 4
    for edit in made:
        known.add(edit)
    assert known.get(made[3].id) is made[3]
    with pytest.raises(edits.ForgottenError):
        known.get(made[0].id)


def test_an_edit_of_another_graph(client, made):
    """A probe and a batch have other numbers: what does not fit says so."""
    weight = layers(client)["names"].index("3.weight")
    edit = made(edits=[{"kind": "nudge", "node": weight, "index": [0, 0], "to": 0.0}])["edit"]
    answer = client.get(f"/api/runs/small-001/steps/batch/1/layers?edit={edit}")
    assert answer.status_code == 422


def test_many_at_once(client, post):
    def one(k):
        nudge = {"kind": "nudge", "node": 0, "index": [k % 5, 0, 0, 0], "to": float(k % 5)}
        edit = post(sample=k % 5, edits=[nudge], seed={"kind": "loss", "target": k % 3}).json()
        found = layers(client, edit["edit"], k % 5)
        return json.dumps(edit), json.dumps(found["layers"])

    alone = [one(k) for k in range(15)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(60))) == alone * 4
