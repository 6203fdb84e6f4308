"""The update of a parameter, as pages ask for it: the bits that the training wrote."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer, save

X = np.random.default_rng(0).normal(size=(12, 1, 6, 6)).astype(np.float32)
Y = np.arange(12) % 3
AT = "/api/runs/small-001/steps/batch/2"

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1, no_decay_on_bias=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "lamb": lambda p: optim.LAMB(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1),
    "adadelta": lambda p: optim.Adadelta(p),
}


@pytest.fixture
def train(make_run):
    """train(optimizer's name, **of the trainer): a recorded training of a small network."""

    def begin(name="sgd", freeze=False, make=OPTIMIZERS.get, **options):
        run = make_run("small-001", [0.5])
        cr.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
        net[0].bias.requires_grad_(not freeze)
        optimizer = make(name)([p for p in net.parameters() if p.requires_grad])
        record = Recording(run.folder, "all")
        trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record, **options)
        trainer.fit(DataLoader(TensorDataset(X, Y), 6), epochs=2, verbose=False)
        return run

    return begin


def parameters(client, at=AT):
    nodes = client.get(at).json()["nodes"]
    return {node["name"]: k for k, node in enumerate(nodes) if node["op"] == "parameter"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_new_weight_has_the_bits_that_were_trained(client, train, name):
    kept = train(name).records.read(2, "batch")
    for parameter, node in parameters(client).items():
        page = client.get(f"{AT}/update?node={node}").json()
        assert (page["state"], page["exact"]) == ("updated", True), page["sentence"]
        after = client.get(f"{AT}/array?node={node}&what=after")
        wanted = np.asarray(kept["after"][parameter])
        assert after.content == wanted.tobytes()
        assert after.headers["x-shape"] == ",".join(map(str, wanted.shape))
        next_step = client.get(f"/api/runs/small-001/steps/batch/3/array?node={node}").content
        assert after.content == next_step
        change = np.frombuffer(
            client.get(f"{AT}/array?node={node}&what=update").content, "<f4"
        ).reshape(wanted.shape)
        most = tuple(page["index"])
        assert abs(change[most]) == abs(change).max()
        rows = {row["role"]: row for row in page["rows"]}
        assert float.fromhex(rows["after"]["hex"]) == wanted[most]
        assert float.fromhex(rows["change"]["hex"]) == change[most]


def test_one_element_with_its_history(client, train):
    run = train()
    node = parameters(client)["3.weight"]
    page = client.get(f"{AT}/update?node={node}&index=1,7").json()
    assert page["index"] == [1, 7] and page["optimizer"] == "SGD"
    rows = {row["name"]: row for row in page["rows"]}
    assert list(rows) == ["w", "w̄", "v₀", "g", "v", "w₁", "Δw"]
    assert rows["v"]["formula"] == "v₀·μ + g"
    assert rows["v"]["formula_latex"] == r"v_{0}\cdot \mu + g"
    tape = run.records.tape(2)
    assert float.fromhex(rows["w̄"]["hex"]) == tape["3.weight"].bar.numpy()[1, 7]
    assert {one["name"]: one["value"] for one in page["options"]} == {
        "η": 0.1,
        "μ": 0.9,
        "τ": 0,
        "λ": 0.01,
    }
    first, before = run.records.tape(0)["3.weight"], run.records.tape(1)["3.weight"]
    assert float.fromhex(page["initial"]["hex"]) == first.value.numpy()[1, 7]
    last = page["last"]
    assert last["step"] == 1 and last["before"] == before.value.numpy()[1, 7]
    assert last["after"] == rows["w"]["value"]
    assert page["pictures"]["update"]["high"] >= rows["Δw"]["value"]
    begin = client.get(f"/api/runs/small-001/steps/batch/0/update?node={node}&index=1,7").json()
    assert begin["last"] is None and begin["initial"]["hex"] == page["initial"]["hex"]


def test_a_clipped_gradient(client, train):
    train(clip=lambda p: nn.utils.clip_grad_norm_(p, 0.01))
    for node in parameters(client).values():
        page = client.get(f"{AT}/update?node={node}").json()
        assert page["exact"] is True
        roles = [row["role"] for row in page["rows"]]
        assert roles[:3] == ["before", "gradient", "clipped"]
        rows = {row["role"]: row["value"] for row in page["rows"]}
        assert 0 < abs(rows["clipped"]) < abs(rows["gradient"])


def test_a_gradient_that_was_changed_by_the_way_is_told(client, train):
    run = train()
    path = run.records.path(2)
    kept = run.records.read(2)
    node = parameters(client)["3.weight"]
    bar = np.array(kept["bars"][str(node)])
    bar.view(np.int32)[0, 0] ^= 1 << 20
    path.unlink()
    save(kept | {"bars": kept["bars"] | {str(node): bar}}, path)
    page = client.get(f"{AT}/update?node={node}").json()
    assert page["exact"] is False and "is not what was recorded" in page["sentence"]


def test_what_has_no_update(client, train):
    train(freeze=True)
    nodes = client.get(AT).json()["nodes"]
    frozen = next(k for k, n in enumerate(nodes) if not n["inputs"] and n["shape"] == [2])
    page = client.get(f"{AT}/update?node={frozen}").json()
    assert page["state"] == "frozen" and page["rows"] == [] and page["exact"] is None
    assert page["name"] == "0.bias" and page["pictures"]["bar"] is None
    assert page["sentence"].startswith("0.bias is frozen: no gradient is computed for it")
    probe = AT.replace("batch", "probe")
    weight = parameters(client, probe)["0.weight"]
    page = client.get(f"{probe}/update?node={weight}").json()
    assert page["state"] == "unknown" and "Look at a batch" in page["sentence"]
    assert page["last"]["step"] == 1
    for path, says in {
        "update?node=0": "needs a parameter of the model",
        f"update?node={weight}&index=9": "4 numbers within it",
        f"array?node={frozen}&what=update": "0.bias is frozen",
        "array?node=0&what=after": "needs a parameter of the model",
        f"array?node={weight}&what=before": "needs value or bar or update or after",
    }.items():
        answer = client.get(f"{AT}/{path}")
        assert answer.status_code == 422 and says in answer.json()["error"]


def test_an_optimizer_of_one_s_own(client, train):
    class Mine(optim.SGD):
        pass

    train(make=lambda name: lambda p: Mine(p, lr=0.1))
    answer = client.get(f"{AT}/update?node={parameters(client)['3.bias']}")
    assert answer.status_code == 422
    assert "the optimizer Mine, needs one of chainrule.optim" in answer.json()["error"]
