"""The lectures' worked derivatives as systems: the board is printed, its numbers are judged."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

import numpy as np

from chainrule import models
from chainrule.inspect.cost import cost
from chainrule.inspect.explain import Explanation
from chainrule.inspect.explain.presets import explain_preset
from chainrule.systems.system import Figure, Report, System

__all__ = ["LOGISTIC", "LOGISTIC_L2", "MULTIVARIATE", "NEURON", "TWO_LAYER"]


def golden(shown: Explanation, wanted: Mapping[str, Any], within: float) -> tuple[Figure, ...]:
    """A figure for each number by name, for each array its farthest entry from what is wanted."""
    values = {row["name"]: row["value"] for row in shown.rows}
    figures = []
    for name, value in wanted.items():
        if np.ndim(value) == 0:
            figures.append(Figure(name, values[name], equal=value, within=within))
        else:
            away = np.abs(np.subtract(values[name], value)).max()
            figures.append(Figure(f"{name}, largest error", float(away), at_most=within))
    return tuple(figures)


def _readers(shown: Explanation, name: str) -> int:
    """How many error signals are made from that of ``name``."""
    return sum(
        addend["reader"] == name
        for row in shown.rows
        if row["phase"] == "backward"
        for addend in row["addends"]
    )


def _preset(name: str, wanted: Mapping[str, Any], within: float) -> Report:
    shown = explain_preset(name, digits=7)
    lines = str(explain_preset(name)).splitlines()
    next = (f"explain {name}", f"explain {name} --digits 17")
    return Report(lines, golden(shown, wanted, within), shown.to_json(), next)


def _logistic(data_dir: str | None = None) -> Report:
    y = 1 / (1 + exp(-(0.8 * 1.5 - 0.3)))
    z_bar = (y - 1) * y * (1 - y)
    shown = explain_preset("logistic")
    wanted = {"w̄": z_bar * 1.5, "b̄": z_bar}
    figures = golden(shown, wanted, 1e-15)
    used = Figure("error signals that use z̄, computed once", _readers(shown, "z"), equal=2)
    next = ("train logistic-l2", "explain logistic")
    return Report(str(shown).splitlines(), (*figures, used), shown.to_json(), next)


def _logistic_l2(data_dir: str | None = None) -> Report:
    wanted = {
        "z": 0.9,
        "y": 0.7109495,
        "Lreg": 0.0737751,
        "R̄": 0.1,
        "ȳ": -0.2890505,
        "z̄": -0.05939997,
        "w̄": -0.009099949,
        "b̄": -0.05939997,
    }
    report = _preset("logistic-l2", wanted, 5.1e-8)
    (w,) = (node for node in report.result["nodes"] if node["name"] == "w")
    readers = [addend["reader"] for addend in w["error_signal"]["addends"]]
    both = Figure("addends of w̄: z̄·x and R̄·w", len(readers), equal=2)
    return Report(report.lines, (*report.figures, both), report.result, report.next)


def _neuron(data_dir: str | None = None) -> Report:
    wanted = {
        "z": 1.0,
        "e": 0.367879,
        "d": 1.367879,
        "f": 0.731059,
        "d̄": -0.534447,
        "ē": -0.534447,
        "n̄": -0.196612,
        "z̄": 0.196612,
        "w̄₀": 0.196612,
        "w̄₁": -0.196612,
        "x̄₁": 0.393224,
        "w̄₂": -0.393224,
        "x̄₂": -0.589836,
    }
    return _preset("neuron", wanted, 5.1e-7)


def _multivariate(data_dir: str | None = None) -> Report:
    return _preset("multivariate", {"t̄": 2.410479}, 5.1e-7)


def _two_layer(data_dir: str | None = None) -> Report:
    wanted = {
        "z": [0.6, 1.0],
        "h": [0.645656, 0.731059],
        "y": [0.084193, 1.036806],
        "L": 0.004222,
        "ȳ": [0.084193, 0.036806],
        "W̄₂": [[0.05436, 0.06155], [0.023764, 0.026908]],
        "b̄₂": [0.084193, 0.036806],
        "h̄": [0.067861, -0.021071],
        "z̄": [0.015526, -0.004143],
        "W̄₁": [[0.015526, 0.031051], [-0.004143, -0.008286]],
        "b̄₁": [0.015526, -0.004143],
    }
    report = _preset("two-layer", wanted, 5.1e-7)
    counted = cost(models.mlp((2, 2, 2)), (2,))
    spent = (
        Figure("multiply-adds forward", counted.forward, equal=8),
        Figure("multiply-adds backward", counted.backward, equal=12),
        Figure("multiply-adds backward with x̄", counted.backward_with_input, equal=16),
    )
    lines = [*report.lines, "", *str(counted).splitlines()]
    result = report.result | {"cost": counted.to_json()}
    return Report(lines, (*report.figures, *spent), result, report.next)


LOGISTIC = System("logistic least squares: one unit, its chain rule", compute=_logistic)
LOGISTIC_L2 = System("the same with L2: w is read twice", compute=_logistic_l2)
MULTIVARIATE = System("the chain rule with two paths", compute=_multivariate)
NEURON = System("a sigmoid neuron, node by node", compute=_neuron)
TWO_LAYER = System("two layers, vectorised, and what they cost", compute=_two_layer)
