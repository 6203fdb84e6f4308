"""``chainrule plan``: the kernels that a training step becomes, and what each costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

import chainrule as cr
from chainrule import nn, optim
from chainrule.cli.output import console, plain, say, say_json
from chainrule.cli.script import is_script, run_script
from chainrule.cli.summary import network
from chainrule.compile.cost import cost
from chainrule.compile.lower import LOWERINGS
from chainrule.compile.memory import most
from chainrule.compile.plan import Host, Kernel
from chainrule.compile.printer import Printer, amount
from chainrule.errors import UsageError, did_you_mean, message
from chainrule.inspect.cost import table
from chainrule.ops import REGISTRY, leaf
from chainrule.ops.op import Elementwise
from chainrule.run.llvm import workers
from chainrule.run.llvm.backend import Machinery, build
from chainrule.run.llvm.emit import emit
from chainrule.run.llvm.engine import engine
from chainrule.run.llvm.stream import speeds
from chainrule.run.llvm.timing import chunks_of, seconds_of_kernels
from chainrule.step import Compiled
from chainrule.systems import SYSTEMS

__all__ = ["run"]

HELP = """Print the kernels of a compiled training step: nodes, loops, memory, cost.

NAME is a system or a model (lenet), the widths of an MLP (784-128-10), a run, or
a function of a script that cr.compile has made and the script has called
(train.py:step). A network's step is forward, backward and update, by the system's
recipe, else cross-entropy and SGD with momentum, on random data.

"expected" is the roofline: the longer one of computing at the measured peak and
moving each byte once. --time runs each kernel alone, again and again.

\b
Examples:
  chainrule plan lenet
  chainrule plan lenet --time
  chainrule plan 784-128-10 --batch 256 --kernel 0 --asm
  chainrule plan lenet --inference --batch 1
  chainrule plan train.py:step
  chainrule plan --hosts
"""

BATCH = 64  # where no recipe says it


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)] = "",
    batch: Annotated[int | None, typer.Option(min=1, help="Samples; the recipe's, or 64.")] = None,
    inference: Annotated[bool, typer.Option("--inference", help="The forward alone.")] = False,
    kernel: Annotated[int | None, typer.Option(min=0, help="One kernel alone.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Measure each kernel.")] = False,
    llvm: Annotated[bool, typer.Option("--llvm", help="Print LLVM's text.")] = False,
    asm: Annotated[bool, typer.Option("--asm", help="Print the assembly.")] = False,
    hosts: Annotated[
        bool, typer.Option("--hosts", help="List the ops that NumPy computes.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print."""
    if hosts:
        names = host_ops()
        say_json({"hosts": names}) if json else say("\n".join(names))
        return
    if not name:
        needs = "a system, a model, widths, a run, or a function of a script"
        raise UsageError(message("plan", "no NAME", needs, remedy="chainrule plan lenet"))
    asked = {"--llvm": llvm, "--asm": asm, "--time": time, "--json": json}
    together = [option for option, given in asked.items() if given]
    if len(together) > 1 and together != ["--time", "--json"]:
        raise UsageError(message("plan", " and ".join(together), "one of them"))
    if _is_function(name) and (batch or inference):
        got = f"{'--batch' if batch else '--inference'} for a function of a script"
        why = "Its calls in the script say that"
        raise UsageError(message("plan", got, "the function alone", why=why))
    made = _of_script(name) if _is_function(name) else _of_network(name, batch, inference)
    many = len(made.plan.kernels)
    if kernel is not None and kernel >= many:
        raise UsageError(message("plan", f"--kernel {kernel}", f"a number from 0 to {many - 1}"))
    chosen = [kernel] if kernel is not None else list(range(many))
    if llvm or asm:
        _say_code(made, chosen, asm)
        return
    shown = _Measured(made, chosen, time)
    if json:
        say_json({"name": name, **shown.to_json()})
    else:
        shown.say()


def host_ops() -> list[str]:
    """The ops of the registry that no kernel computes: NumPy does, between kernels."""
    leaves = (leaf.data, leaf.number, leaf.parameter)
    return sorted(
        name
        for name, op in REGISTRY.items()
        if name not in LOWERINGS and not isinstance(op, Elementwise) and op not in leaves
    )


