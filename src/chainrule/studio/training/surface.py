"""What a model of two inputs answers over the plane, at a step that was kept.

    GET /api/runs/NAME/surface/STEP

The run's model is built again as its configuration says, gets the parameters that the step left
behind, and answers on a grid: all its units, computed by the framework.

    {"step", "side", "low": [x₁, x₂], "high": [x₁, x₂],
     "layers": [{"name", "units", "low", "high", "values": f32[units shown, side, side]}],
     "points": {"inputs": f32[n, 2], "targets": f32[n]}}

or {"none": sentence, "remedy": sentence} for a run whose model has no such picture.  Rows run along
x₂, upwards.  Arrays are {"dtype", "data"}: little-endian, in base 64.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule import models
from chainrule.creation import tensor
from chainrule.data import TensorDataset
from chainrule.errors import ChainruleError, NameNotFoundError, message
from chainrule.recording import no_grad
from chainrule.studio.runs import Runs, plain_json
from chainrule.studio.training.curves import packed
from chainrule.systems import SYSTEMS
from chainrule.tape import record
from chainrule.train.runs import Run

__all__ = ["Surfaces", "answers"]

SIDE = 48  # points of the grid along an axis
MARGIN = 0.25  # of the data's range, around them
POINTS = 400  # of the data, at most
UNITS = 32  # of a layer, at most
KEPT = 64  # answers


class Surfaces:
    """Answers on models of two inputs.  Threads may share it; ``routes`` has its answer."""

    def __init__(self, runs: Runs) -> None:
        self._runs, self._lock = runs, threading.Lock()
        self._answers: OrderedDict[Any, dict[str, Any]] = OrderedDict()

    @property
    def routes(self) -> list[Route]:
        """What is asked for under the names of runs."""
        return [Route("/api/runs/{name}/surface/{step:int}", self.surface)]

    def surface(self, request: Request) -> Response:
        """See above."""
        name, step = request.path_params["name"], request.path_params["step"]
        folder = self._runs.folder_of(name)
        if folder is None:
            raise NameNotFoundError(message("studio", f"the run {name}", "one that is there"))
        run = Run(folder)
        path = run.records.path(step)
        key = (path, path.stat().st_mtime_ns if path.exists() else 0)
        with self._lock:  # data sets of random numbers are made from the one default stream
            found = self._answers.get(key)
            if found is None:
                found = self._answers[key] = plain_json(_surface(run, step))
                while len(self._answers) > KEPT:
                    self._answers.popitem(last=False)
        return JSONResponse(found, headers={"Cache-Control": "no-store"})


def _surface(run: Run, step: int) -> dict[str, Any]:
    config = run.config
    described = config.get("model")
    if not config.get("system") or not isinstance(described, dict):
        none = "The model of this run is a script's own, which can't be built again here."
        return {"none": none, "remedy": "Runs of chainrule train have this picture."}
    model = _built(described)
    if model is None:
        none = "The model of this run is none that this release of Chainrule builds."
        return {"none": none, "remedy": "Train its system again to see it."}
    if tuple(getattr(model, "input_shape", ())) != (2,):
        none = "The plane is drawn for models with two inputs; this one has others."
        return {"none": none, "remedy": "chainrule train xor --record has one."}
    kept = run.records.read(step)
    inputs, targets = _points(config)
    middle, half = (inputs.max(0) + inputs.min(0)) / 2, (inputs.max(0) - inputs.min(0)) / 2
    half = np.where(half > 0, half * (1 + 2 * MARGIN), 1.0)
    low, high = middle - half, middle + half
    axes = [np.linspace(low[k], high[k], SIDE, dtype=np.float32) for k in (0, 1)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return {
        "step": step,
        "side": SIDE,
        "low": low.tolist(),
        "high": high.tolist(),
        "layers": [_layer(name, y) for name, y in answers(model, kept["after"], grid).items()],
        "points": {"inputs": packed(inputs), "targets": packed(targets)},
    }


def _built(described: dict[str, Any]) -> Any:
    """The model of a configuration, None if there is no such one any more."""
    try:
        return models.build(str(described.get("name")), **described.get("config", {}))
    except (ChainruleError, TypeError, ValueError):
        return None


def answers(model: Any, parameters: dict[str, Any], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """inputs: f32[N,2] -> what each call of the model gives, f32[N,units] by its path.

    parameters: name -> array, taken over by the model, which is used in evaluation mode.
    """
    model.load_state_dict({name: tensor(np.asarray(p)) for name, p in parameters.items()})
    model.eval()
    with no_grad(), record() as tape:
        model(tensor(inputs)).numpy()
    calls = {call.twin: call for call in tape._step.calls}  # the last one of each value
    found: dict[str, np.ndarray] = {}
    for node, call in calls.items():
        value = tape.entry(node).value.numpy()
        if value.ndim == 2 and len(value) == len(inputs):
            found["output" if call.path == call.root else call.path] = value
    return found


def _layer(name: str, values: np.ndarray) -> dict[str, Any]:
    """values: f32[side², units]"""
    shown = values.T[:UNITS]
    return {
        "name": name,
        "units": values.shape[1],
        "low": float(values.min()),
        "high": float(values.max()),
        "values": packed(shown),
    }


def _points(config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The data that the run was trained on: f32[n,2] and, of each, the first target."""
    recipe = SYSTEMS[config["system"]].recipes[config["data"]]
    dataset = recipe.parts(config.get("data_dir")).train.dataset
    assert isinstance(dataset, TensorDataset)
    inputs, targets = (np.asarray(array) for array in dataset.arrays)
    chosen = np.linspace(0, len(inputs) - 1, min(POINTS, len(inputs))).astype(int)
    return inputs[chosen], targets[chosen].reshape(len(chosen), -1)[:, 0].astype(np.float32)
