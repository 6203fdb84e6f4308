from chainrule import models


def test_parameters():
    assert sum(p.numel() for p in models.xor().parameters()) == 9
    assert sum(p.numel() for p in models.xor(hidden=8).parameters()) == 33
