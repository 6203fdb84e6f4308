"""What a name on the command line means: a system, a model, a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chainrule import models
from chainrule.cli.output import command
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.systems import SYSTEMS
from chainrule.train.runs import RUNS, open_run

__all__ = ["model_of", "networks"]


def networks() -> list[str]:
    """The systems that train a network."""
    return [name for name, system in SYSTEMS.items() if system.recipe is not None]


def model_of(name: str, verb: str) -> Any:
    """The network that a name means: a system's, one of ``models``, or a run's, untrained.

    Raises UsageError, in the name of ``verb``, for anything else.
    """
    recipe = SYSTEMS[name].recipe if name in SYSTEMS else None
    if recipe is not None:
        return models.build(recipe.model, **recipe.config)
    if name in models.MODELS:
        return models.build(name)
    if name == "last" or (RUNS / name).exists() or Path(name).exists():
        run = open_run(name)
        spec = run.config.get("model")
        if not isinstance(spec, dict) or "config" not in spec:
            got, needs = f"{run}, a run of one's own code", "the run of a system"
            remedy = f"{command()} studio {run.folder.name} shows what it computed"
            raise UsageError(message(verb, got, needs, remedy=remedy))
        return models.build(spec["name"], **spec["config"])
    known = [*networks(), *models.MODELS]
    needs = "a system (" + ", ".join(networks()) + ") or a run"
    raise UsageError(message(verb, repr(name), needs, remedy=did_you_mean(name, known)))
