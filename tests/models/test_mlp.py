from chainrule import models


def test_parameters():
    assert sum(p.numel() for p in models.mlp().parameters()) == 535_818
