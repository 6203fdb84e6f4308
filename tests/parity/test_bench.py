"""The benchmark's PyTorch and our networks are the same: their losses say so."""

import pytest

from chainrule.bench.race import Plan, race

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ("xor", ["plain", "pytorch"]),
        ("mlp", ["plain", "pytorch"]),
        ("lenet", ["plain", "pytorch", "channels-last"]),
    ],
)
def test_losses_are_equal(network, names):
    plan = Plan(network, names, threads=1, rounds=1, seconds=0.2, cold=False)
    found = race(plan)["contestants"]
    for name in names:
        assert "left_out" not in found[name] and "differs" not in found[name]
        assert found[name]["compared_with"] == "pytorch"
