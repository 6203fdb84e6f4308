"""``chainrule bench``: the same training step in Chainrule, PyTorch, JAX and TensorFlow."""

from __future__ import annotations

import json as json_text
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from chainrule.bench import picture as pictures
from chainrule.bench.machine import import_seconds, surroundings
from chainrule.bench.networks import NETWORKS
from chainrule.bench.race import GROWTH, LIBRARIES, OURS, Plan, contestants_of, race
from chainrule.bench.report import for_terminal, growth_for_terminal, page
from chainrule.cli.output import say, say_json
from chainrule.errors import DataError, UsageError, did_you_mean, message
from chainrule.files import refuse_existing, write_atomically, write_new

HELP = """Train and run the same networks in Chainrule and its peers, side by side.

Each contestant is a process of its own; they take turns, with the same weights,
data and arithmetic, and their losses are compared. Peers that are not installed
are left out. All five networks take half an hour, in which nothing else should
run.

\b
Networks: xor, mlp, lenet, resnet18, alexnet
Peers: pytorch, channels-last, torch-compile, jax, tensorflow (AlexNet alone)

\b
Examples:
  chainrule bench --quick
  chainrule bench --networks lenet --peers pytorch,jax
  chainrule bench --train --json
  chainrule bench --growth --write benchmarks
"""

PEERS = [name for name in LIBRARIES if name not in OURS]
QUICK_NETWORKS = ["xor", "mlp", "lenet"]
QUICK_PEERS = ["pytorch", "channels-last", "jax"]
GROWTH_PEERS = ["pytorch"]
FORMAT = 1  # of results.json


