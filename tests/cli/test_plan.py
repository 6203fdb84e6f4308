import json

import pytest

from chainrule.cli import main
from chainrule.cli.plan import host_ops

SCRIPT = """
import chainrule as cr

@cr.compile
def double(x):
    return cr.relu(x) + x

@cr.compile
def never(x):
    return x

double(cr.ones(8))
"""


def output_of(capsys, *words):
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def test_a_step_kernel_by_kernel(capsys):
    text = output_of(capsys, "xor")
    assert "Contract" in text and "fc1/Linear" in text and "tanh(" in text
    assert "in the place of fc1.weight" in text and "arena" in text
    assert text.splitlines()[-3].split()[0] == "total"
    assert "measured" in text.splitlines()[-1] and "GFLOP/s" in text.splitlines()[-1]


def test_json_and_times(capsys):
    found = json.loads(output_of(capsys, "2-3-2", "--batch", "5", "--time", "--json"))
    kernels = found["kernels"]
    assert [row["kernel"] for row in kernels] == list(range(len(kernels)))
    assert all(row["measured"] > 0 and row["expected"] > 0 for row in kernels if row["operations"])
    assert {row["kind"] for row in kernels} <= {"Map", "Reduce", "Contract"}
    forward = next(row for row in kernels if row["kind"] == "Contract")
    assert forward["axes"] == [5, 3] and forward["operations"] >= 2 * 5 * 3 * 2


def test_times_in_the_table(capsys):
    text = output_of(capsys, "xor", "--time", "--inference")
    assert "of peak" in text and "the whole at once" in text
    assert "Adam" not in text and "SGD" not in text


def test_code_of_one_kernel(capsys):
    text = output_of(capsys, "xor", "--inference", "--kernel", "0", "--llvm")
    assert text.startswith("; k0\n") and "define void @kernel" in text and "; k1" not in text
    text = output_of(capsys, "xor", "--inference", "--kernel", "0", "--asm")
    assert "define" not in text and "ret" in text


def test_a_function_of_a_script(tmp_path, capsys):
    script = tmp_path / "step.py"
    script.write_text(SCRIPT)
    text = output_of(capsys, f"{script}:double")
    assert "relu(" in text and "f32[8]" in text
    assert main(["plan", f"{script}:doubel"]) == 2
    assert "Did you mean double?" in capsys.readouterr().err
    assert main(["plan", f"{script}:never"]) == 2
    assert "never called" in capsys.readouterr().err


def test_a_module_of_a_script(tmp_path, capsys):
    script = tmp_path / "net.py"
    script.write_text("from chainrule import nn\nnet = nn.Sequential(nn.Linear(3, 2))\n")
    assert "f32[5,2]" in output_of(capsys, str(script), "--batch", "5", "--inference")
    script.write_text("from chainrule import nn\nnet = nn.Conv2d(1, 2, 3)\n")
    assert main(["plan", str(script)]) == 2
    assert "does not say the size of a sample" in capsys.readouterr().err


def test_the_ops_of_the_host(capsys):
    assert output_of(capsys, "--hosts").split() == host_ops()
    assert host_ops() == ["argsort", "cumsum", "index_last", "orthonormal", "random_bits"]
    assert json.loads(output_of(capsys, "--hosts", "--json")) == {"hosts": host_ops()}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lent"], "Did you mean lenet?"),
        (["xor", "--inference", "--kernel", "99"], "got --kernel 99, needs a number from 0 to"),
        ([], "no NAME"),
        (["xor", "--batch", "0"], "Invalid value for '--batch'"),
        (["xor", "--llvm", "--asm"], "got --llvm and --asm, needs one of them"),
        (["xor", "--asm", "--json"], "got --asm and --json, needs one of them"),
        (["a.py:step", "--batch", "8"], "got --batch for a function of a script"),
    ],
)
def test_wrong_use(capsys, words, says):
    assert main(["plan", *words]) == 2
    assert says in capsys.readouterr().err
