"""Results as tables: in a terminal, and as the page RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.bench.race import LABELS, OURS
from chainrule.inspect.cost import table

__all__ = ["best_peer", "for_terminal", "growth_for_terminal", "page"]

MOST_IDLE = 0.02  # of a core: so much disturbs nobody
NOTHING = "–"

Rows = list[tuple[str, ...]]


def best_peer(race: dict[str, Any], what: str) -> tuple[str, float] | None:
    """The fastest contestant that is not ours, and its median seconds; None without peers."""
    times = {
        name: found[what]["median"]
        for name, found in race["contestants"].items()
        if name not in OURS and what in found
    }
    name = min(times, key=lambda name: times[name], default=None)
    return None if name is None else (name, times[name])


# ---------------------------------------------------------------- one race


def training_rows(race: dict[str, Any], peak: float) -> Rows:
    """A row for each contestant that trained; times in ms, memory in MB."""
    head = ("step", "ms", "quartiles", "least", "ratio", "peak", "cold s", "warm s", "MB", "losses")
    rows: Rows = [head]
    best = best_peer(race, "train")
    for name, found in race["contestants"].items():
        if "train" not in found:
            continue
        median = found["train"]["median"]
        rows.append(
            (
                LABELS[name],
                _milliseconds(median),
                f"{_milliseconds(found['train']['low'])}–{_milliseconds(found['train']['high'])}",
                _milliseconds(found["train"]["least"]),
                _ratio(best, median),
                f"{race['flops'] / median / peak:.0%}" if race["flops"] > 1e5 else NOTHING,
                _number(found.get("first_cold")),
                _number(found.get("first_warm")),
                f"{found['bytes'] / 1e6:.0f}" if found["bytes"] else NOTHING,
                _losses(found, name),
            )
        )
    return rows


def inference_rows(race: dict[str, Any]) -> Rows:
    """A row for each contestant that computed outputs, at both sizes of batch; ms."""
    sizes = list(dict.fromkeys((1, race["batch"])))
    head = ["inference"]
    for size in sizes:
        head += [f"batch {size}, ms", "quartiles", "ratio"]
    rows = [tuple(head)]
    for name, found in race["contestants"].items():
        cells = [LABELS[name]]
        for what in (f"inference {size}" for size in sizes):
            if what not in found:
                break
            times = found[what]
            cells += [
                _milliseconds(times["median"]),
                f"{_milliseconds(times['low'])}–{_milliseconds(times['high'])}",
                _ratio(best_peer(race, what), times["median"]),
            ]
        if len(cells) == len(head):
            rows.append(tuple(cells))
    return rows


def remarks(race: dict[str, Any]) -> list[str]:
    """What must not be overlooked: who was left out and why, and whose losses differ."""
    lines = []
    for name, found in race["contestants"].items():
        if "left_out" in found:
            lines.append(f"{LABELS[name]} is left out: {found['left_out']}")
        if "broke_off" in found:
            lines.append(f"{LABELS[name]} broke off: {found['broke_off']}")
        idle = max((what["idle"] for what in found.values() if _was_idle(what)), default=0.0)
        if idle > MOST_IDLE:
            lines.append(f"{LABELS[name]} used {idle:.0%} of a core while others ran")
        if "differs" in found:
            against = LABELS[found["compared_with"]]
            lines.append(f"{LABELS[name]} COMPUTES SOMETHING ELSE than {against}:")
            lines.append(f"  {found['differs']}")
    return lines


def _was_idle(figures: Any) -> bool:
    return isinstance(figures, dict) and "idle" in figures


def _ratio(best: tuple[str, float] | None, median: float) -> str:
    return f"{best[1] / median:.2f}" if best else NOTHING


def _milliseconds(seconds: float) -> str:
    return _number(1e3 * seconds)


def _number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _losses(found: dict[str, Any], name: str) -> str:
    """How far the losses are from those they are compared with."""
    if "differs" in found:
        return "DIFFER"
    if found.get("compared_with") in (None, name):
        return NOTHING
    return f"{max(found['loss_difference'][1], 1e-7):.0e}"


# ---------------------------------------------------------------- growth


def growth_rows(races: Sequence[dict[str, Any]]) -> Rows:
    """A row for each variant: its FLOPs, and each contestant's ms and ps per FLOP."""
    names = [name for name in races[0]["contestants"] if "train" in races[0]["contestants"][name]]
    head = ["training step", "GFLOP"]
    for name in names:
        head += [f"{LABELS[name]}, ms", "ps/FLOP", "of ×1"]
    rows, first = [tuple(head)], races[0]
    for race in races:
        cells = [_variant(race), f"{race['flops'] / 1e9:.3g}"]
        for name in names:
            times = race["contestants"].get(name, {}).get("train")
            if times is None:
                cells += [NOTHING] * 3
                continue
            each = times["median"] / race["flops"]
            of_first = each / first["contestants"][name]["train"]["median"] * first["flops"]
            cells += [_milliseconds(times["median"]), _number(1e12 * each), f"{of_first:.2f}"]
        rows.append(tuple(cells))
    return rows


def _variant(race: dict[str, Any]) -> str:
    if not race["scale"]:
        return f"{race['network']} ×1"
    return ", ".join(f"{what} ×{factor}" for what, factor in race["scale"].items())


def growth_for_terminal(races: Sequence[dict[str, Any]]) -> str:
    """The table of one network's variants."""
    return table(growth_rows(races))