def run(
    networks: Annotated[
        str, typer.Option(metavar="NAMES", help="Which, with commas; all without it.")
    ] = "",
    peers: Annotated[
        str, typer.Option(metavar="NAMES", help="Which; all without it, or none.")
    ] = "",
    training: Annotated[
        bool | None, typer.Option("--train/--inference", help="One alone.", show_default=False)
    ] = None,
    growth: Annotated[
        bool, typer.Option("--growth", help="Also batch, width, depth ×2, ×4, ×8.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: small networks, a minute.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Turns of each contestant.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Of each contestant and network.")
    ] = 10.0,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Of every contestant.")] = 2,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Renew RESULTS.md, results.json, .svg."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the bars.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let them run."""
    chosen = _names("--networks", networks, NETWORKS)
    against = _names("--peers", peers, ["none", *PEERS])
    before = _before(write, picture)
    plan: dict[str, Any] = {"threads": threads, "rounds": 2 if quick else rounds, "cold": not quick}
    plan |= {"seconds": min(seconds, 0.8) if quick else seconds}
    plan |= {"training": training is not False, "inference": training is not True}
    given = {"--networks": networks, "--peers": peers, "--quick": quick, "--growth": growth}
    given |= {"--train": training is True, "--inference": training is False}
    given |= {"--rounds": rounds != 5 and rounds, "--seconds": seconds != 10 and f"{seconds:g}"}
    given |= {"--threads": threads != 2 and threads, "--write": write}
    runs = _Runs(_command(given), threads, quiet=json, imports=1 if quick else 3)
    for name in chosen or (QUICK_NETWORKS if quick else [*NETWORKS]):
        those = contestants_of(name, [*OURS, *(against or (QUICK_PEERS if quick else PEERS))])
        runs.race(Plan(name, those, **plan))
        if growth and name in GROWTH:
            those = contestants_of(name, [*OURS, *(against or GROWTH_PEERS)])
            runs.growth(replace(Plan(name, those, **plan), cold=False, inference=False))
        if write is not None:  # after each network: what was measured is kept, whatever follows
            _write(write, before, runs.results)
    if picture is not None:
        content = pictures.bars(list(runs.results["races"].values()), picture.suffix.lower())
        write_new(picture, content, "bench")
    if json:
        say_json(runs.results)


class _Runs:
    """Runs races and shows them; ``results`` holds their figures."""

    def __init__(self, command: str, threads: int, *, quiet: bool, imports: int) -> None:
        self.command, self.threads, self.quiet = command, threads, quiet
        self.times, self.imports = imports, dict[str, float]()  # each import so many times
        self.results: dict[str, Any] = {"format": FORMAT, "races": {}, "growth": {}}

    def race(self, plan: Plan) -> None:
        """One network, all contestants."""
        made = self._made(plan)
        found = self._live(plan) | {"made": made}
        self.results["races"][plan.network] = found
        if not self.quiet:
            say(for_terminal(found, made["peak"][str(self.threads)]) + "\n")

    def growth(self, plan: Plan) -> None:
        """One network in all its sizes."""
        made, scales = self._made(plan), [{}, *GROWTH[plan.network]]
        races = [self._live(replace(plan, scale=scale)) for scale in scales]
        self.results["growth"][plan.network] = {"made": made, "races": races}
        if not self.quiet:
            say(growth_for_terminal(races) + "\n")

    def _live(self, plan: Plan) -> dict[str, Any]:
        """A race, with a line on a terminal's standard error that tells what runs."""
        name = " ".join([plan.network, *(f"{what} ×{by}" for what, by in plan.scale.items())])
        with Console(stderr=True, highlight=False).status(name) as status:
            return race(plan, lambda what: status.update(f"{name}: {what}"))

    def _made(self, plan: Plan) -> dict[str, Any]:
        modules = dict.fromkeys(LIBRARIES[name][0] for name in plan.contestants)
        new = [module for module in modules if module not in self.imports]
        self.imports |= import_seconds(new, self.times)
        imports = {module: self.imports[module] for module in modules if module in self.imports}
        return surroundings(self.command, self.threads) | {"imports": imports}


def _names(option: str, text: str, known: Iterable[str]) -> list[str]:
    """The names of a list with commas, each once; raises UsageError for one that is not known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            needs, remedy = "some of " + ", ".join(known), did_you_mean(name, known)
            raise UsageError(message(f"bench {option}", repr(name), needs, remedy=remedy))
    return list(dict.fromkeys(names))


def _command(given: Mapping[str, Any]) -> str:
    """The command line that measures the same."""
    words = ["chainrule", "bench"]
    for option, value in given.items():
        if value:
            words += [option] if value is True else [option, str(value)]
    return shlex.join(words)


# ---------------------------------------------------------------- files


def _before(write: Path | None, picture: Path | None) -> dict[str, Any]:
    """The results in the folder; raises for what can't be read or drawn, before half an hour."""
    if picture is not None:
        pictures.check_name(picture)
        refuse_existing(picture, "bench", "a new name: --picture FILE")
    if write is None:
        return {"races": {}, "growth": {}}
    if not write.is_dir():
        raise UsageError(message("bench", f"--write {write}", "a folder that exists"))
    pictures.check_name(write / "results.svg")
    path = write / "results.json"
    if not path.exists():
        return {"races": {}, "growth": {}}
    try:
        results = json_text.loads(path.read_text(encoding="utf-8"))
        if results["format"] == FORMAT:
            return {"races": results["races"], "growth": results["growth"]}
    except (ValueError, KeyError, TypeError):
        pass
    needs = f"results of format {FORMAT}"
    raise DataError(message("bench", str(path), needs, remedy="Remove it to begin anew."))


def _write(folder: Path, before: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """RESULTS.md, results.json and results.svg; networks that were not run now keep their rows."""
    whole: dict[str, Any] = {"format": FORMAT}
    for part in ("races", "growth"):
        both = before[part] | results[part]
        whole[part] = {name: both[name] for name in NETWORKS if name in both}
    text = json_text.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / "results.json", text.encode(), "bench")
    write_atomically(folder / "RESULTS.md", page(whole).encode(), "bench")
    write_atomically(folder / "results.svg", pictures.bars([*whole["races"].values()]), "bench")
