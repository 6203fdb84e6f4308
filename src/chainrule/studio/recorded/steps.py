"""A run's recorded steps as pages ask for them: graph, arrays, single numbers, figures.

    GET /api/runs/NAME/steps                            which steps are kept
    GET /api/runs/NAME/figures?since=STEP               figures of each step
    GET /api/runs/NAME/steps/KIND/STEP                  graph, calls, sizes of values and signals
    GET /api/runs/NAME/scales?kind=&sample=             the ends of colours over all kept steps
    GET /api/runs/NAME/steps/KIND/STEP/tree                          the graph by modules
    GET /api/runs/NAME/steps/KIND/STEP/sizes?what=&sample=           root mean squares of its nodes
    GET /api/runs/NAME/steps/KIND/STEP/thumbnails?nodes=&what=&sample=   small pictures of some
    GET /api/runs/NAME/steps/KIND/STEP/file?sample=&mode=&open=      the graph as one HTML file
    GET /api/runs/NAME/steps/KIND/STEP/layers?what=&sample=&order=   the model's calls as pictures
    GET /api/runs/NAME/steps/KIND/STEP/numbers?what=&sample=&order=  their numbers, all in one
    GET /api/runs/NAME/steps/KIND/STEP/patch?node=&what=&index=      what a unit reads in them
    GET /api/runs/NAME/steps/KIND/STEP/reach?node=&index=            all that a unit depends on
    GET /api/runs/NAME/steps/KIND/STEP/filters                       convolutions' weights
    GET /api/runs/NAME/films/KIND?name=&from=                        one of them in all kept steps
    GET /api/runs/NAME/steps/KIND/STEP/field?node=&index=            what it sees of the data
    GET /api/runs/NAME/steps/KIND/STEP/array?node=&what=&sample=&map=  numbers, as bytes
    GET /api/runs/NAME/steps/KIND/STEP/element?node=&what=&index=    how one of them was computed
    GET /api/runs/NAME/steps/KIND/STEP/update?node=&index=           the optimizer's: update.py
    GET /api/runs/NAME/steps/KIND/STEP/stepper?node=                 of a small graph: sent.py

    POST /api/runs/NAME/steps/KIND/STEP/edits                       run it again, changed: edits.py
    POST /api/runs/NAME/steps/KIND/STEP/see?node=                   a drawing as an input: seeing.py

KIND is "batch" or "probe", ``order`` one of ``layers.ORDERS``, ``what`` is "value" or "bar"; of
parameters' pictures in a batch also "update", their change, and of an array "after", what they
then are.  Arrays are little-endian in C order; the headers X-Shape and X-Dtype say what they are,
X-Parts where several are in one answer (``tiles.py``).  What is asked for of a step is answered of
an edited one with ``?edit=ID``.  With ``parameters=0`` layers and numbers come without parameters.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainrule.errors import NameNotFoundError, UsageError, message
from chainrule.studio.bodies import content_type, sent_bytes, sent_json
from chainrule.studio.recorded.drawing import WHATS, sizes_page, thumbnail, tree_page
from chainrule.studio.recorded.edits import Edit, Edits, asked_edit, edited, recorded_seed
from chainrule.studio.recorded.fields import reached
from chainrule.studio.recorded.filters import Films, filters
from chainrule.studio.recorded.layers import (
    ORDERS,
    described,
    described_parameter,
    field,
    keys_of,
    maps_of,
    of_sample,
    patches,
    scores,
    shown_of,
    targets,
)
from chainrule.studio.recorded.opened import Opened
from chainrule.studio.recorded.scales import Scales
from chainrule.studio.recorded.seeing import MOST_BYTES, made_as, seen_page
from chainrule.studio.recorded.sent import sent
from chainrule.studio.recorded.tiles import Tile, one_map, packed
from chainrule.studio.recorded.update import change, update_array, update_page
from chainrule.studio.runs import Runs, plain_json
from chainrule.studio.saved.export import file_answer, stepper_file
from chainrule.studio.saved.graph_file import graph_file
from chainrule.tape import tape_of
from chainrule.train.records import KINDS, Records

__all__ = ["Steps"]

OPEN = 8  # steps that are held open
THUMBNAILS = 64  # of one answer
UPDATES = ("update", "after")


class Steps:
    """Answers on the steps of the runs.  Threads may share it; ``routes`` has its answers."""

    def __init__(self, runs: Runs) -> None:
        self._runs, self._lock, self._edits = runs, threading.Lock(), Edits()
        self._open: OrderedDict[Any, Opened] = OrderedDict()
        self._changed: OrderedDict[Any, Opened] = OrderedDict()
        self._films = Films()
        self._scales = Scales()

    @property
    def routes(self) -> list[Route]:
        """What is asked for under the names of runs."""
        step = "/api/runs/{name}/steps/{kind}/{step:int}"
        asked: dict[str, Callable[[Request], Response]] = {
            "/api/runs/{name}/steps": self.kept,
            "/api/runs/{name}/figures": self.figures,
            "/api/runs/{name}/scales": self.scales,
            step: self.graph,
            f"{step}/tree": self.tree,
            f"{step}/sizes": self.sizes,
            f"{step}/thumbnails": self.thumbnails,
            f"{step}/file": self.file,
            f"{step}/layers": self.layers,
            f"{step}/numbers": self.numbers,
            f"{step}/patch": self.patch,
            f"{step}/field": self.field,
            f"{step}/reach": self.reach,
            f"{step}/filters": self.filters,
            "/api/runs/{name}/films/{kind}": self.film,
            f"{step}/array": self.array,
            f"{step}/element": self.element,
            f"{step}/update": self.update,
            f"{step}/stepper": self.stepper,
            f"{step}/stepper/file": self.stepper_file,
        }
        routes = [Route(path, answer) for path, answer in asked.items()]
        posted = {f"{step}/edits": self.edit, f"{step}/see": self.see}
        return routes + [Route(path, answer, methods=["POST"]) for path, answer in posted.items()]

    # ------------------------------------------------------------ answers

    def stepper(self, request: Request) -> Response:
        """All moves of what a scalar was computed from."""
        step = self._step(request)
        return _json(sent(step, _checked(step, _number(request, "node"))))

    def stepper_file(self, request: Request) -> Response:
        """The same as a file to keep."""
        step = self._step(request)
        found = sent(step, _checked(step, _number(request, "node")))
        return file_answer(stepper_file(found=found))

    def kept(self, request: Request) -> Response:
        """The numbers of the steps of each kind; none if nothing was recorded."""
        records = self._records(request)
        return _json({kind: records.steps(kind) for kind in KINDS})

    def figures(self, request: Request) -> Response:
        """Columns of the steps from ``since`` on: numbers, epochs, losses, and by name the rest."""
        rows = self._records(request).statistics(_number(request, "since", 0))
        return _json(
            {
                "steps": rows.steps.tolist(),
                "epochs": rows.epochs.tolist(),
                "losses": rows.losses.tolist(),
                "figures": [
                    {"of": of, "what": what, "values": rows.values[:, k].tolist()}
                    for k, (of, what) in enumerate(rows.names)
                ],
            }
        )

    def graph(self, request: Request) -> Response:
        """The step without its arrays."""
        step = self._step(request)
        known = ("step", "epoch", "loss", "batch", "rows", "samples", "losses", "left_out")
        samples = {step.nodes[k] for k in step.held.samples}
        return _json(
            {name: step.kept.get(name) for name in known}
            | {
                "nodes": [
                    self._described(step, number, node in samples)
                    for number, node in enumerate(step.nodes)
                ],
                "edit": step.edit,
                "calls": [
                    {"root": root, "path": path, "node": node, "run": run}
                    for root, path, node, run in step.kept["calls"]
                ],
            }
        )

    @staticmethod
    def _described(step: Opened, number: int, samples: bool) -> dict[str, Any]:
        node = step.nodes[number]
        return {
            "op": node.op.name,
            "formula": node.op.formula,
            "inputs": [step.held.number[source] for source in node.inputs],
            "meta": {name: repr(value) for name, value in node.meta.items()},
            "shape": list(node.shape),
            "dtype": node.dtype.name,
            "name": node.name,
            "scope": node.scope,
            "where": node.where,
            "samples": samples,
            "value": _sizes(step.array(number, "value"), samples),
            "bar": _sizes(step.array(number, "bar"), samples),
        }

    def tree(self, request: Request) -> Response:
        """The step's modules and nodes: see ``tree.py`` and ``drawing.py``."""
        return _json(tree_page(self._step(request)) | {"fused": self._fused(request)})

    def sizes(self, request: Request) -> Response:
        """Root mean squares of its nodes: see ``drawing.py``."""
        what = _what(request, (*WHATS, "update"))
        return _json(sizes_page(self._step(request), self._sample(request), what))

    def thumbnails(self, request: Request) -> Response:
        """Small pictures of some nodes for one sample, of those that have what is asked for."""
        step, sample, what = self._step(request), self._sample(request), _what(request)
        words = request.query_params.get("nodes", "").split(",")
        if len(words) > THUMBNAILS or not all(word.isdecimal() for word in words):
            needs = f"nodes=3,4,5, at most {THUMBNAILS} numbers"
            raise UsageError(message("studio", "a list of nodes that is none", needs))
        numbers = [_checked(step, int(word)) for word in words]
        found = [thumbnail(step.held, number, what, sample) for number in numbers]
        return _json({"thumbnails": [each for each in found if each is not None]})

    def file(self, request: Request) -> Response:
        """The graph as one HTML file to keep: see ``graph_file.py``."""
        step, sample = self._step(request), self._sample(request)
        step.fused = self._fused(request)
        asked = request.query_params
        name, kind = request.path_params["name"], _kind(request.path_params["kind"])
        content = graph_file(
            name, step, kind, sample, mode=asked.get("mode"), opened=asked.get("open")
        )
        headers = {
            "Content-Disposition": 'attachment; filename="graph.html"',
            "Cache-Control": "no-store",
        }
        return Response(content, headers=headers, media_type="text/html")

    def _sample(self, request: Request) -> int:
        sample, rows = _number(request, "sample", 0), self._step(request).held.rows()
        if sample and sample >= rows:
            raise UsageError(message("studio", f"sample {sample}", f"0 to {max(rows, 1) - 1}"))
        return sample

    def layers(self, request: Request) -> Response:
        """The model's data and calls with the scales of their pictures, for one sample."""
        step, sample = self._step(request), _number(request, "sample", 0)
        held, rows = step.held, step.held.rows()
        if not rows:
            got, needs = "a step whose data has no samples", "a batch that its model reads"
            remedy = "The page Graph shows its values"
            raise UsageError(message("studio", got, needs, remedy=remedy))
        if sample >= rows:
            raise UsageError(message("studio", f"sample {sample}", f"0 to {rows - 1}"))
        known = ("step", "epoch", "loss", "batch", "samples")
        order, what = _order(request), _what(request, (*WHATS, "update"))
        layers = [
            described(held, layer, sample, order)
            | {"key": key, "parameters": step.parameters[layer.node]}
            for layer, key in zip(step.layers, keys_of(step.layers), strict=True)
        ]
        parameters = _parameters(request, step)
        return _json(
            {name: step.kept.get(name) for name in known}
            | {
                "rows": rows,
                "layers": layers,
                "parameters": [
                    described_parameter(held, k, order, _change(step, k, what)) for k in parameters
                ],
                "scores": _scores(step, sample),
                "targets": targets(held, step.layers),
                "labels": targets((step.before or step).held, step.layers),
                "names": step.names,
                "edit": step.edit,
                "seed": step.edit["seed"] if step.edit else recorded_seed(step),
            }
        )

    def numbers(self, request: Request) -> Response:
        """The numbers of the maps that are shown: of all layers for one sample, of parameters."""
        step, sample = self._step(request), _number(request, "sample", 0)
        held, order = step.held, _order(request)
        what = _what(request, (*WHATS, "update"))
        tiles: list[Tile] = []
        for layer in step.layers if what in WHATS else []:
            value = of_sample(held, layer.node, "value", sample)
            array = of_sample(held, layer.node, what, sample)
            if array is not None:
                tiles.append(_tile(layer.node, array, value, order))
        for number in _parameters(request, step):
            found = held.array(number, what) if what in WHATS else _change(step, number, what)
            if found is not None:
                tiles.append(_tile(number, found, held.array(number, "value"), order))
        return packed(tiles)

    def field(self, request: Request) -> Response:
        """Boxes in the data around all that one element of a value sees of them."""
        step, number = self._step(request), _number(request, "node")
        held = step.elements.step
        flat = held.flat(_checked(step, number), _index(request))
        return _json({"boxes": field(held, step.layers, number, flat)})

    def scales(self, request: Request) -> Response:
        """The ends of the colours over all kept steps, as far as they are read: see scales.py."""
        kind, sample = (
            _kind(request.query_params.get("kind", "probe")),
            _number(request, "sample", 0),
        )
        return _json(self._scales.over(self._records(request), kind, sample))

    def patch(self, request: Request) -> Response:
        """Boxes in the neighbouring layers around all that one element was computed from."""
        step, number, what = self._step(request), _number(request, "node"), _what(request)
        held = step.held
        flat = held.flat(_checked(step, number), _index(request))
        return _json({"boxes": patches(held, step.layers, number, what, flat)})

    def reach(self, request: Request) -> Response:
        """What a unit depends on in the layers before it, and size, jump and start with numbers."""
        step = self._step(request)
        number, index = _checked(step, _number(request, "node")), _index(request)
        return _json(reached(step.elements.step, step.layers, number, index))

    def filters(self, request: Request) -> Response:
        """The weights of the convolutions, which filters are dead in this step, which are alike."""
        return _json({"banks": filters(self._step(request).elements.step)})

    def film(self, request: Request) -> Response:
        """A convolution's weights in some of the kept steps, from the one with this number on."""
        kind, name = _kind(request.path_params["kind"]), request.query_params.get("name", "")
        begin = _number(request, "from", 0)
        return _json(self._films.film(self._records(request), kind, name, begin))

    def array(self, request: Request) -> Response:
        """The numbers of a node's value or error signal, of one sample if it is asked for."""
        step, number = self._step(request), _number(request, "node")
        what = _what(request, (*WHATS, *UPDATES))
        if what in UPDATES:
            array = update_array(step, _checked(step, number), what)
        else:
            array = step.array(_checked(step, number), what)
        if array is None:
            node = step.nodes[number]
            got = f"the {what} of node {number}, {node.op.name} {node.type}"
            why = "It was not kept, or has none: see the record's steps and nodes"
            raise UsageError(message("studio", got, "one that was recorded", why=why))
        if "sample" in request.query_params:
            sample = _number(request, "sample")
            if not array.ndim or not 0 <= sample < array.shape[0]:
                raise UsageError(message("studio", f"sample {sample}", f"a row of {array.shape}"))
            array = array[sample]
        if "map" in request.query_params:
            maps = maps_of(array.shape)[0]
            array = one_map(array, maps, _number(request, "map"))
        exact = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        headers = {
            "X-Shape": ",".join(map(str, array.shape)),
            "X-Dtype": array.dtype.name,
            "Cache-Control": "no-store",
        }
        return Response(exact.tobytes(), media_type="application/octet-stream", headers=headers)

    def element(self, request: Request) -> Response:
        """How a number was computed: see ``inspect.element``."""
        step, number, what = self._step(request), _number(request, "node"), _what(request)
        index = _index(request)
        sample = _number(request, "sample") if "sample" in request.query_params else None
        found = step.elements.at(_checked(step, number), what, index, sample)
        fused = self._fused(request).get(number) if what == "value" else None
        return _json(found.page() | {"fused": fused})

    def update(self, request: Request) -> Response:
        """A parameter's update, for one of its elements: see ``update.py``."""
        step, number = self._step(request), _number(request, "node")
        index = _index(request) if "index" in request.query_params else None
        records = self._records(request)

        def earlier(other: int, kind: str) -> Opened | None:
            kept = other in records.steps(kind)
            return self._opened(records, other, kind) if kept else None

        at = request.path_params["step"]
        return _json(update_page(step, earlier, at, _checked(step, number), index))

    async def edit(self, request: Request) -> Response:
        """Run a step again with something changed: see ``edits.py``."""
        asked = await sent_json(request)
        return await run_in_threadpool(self._edit, request, asked)

    def _edit(self, request: Request, asked: Any) -> Response:
        opened = self._recorded(request)
        edit = asked_edit(asked, opened, self._edits)
        found = self._run(request, opened, edit)
        self._edits.add(edit)
        return _json(found.edit)

    async def see(self, request: Request) -> Response:
        """A picture as the network sees it: see ``seeing.py``."""
        sent = await sent_bytes(request, MOST_BYTES)
        return await run_in_threadpool(self._see, request, content_type(request), sent)

    def _see(self, request: Request, kind: str, sent: bytes) -> Response:
        number = _number(request, "node") if "node" in request.query_params else None
        sizes = None
        if {"rows", "columns"} <= request.query_params.keys():
            sizes = _number(request, "rows"), _number(request, "columns")
        opened, made = self._recorded(request), made_as(self._folder(request))
        found = seen_page(opened, made, number, kind, sent, sizes)
        if found["pixels"] is not None and "sample" in request.query_params:
            found |= self._answered(request, opened, found)
        return _json(found)

    def _answered(self, request: Request, opened: Opened, seen: dict[str, Any]) -> dict[str, Any]:
        """The edit that puts a picture in a sample's row, and its classes: of a forward alone."""
        sample, base = _number(request, "sample"), request.query_params.get("base")
        change = {"kind": "input", "node": seen["node"], "pixels": seen["pixels"]}
        asked = {"sample": sample, "base": base, "edits": [change], "seed": None}
        edit = asked_edit(asked, opened, self._edits)
        step = edited(opened, edit, forward_only=True)
        self._edits.add(edit)
        found = _scores(step, sample)
        if found is not None:
            numbers = of_sample(step.held, found["layer"], "value", sample)
            found["numbers"] = None if numbers is None else numbers.tolist()
        return {"edit": edit.id, "scores": found}

    # ------------------------------------------------------------ reading

    def _records(self, request: Request) -> Records:
        return Records(self._folder(request) / "record")

    def _folder(self, request: Request) -> Path:
        name = request.path_params["name"]
        folder = self._runs.folder_of(name)
        if folder is None:
            raise NameNotFoundError(message("studio", f"the run {name}", "one that is there"))
        return folder

    def _step(self, request: Request) -> Opened:
        """The step that is asked for, with the edit that is."""
        opened, name = self._recorded(request), request.query_params.get("edit")
        return self._run(request, opened, self._edits.get(name)) if name else opened

    def _run(self, request: Request, opened: Opened, edit: Edit) -> Opened:
        """The step with an edit; of the latest ones it is known."""
        key = id(opened), edit.id
        with self._lock:
            found = self._changed.get(key)
            if found is not None and found.before is opened:
                self._changed.move_to_end(key)
                return found
        found = edited(opened, edit)
        with self._lock:
            self._changed[key] = found
            while len(self._changed) > OPEN:
                self._changed.popitem(last=False)
        return found

    def _recorded(self, request: Request) -> Opened:
        kind, step = _kind(request.path_params["kind"]), request.path_params["step"]
        return self._opened(self._records(request), step, kind)

    def _fused(self, request: Request) -> dict[int, list[str]]:
        """The nodes that the compiled program of this step never stores: see fused.py."""
        kind = _kind(request.path_params["kind"])
        return self._recorded(request).find_fused(self._records(request), kind)

    def _opened(self, records: Records, step: int, kind: str) -> Opened:
        path = records.path(step, kind)
        try:
            state = path.stat()
            key = path, state.st_mtime_ns, state.st_size
        except OSError:
            key = path, 0, 0
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        kept = records.read(step, kind)
        found = Opened(kept, tape_of(kept))
        with self._lock:
            self._open[key] = found
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
        return found