# ---------------------------------------------------------------- what is compiled


def _is_function(name: str) -> bool:
    return is_script(name) and ":" in name


def _of_network(name: str, batch: int | None, inference: bool) -> Machinery:
    """The step of a network, traced with random data."""
    model = network(name, "plan")
    recipe = SYSTEMS[name].recipe if name in SYSTEMS else None
    batch = batch or (recipe.batch_size if recipe else BATCH)
    rng = np.random.default_rng(0)
    x = cr.tensor(rng.random((batch, *_input_shape(model, name)), np.float32))
    if inference:
        model.eval()

        @cr.compile
        def forward(x: Any) -> Any:
            return model(x)

        with cr.no_grad():
            forward(x)
        return _newest(forward)
    loss = recipe.loss if recipe else nn.CrossEntropyLoss()
    if recipe is not None:
        optimizer = recipe.optimizer(model.parameters(), lr=recipe.lr)
    else:
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    y = _targets(loss, model(x), rng)

    @cr.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        found = loss(model(x), y)
        found.backward()
        optimizer.step()
        return found

    step(x, y)
    step(x, y)  # the first one began the optimizer's state
    return _newest(step)


def _input_shape(model: Any, name: str) -> tuple[int, ...]:
    """Of one sample: the model's own, or the features of its first layer."""
    own = getattr(model, "input_shape", None)
    if own is not None:
        return tuple(own)
    first = next((m for m in model.modules() if not list(m.children())), None)
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    got = f"{name}, which does not say the size of a sample"
    raise UsageError(message("plan", got, "input_shape, or a Linear as its first layer"))


def _targets(loss: Any, outputs: Any, rng: np.random.Generator) -> Any:
    """Classes for a loss of classes, else numbers in 0 … 1 of the outputs' shape."""
    shape = tuple(outputs.shape)
    if isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return cr.tensor(rng.integers(0, shape[1], (shape[0], *shape[2:])))
    return cr.tensor(rng.random(shape, np.float32))


def _of_script(what: str) -> Machinery:
    """A compiled function of a script, as it was last traced."""
    file, _, name = what.rpartition(".py:")
    variables = run_script(Path(f"{file}.py"), "plan")
    known = [key for key, x in variables.items() if isinstance(x, Compiled)]
    if name not in known:
        needs = f"one of {', '.join(known)}" if known else "a function made by cr.compile"
        remedy = did_you_mean(name, known)
        raise UsageError(message("plan", f"{name!r} of {file}.py", needs, remedy=remedy))
    if variables[name].newest is None:
        got = f"{name}, which was never called"
        raise UsageError(message("plan", got, "a call in the script", why="Calls give shapes"))
    return _newest(variables[name])


def _newest(function: Compiled) -> Machinery:
    """The machine code of the newest trace."""
    traced = function.newest
    if traced is None:
        needs = "one that can be traced"
        raise UsageError(message("plan", "a function that runs without a plan", needs))
    made = build(traced.work)
    if not isinstance(made, Machinery):
        raise UsageError(message("plan", "a plan that breaks a rule", "one that is verified"))
    return made


# ---------------------------------------------------------------- what is printed


def _say_code(made: Machinery, chosen: list[int], asm: bool) -> None:
    for number in chosen:
        kernel = made.plan.kernels[number]
        if isinstance(kernel, Kernel):
            text = emit(kernel, engine().machine).text
            say(f"; k{number}\n{engine().assembly(text) if asm else text}")


def _short(number: float, unit: str = "") -> str:
    return amount(number, unit, 3)


