import json

import pytest

from chainrule.cli import main


def lines_of(capsys, *words):
    assert main(["cost", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_two_layers(capsys):
    lines = lines_of(capsys, "two-layer")
    assert [line.split() for line in lines[1:4]] == [
        ["0/Linear", "4", "4", "8"],
        ["2/Linear", "4", "8", "8"],
        ["total", "8", "12", "16"],
    ]
    assert lines[4].split()[-2:] == ["1.500", "2.000"]
    assert "forward counts equal" in lines[6]


def test_networks(capsys):
    assert "117,600" in "\n".join(lines_of(capsys, "lenet"))
    found = json.loads("\n".join(lines_of(capsys, "784-128-10", "--json")))
    assert (found["forward"], found["backward"], found["as_expected"]) == (101_632, 102_912, True)
    found = json.loads("\n".join(lines_of(capsys, "lenet", "--input", "1x30x30", "--json")))
    assert found["layers"][0]["forward"] == 30 * 30 * 150


def test_why_backprop(capsys):
    lines = lines_of(capsys, "why-backprop")
    assert lines[-6].split() == ["total", "64", "total", "21", "7"] or "total" in lines[8]
    assert "forward   64 derivatives = 4(L + 1)² = 64" in lines
    assert "backward  21 error signals = 6L + 3 = 21" in lines
    assert "484" in "\n".join(lines_of(capsys, "why-backprop", "--layers", "10"))
    assert json.loads("\n".join(lines_of(capsys, "why-backprop", "--json")))["forward_total"] == 64


def test_jacobian_order(capsys):
    text = "\n".join(lines_of(capsys, "jacobian-order"))
    assert "12,288" in text and "528,384" in text and "43 times as many" in text
    found = json.loads("\n".join(lines_of(capsys, "jacobian-order", "--size", "10", "--json")))
    assert (found["loss_first"], found["input_first"]) == (300, 2_100)


def test_growth(capsys):
    text = "\n".join(lines_of(capsys, "growth"))
    assert "1.900" in text and "1.013" in text and "1,552" in text
    assert json.loads("\n".join(lines_of(capsys, "growth", "--json")))["naive"][-1]["naive"] == 1552


def test_the_list(capsys):
    lines = lines_of(capsys)
    assert lines[0].startswith("two-layer") and "lenet" in "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "growth" in json.loads("\n".join(lines_of(capsys, "--json")))["comparisons"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lent"], "Did you mean lenet?"),
        (["jacobian"], "Did you mean jacobian-order?"),
        (["why-backprop", "--layers", "0"], "Invalid value for '--layers'"),
        (["mlp", "--input", "one"], "needs sizes, such as 1x28x28"),
    ],
)
def test_wrong_use(capsys, words, says):
    assert main(["cost", *words]) == 2
    assert says in capsys.readouterr().err