def _sizes(array: np.ndarray | None, samples: bool) -> dict[str, Any] | None:
    """Its root mean square and largest size, of each sample if it has samples; None for none."""
    if array is None:
        return None
    rows = array.reshape(array.shape[0], -1) if samples else array.reshape(1, -1)
    sizes = np.abs(rows.astype(np.float64))
    with np.errstate(all="ignore"):
        rms = np.sqrt(np.mean(sizes**2, axis=1)) if sizes.size else np.zeros(len(rows))
        most = sizes.max(axis=1) if sizes.size else np.zeros(len(rows))
    return {"rms": rms.tolist(), "most": most.tolist()}


def _checked(step: Opened, number: int) -> int:
    if not 0 <= number < len(step.nodes):
        raise UsageError(message("studio", f"node {number}", f"0 to {len(step.nodes) - 1}"))
    return number


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UsageError(message("studio", f"{name}={text}", f"{name} as a whole number"))
    return int(text)


def _index(request: Request) -> tuple[int, ...]:
    text = request.query_params.get("index", "")
    parts = text.split(",") if text else []
    if not all(part.isdecimal() for part in parts):
        raise UsageError(message("studio", f"index={text}", "numbers such as 0,3,12"))
    return tuple(map(int, parts))


def _what(request: Request, known: tuple[str, ...] = WHATS) -> str:
    what = request.query_params.get("what", "value")
    if what not in known:
        raise UsageError(message("studio", f"what={what}", " or ".join(known)))
    return what


