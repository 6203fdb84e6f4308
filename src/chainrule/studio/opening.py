"""What a person opens that is no run yet: a run elsewhere, a script, a model.

    GET  /api/open          {"models": [NAME, …], "scripts": [FILE, …]}
    POST /api/open          {"what": NAME} -> {"run": NAME or null}

A script runs as ``chainrule run --record FILE`` does, in a process of its own; its run is null
until it has one.  Of a model one forward and backward pass is recorded, untrained, on random data;
its folder ends with the server.  From a page nothing outside the server's own folder is opened.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule import models
from chainrule.creation import from_numpy
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.nn import Linear
from chainrule.nn import functional as F
from chainrule.studio.bodies import sent_json
from chainrule.studio.one_pass import record_pass
from chainrule.studio.runs import Runs
from chainrule.studio.training.processes import BusyError, Training
from chainrule.systems import SYSTEMS
from chainrule.tensor import Tensor
from chainrule.train.runs import Run

__all__ = ["Opening", "model_of"]

MOST_BYTES = 10_000  # of a request
MOST_LETTERS = 250  # of a name: systems have no longer ones
SAMPLES = 4  # of random data
MOST_SCRIPTS = 100  # that are listed
WIDTHS = re.compile(r"[1-9]\d*(-[1-9]\d*)+")


class Opening:
    """Opens things in a studio.  Threads may share it."""

    def __init__(self, runs: Runs, training: Training) -> None:
        self._runs, self._training = runs, training

    @property
    def routes(self) -> list[Route]:
        """What is asked for."""
        return [
            Route("/api/open", self.known, methods=["GET"]),
            Route("/api/open", self.asked, methods=["POST"]),
        ]

    def known(self, request: Request) -> Response:
        """What there is to open, beside the runs."""
        scripts = sorted(path.name for path in Path.cwd().glob("*.py"))[:MOST_SCRIPTS]
        return _json({"models": _models(), "scripts": scripts})

    async def asked(self, request: Request) -> Response:
        """Open what a page names."""
        asked = await sent_json(request, MOST_BYTES)
        what = asked.get("what") if isinstance(asked, dict) else None
        if not isinstance(what, str) or not 0 < len(what.strip()) <= MOST_LETTERS:
            needs = f"a run's folder, a script or a model, in {MOST_LETTERS} letters"
            raise UsageError(message("open", "nothing to open", needs))
        try:
            return _json(await run_in_threadpool(self._within, what.strip()))
        except BusyError as busy:
            remedy = "Wait for its end, or stop it."
            return _json({"error": str(busy), "remedy": remedy}, 409)

    def _within(self, what: str) -> dict[str, Any]:
        """Open it, if it is no path that leads out of the server's folder."""
        try:
            inside = Path(what).resolve().is_relative_to(Path.cwd())
        except (OSError, ValueError):  # a name that is none
            inside = False
        if not inside:
            needs = "something in the folder in which the studio was started"
            raise UsageError(message("open", repr(what), needs, remedy="Start the studio there"))
        return self.open(what)

    def open(self, what: str) -> dict[str, Any]:
        """A run's name or folder, a script's file, or a model's name; as POST answers it.

        Raises UsageError for anything else, BusyError for a script while a training runs.
        """
        path = Path(what)
        if self._runs.folder_of(what) is not None:
            return {"run": what}
        if (path / "config.json").is_file():
            self._runs.also[path.resolve().name] = path.resolve()
            return {"run": path.resolve().name}
        if path.suffix == ".py":
            if not path.is_file():
                raise UsageError(message("open", what, "a Python file that is there"))
            self._training.run_script(path)
            return {"run": None}
        return self.open_model(model_of(what, [run["name"] for run in self._runs.list()]), what)

    def open_model(self, model: Any, name: str) -> dict[str, Any]:
        """One pass of a model, recorded in a folder of its own."""
        folder = Path(tempfile.mkdtemp(prefix="chainrule-model-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        x = _data(_input_shape(model, name))
        number = 1 + sum(run.startswith(f"{name}-untrained-") for run in self._runs.also)
        called = f"{re.sub(r'[^-.0-9A-Za-z_]', '-', name)}-untrained-{number:03}"
        config = {"system": None, "model": {"name": type(model).__name__}}
        run = Run.create(name, config, folder / called)
        record_pass(run, model, x, loss=_loss)
        self._runs.also[called] = run.folder.resolve()
        return {"run": called}


def model_of(name: str, runs: Sequence[str] = ()) -> Any:
    """The untrained network that a name means: a model, a system's, or the widths of an MLP.

    Raises UsageError for anything else, which may mean one of ``runs``.

    >>> model_of("4-3-2")
    MLP(...)
    """
    if WIDTHS.fullmatch(name):
        return models.mlp([int(width) for width in name.split("-")])
    recipe = SYSTEMS[name].recipe if name in SYSTEMS else None
    if recipe is not None:
        return models.build(recipe.model, **recipe.config)
    if name in models.MODELS:
        return models.build(name)
    known = _models()
    needs = "a run, a script (.py), widths (784-128-10) or a model: " + ", ".join(known)
    raise UsageError(message("open", repr(name), needs, remedy=did_you_mean(name, [*runs, *known])))


def _models() -> list[str]:
    systems = [name for name, system in SYSTEMS.items() if system.recipe is not None]
    return [*systems, *(name for name in models.MODELS if name not in systems)]


def _data(shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).random((SAMPLES, *shape), np.float32)


def _input_shape(model: Any, name: str) -> tuple[int, ...]:
    """Of one sample: the model's own, or the features of its first layer."""
    own = getattr(model, "input_shape", None)
    if own is not None:
        return tuple(own)
    first = next((m for m in model.modules() if not list(m.children())), None)
    if isinstance(first, Linear):
        return (first.in_features,)
    got = f"{name}, which does not say the size of a sample"
    needs = "input_shape, or a Linear as its first layer"
    remedy = "Give the module an attribute input_shape = (3, 32, 32)"
    raise UsageError(message("open", got, needs, remedy=remedy))


def _loss(output: Tensor, target: Any) -> Tensor:
    """Cross-entropy with the classes in turn where there are scores, else the mean square."""
    if output.ndim == 2 and output.shape[1] > 1:
        return F.cross_entropy(output, from_numpy(np.arange(len(output)) % output.shape[1]))
    return output.square().mean()


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, {"Cache-Control": "no-store"})