# ---------------------------------------------------------------- terminal


def for_terminal(race: dict[str, Any], peak: float) -> str:
    """All of one race."""
    parts = [f"{race['network']}, batch {race['batch']}, {_flops(race)}"]
    parts += [
        table(rows) for rows in (training_rows(race, peak), inference_rows(race)) if len(rows) > 1
    ]
    parts += ["\n".join(remarks(race))] if remarks(race) else []
    return "\n\n".join(parts)


def _flops(race: dict[str, Any]) -> str:
    flops = race["flops"]
    return f"{flops / 1e9:.3g} GFLOP a step" if flops > 1e6 else f"{flops} FLOP a step"


# ---------------------------------------------------------------- the page

ABOUT = """\
Written by `chainrule bench --write benchmarks` (`make bench` runs it); the same numbers are in
`results.json`, a picture in `results.svg`.

Each contestant is a process of its own. They take turns, a burst of steps each, round by round, so
that a slow moment of the machine hits all; waiting ones use no processor time. All begin with the
same weights and see the same batch, in float32, with as many threads. A training step is
`zero_grad`, forward, loss, backward, SGD with momentum 0.9. PyTorch's optimizer is the fused one,
JAX's whole step is one jitted function whose state is donated.

- **ms**: the median over all rounds, with the quartiles and the least beside it; the least is what
  a contestant takes when nothing disturbs it.
- **ratio**: the time of the best peer divided by the contestant's: 2 is twice as fast.
- **peak**: nominal floating-point operations of the contractions (2 for a multiply-add) per second,
  as a share of the multiply-adds that this machine did at the same time in a loop without memory.
- **cold s, warm s**: the first training step, from the call to its loss, in a process with empty
  caches, and in the next one. Imports and initial weights are not in it.
- **MB**: the most memory that the process held until the training was over.
- **losses**: the greatest relative difference of the first 20 losses from PyTorch's; DIFFER if it
  is over 1e-4 in the first 5 steps or over 1e-2 later.

Timed steps have a learning rate of 1e-6, so that thousands of steps on one batch leave the
numbers as they are: nothing decays to denormals."""


def page(results: dict[str, Any]) -> str:
    """RESULTS.md: a summary, then each network with its machine."""
    races = results["races"]
    parts = ["# Side by side", ABOUT, "## Summary", _markdown(summary_rows(races.values()))]
    if any(race["made"]["load"] and race["made"]["load"] > 0.5 for race in races.values()):
        parts.append("**Other programs were running** during some of this: see the load of each.")
    parts.append("![step times](results.svg)")
    for name, race in races.items():
        parts += [f"## {name}", f"Batch {race['batch']}, {_flops(race)}. {_made(race['made'])}"]
        tables = training_rows(race, _peak(race)), inference_rows(race)
        parts += [_markdown(rows) for rows in tables if len(rows) > 1]
        parts += ["\n".join(f"- {line}" for line in remarks(race))] if remarks(race) else []
    for name, found in results["growth"].items():
        about = "Time per FLOP as the work grows; below 1 in the last column is better than ×1."
        parts += [f"## Growth: {name}", about, _made(found["made"])]
        parts.append(_markdown(growth_rows(found["races"])))
    return "\n\n".join(parts) + "\n"


def summary_rows(races: Iterable[dict[str, Any]]) -> Rows:
    """A row for each network: the faster of our two against the best peer."""
    rows: Rows = [
        (
            *("network", "best peer", "its step, ms", "ours, ms", "training"),
            *("inference, batch 1", "the same, training's batch", "memory of PyTorch's"),
        )
    ]
    for race in races:
        best, ours = best_peer(race, "train"), _ours(race, "train")
        rows.append(
            (
                race["network"],
                LABELS[best[0]] if best else NOTHING,
                _milliseconds(best[1]) if best else NOTHING,
                _milliseconds(ours) if ours else NOTHING,
                *(
                    _ratio(best_peer(race, what), time) if (time := _ours(race, what)) else NOTHING
                    for what in ("train", "inference 1", f"inference {race['batch']}")
                ),
                _memory(race),
            )
        )
    return rows


def _ours(race: dict[str, Any], what: str) -> float | None:
    times = [race["contestants"].get(name, {}).get(what) for name in OURS]
    return min((found["median"] for found in times if found), default=None)


def _memory(race: dict[str, Any]) -> str:
    """Our greater process against PyTorch's."""

    def bytes_of(name: str) -> int:
        return race["contestants"].get(name, {}).get("bytes") or 0

    ours, theirs = max(map(bytes_of, OURS)), bytes_of("pytorch")
    return f"{ours / theirs:.2f}" if ours and theirs else NOTHING


def _peak(race: dict[str, Any]) -> float:
    made = race["made"]
    return made["peak"][str(made["threads"])]


def _made(made: dict[str, Any]) -> str:
    peaks = ", ".join(f"{value / 1e9:.0f} on {n}" for n, value in made["peak"].items())
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    load = "" if made["load"] is None else f" Load before: {made['load']:.1f}."
    imports = ", ".join(f"{name} {_number(s)} s" for name, s in made["imports"].items())
    return (
        f"{made['date']}, `{made['command']}`, {made['threads']} threads. {made['processor']}, "
        f"{made['system']}; measured peak in GFLOP/s: {peaks}.{load} {versions}. "
        f"Seconds to import: {imports}."
    )


def _markdown(rows: Rows) -> str:
    head, *others = rows
    line = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, line, *others))