def _kind(text: str) -> str:
    if text not in KINDS:
        raise UsageError(message("studio", repr(text), " or ".join(KINDS)))
    return text


def _order(request: Request) -> str:
    order = request.query_params.get("order", ORDERS[0])
    if order not in ORDERS:
        raise UsageError(message("studio", f"order={order}", " or ".join(ORDERS)))
    return order


def _change(step: Opened, number: int, what: str) -> np.ndarray | None:
    """A parameter's Δw where it is asked for; none of the probe, and of a frozen one."""
    return change(step, number) if what == "update" else None


def _scores(step: Opened, sample: int) -> dict[str, Any] | None:
    """The classes, and of an edited step their shares before."""
    found, before = scores(step.held, step.layers, sample), step.before
    if found is not None and before is not None:
        earlier = scores(before.held, before.layers, sample)
        found["before"] = None if earlier is None else earlier["shares"]
    return found


def _parameters(request: Request, step: Opened) -> list[int]:
    """The parameters that are shown: none with ``parameters=0``, of who has them and draws."""
    if request.query_params.get("parameters") == "0":
        return []
    return sorted({k for numbers in step.parameters.values() for k in numbers})


def _tile(node: int, array: np.ndarray, value: np.ndarray | None, order: str) -> Tile:
    maps = maps_of(array.shape)[0]
    return Tile(node, array.reshape(maps, -1), shown_of(value, maps, order))


def _json(value: Any) -> Response:
    return JSONResponse(plain_json(value), headers={"Cache-Control": "no-store"})