class _Measured:
    """A plan with what each kernel should take, and takes."""

    def __init__(self, made: Machinery, chosen: list[int], timed: bool) -> None:
        self.made, self.chosen, self.timed = made, chosen, timed
        self.printer = Printer(made.plan)
        self.costs = [cost(kernel) for kernel in made.plan.kernels]
        self.chunks = chunks_of(made)
        self.threads = workers.get_num_threads()
        known = {n: speeds(n) for n in {1, self.threads}}
        self.speeds = [known[min(n, self.threads) if n == 1 else self.threads] for n in self.chunks]
        self.expected = [
            speed.seconds(found) for speed, found in zip(self.speeds, self.costs, strict=True)
        ]
        self.peak = known[self.threads].operations
        self.seconds: list[float] = []
        self.whole = 0.0
        if timed:
            self.seconds, self.whole = seconds_of_kernels(made)

    def to_json(self) -> dict[str, Any]:
        """As JSON; seconds and bytes."""
        plan = self.made.plan
        kernels = []
        for k in self.chosen:
            kernel, found = plan.kernels[k], self.costs[k]
            row: dict[str, Any] = {
                "kernel": k,
                "kind": kernel.kind,
                "stage": plan.stages[k],
                "nodes": [f"{node.op.name} {node.type}" for node in kernel.nodes],
                "axes": [] if isinstance(kernel, Host) else list(kernel.axes),
                "operations": found.operations,
                "read": found.read,
                "written": found.written,
                "chunks": self.chunks[k],
                "expected": self.expected[k],
            }
            if self.timed:
                row |= {"measured": self.seconds[k], "share": self._share(k)}
            kernels.append(row)
        whole = {"measured": self.whole} if self.timed else {}
        return {
            "threads": self.threads,
            "peak": self.peak,
            "arena": plan.arena,
            "memory": most(plan),
            "kernels": kernels,
            **whole,
        }

    def say(self) -> None:
        """The blocks of the kernels, then a table."""
        if len(self.chosen) > 1:
            say(self.printer.heading() + "\n")
        for k in self.chosen:
            parts = f"{self.chunks[k]} chunk{'s' * (self.chunks[k] > 1)}"
            say(self.printer.kernel_text(k, parts) + "\n")
        if len(self.chosen) > 1:
            say(self.printer.memory() + "\n")
        self._say_table()
        peak = f"peak {self.peak / 1e9:.4g} GFLOP/s on {self.threads} threads, measured"
        whole = f"; the whole at once {amount(self.whole, 's')}" if self.timed else ""
        say(f"\n{peak}{whole}")

    def _say_table(self) -> None:
        head = ["", "kind", "nodes", "FLOP", "bytes", "chunks", "expected"]
        head += ["measured", "GFLOP/s", "of peak"] if self.timed else []
        rows = [self._row(k) for k in self.chosen]
        rows.append(self._total())
        out = console()
        if not out.is_terminal:
            say(table([[f"{row[0]:4} {row[2]}", row[1], *row[3:]] for row in (head, *rows)]))
            return
        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for number, title in enumerate(head):
            width = max(len(row[number]) for row in (head, *rows))
            shown.add_column(
                title,
                justify="left" if number in (1, 2) else "right",
                no_wrap=True,
                min_width=8 if title == "nodes" else width,  # the one that can be cut
            )
        for row in rows:
            shown.add_row(*map(plain, row))
        out.print(shown)

    def _row(self, k: int) -> list[str]:
        found = self.costs[k]
        row = [f"k{k}", self.made.plan.kernels[k].kind, self.printer.node(k)]
        row += [_short(found.operations), _short(found.nbytes, "B"), str(self.chunks[k])]
        row.append(_short(self.expected[k], "s"))
        if self.timed:
            row += self._rates(found.operations, self.seconds[k], self._share(k))
        return row

    def _total(self) -> list[str]:
        operations = sum(self.costs[k].operations for k in self.chosen)
        nbytes = sum(self.costs[k].nbytes for k in self.chosen)
        row = ["", "", "total", _short(operations), _short(nbytes, "B"), ""]
        row.append(_short(sum(self.expected[k] for k in self.chosen), "s"))
        if self.timed:
            seconds = sum(self.seconds[k] for k in self.chosen)
            row += self._rates(operations, seconds, operations / seconds / self.peak)
        return row

    @staticmethod
    def _rates(operations: int, seconds: float, share: float) -> list[str]:
        rate = f"{operations / seconds / 1e9:.1f}" if operations else ""
        return [_short(seconds, "s"), rate, f"{share:.0%}".replace("%", " %") if operations else ""]

    def _share(self, k: int) -> float:
        """Of the peak of the threads that can work on it."""
        found = self.costs[k]
        rate = found.operations * found.itemsize / 4 / self.seconds[k]
        return rate / self.speeds[k].operations
