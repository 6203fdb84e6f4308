import pytest

from chainrule.bench.report import best_peer, for_terminal, growth_for_terminal, page

MADE = {
    "date": "2026-01-02 03:04 UTC",
    "command": "chainrule bench",
    "threads": 2,
    "processor": "a processor, 2 cores, avx2",
    "system": "Linux x86_64",
    "load": 0.0,
    "peak": {"1": 50e9, "2": 100e9},
    "versions": {"python": "3.13"},
    "imports": {"torch": 1.5},
}


def times(ms):
    return {
        "median": ms / 1e3,
        "low": ms / 1.1e3,
        "high": ms / 0.9e3,
        "least": ms / 2e3,
        "groups": 9,
    }


def contestant(ms, bytes=100e6, **more):
    whats = ("train", "inference 1", "inference 64")
    measured = dict(zip(whats, map(times, (ms, ms / 8, ms / 4)), strict=True))
    return {**measured, "bytes": bytes, "losses": [1.0], **more}


def made_race(**more):
    contestants = {
        "plain": contestant(8, compared_with="pytorch", loss_difference=[2e-7, 3e-5]),
        "compiled": contestant(1, 50e6, compared_with="pytorch", loss_difference=[0.0, 0.0]),
        "pytorch": contestant(4, 200e6, compared_with="pytorch", first_cold=0.25, first_warm=0.125),
        "jax": {"left_out": "not installed: pip install jax"},
    }
    race = {"network": "lenet", "batch": 64, "scale": {}, "flops": 20_000_000}
    return race | {"contestants": contestants | more, "made": MADE}


def cells(text, label):
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    return line.split()


def test_the_best_peer_is_none_of_ours():
    assert best_peer(made_race(), "train") == ("pytorch", 0.004)
    assert best_peer(made_race(pytorch={"left_out": "gone"}), "train") is None


def test_ratios_shares_and_losses():
    training, inference = for_terminal(made_race(), 100e9).split("\n\n")[1:3]
    # 20 MFLOP in 1 ms are 20 GFLOP/s, a fifth of the peak
    assert cells(training, "Chainrule, compiled")[2:] == [
        *("1", "0.909–1.11", "0.5", "4.00", "20%", "–", "–", "50", "1e-07"),
    ]
    assert cells(training, "Chainrule, plain")[6:8] == ["0.50", "2%"]
    assert cells(training, "Chainrule, plain")[-1] == "3e-05"
    assert cells(training, "PyTorch eager")[5:] == ["1.00", "5%", "0.25", "0.125", "200", "–"]
    assert cells(inference, "PyTorch eager")[2::2] == ["0.5", "1.00", "0.909–1.11"]


def test_who_is_missing_or_wrong_is_said():
    wrong = contestant(1, compared_with="pytorch", differs="loss of step 3 differs by 2e-01")
    broken = contestant(3, broke_off="MemoryError: gone")
    broken["train"]["idle"] = 0.25
    text = for_terminal(made_race(compiled=wrong, **{"torch-compile": broken}), 100e9)
    assert cells(text.partition("\n\ninference")[0], "Chainrule, compiled")[-1] == "DIFFER"
    assert "JAX jit is left out: not installed: pip install jax" in text
    assert "Chainrule, compiled COMPUTES SOMETHING ELSE than PyTorch eager:" in text
    assert "loss of step 3 differs by 2e-01" in text
    assert "PyTorch compile broke off: MemoryError: gone" in text
    assert "PyTorch compile used 25% of a core while others ran" in text


def test_growth_is_time_per_flop_against_the_first():
    double = made_race() | {"scale": {"batch": 2}, "flops": 40_000_000}
    double["contestants"] = {"compiled": contestant(3), "pytorch": {"left_out": "gone"}}
    text = growth_for_terminal([made_race(), double])
    alone = ["0.02", *("8", "400", "1.00"), *("1", "50", "1.00"), *("4", "200", "1.00")]
    assert cells(text, "lenet ×1")[2:] == alone
    # 3 ms for twice the work of 1 ms
    assert cells(text, "batch ×2")[2:] == ["0.04", *"–––", "3", "75", "1.50", *"–––"]


@pytest.mark.parametrize("load", [0.0, 3.0])
def test_the_page(load):
    race = made_race() | {"made": MADE | {"load": load}}
    text = page({"races": {"lenet": race}, "growth": {"lenet": {"made": MADE, "races": [race]}}})
    assert "| lenet | PyTorch eager | 4 | 1 | 4.00 | 4.00 | 4.00 | 0.50 |" in text
    assert ("Other programs were running" in text) == bool(load)
    for words in ("`chainrule bench`", "50 on 1, 100 on 2", "torch 1.5 s", "a processor", "avx2"):
        assert words in text
    assert text.count("## ") == 3 and text.endswith("|\n")
