from chainrule.systems import SYSTEMS, Figure, Report


def test_a_figure_judges_itself():
    assert Figure("accuracy", 0.98, at_least=0.98)
    assert not Figure("accuracy", float("nan"), at_least=0.98)
    assert Figure("parameters", 9, equal=9)
    assert not Figure("df/dt", 2.41048, equal=2.410479, within=1e-7)
    assert not Report([], (Figure("a", 1, at_most=2), Figure("b", 3, at_most=2)))


def test_the_preset_counts_its_parameters():
    recipe = SYSTEMS["xor"].recipe
    assert recipe is not None and recipe.parameters == 8 * 2 + 8 + 8 + 1
