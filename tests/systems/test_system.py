import numpy as np
import pytest

import chainrule as cr
from chainrule.systems import SYSTEMS, Figure, Report


def test_a_figure_judges_itself():
    assert Figure("accuracy", 0.98, at_least=0.98)
    assert not Figure("accuracy", float("nan"), at_least=0.98)
    assert Figure("parameters", 9, equal=9)
    assert not Figure("df/dt", 2.41048, equal=2.410479, within=1e-7)
    assert not Report([], (Figure("a", 1, at_most=2), Figure("b", 3, at_most=2)))
    assert bool(Figure("a NumPy number", np.float64(1), equal=1)) is True


def test_the_preset_counts_its_parameters():
    recipe = SYSTEMS["xor"].recipe
    assert recipe is not None and recipe.parameters == 8 * 2 + 8 + 8 + 1


def test_every_name_is_one_word_for_a_command_line():
    for name, system in SYSTEMS.items():
        assert name == name.lower() and name.replace("-", "").isalnum()
        assert system.title and (system.compute is None) == bool(system.recipes)


def test_a_report_saves_its_pictures_once(tmp_path):
    report = Report([], pictures={"a": np.zeros((2, 2)), "b": np.ones((3, 2, 2))})
    assert [path.name for path in report.save_pictures(tmp_path)] == ["a.png", "b.png"]
    with pytest.raises(cr.UsageError, match="exists"):
        report.save_pictures(tmp_path)
