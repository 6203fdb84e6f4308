"""``chainrule predict``: let a trained network read a picture or a sample of the test data."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich.text import Text

from chainrule.cli.output import can_print_blocks, command, say, say_json
from chainrule.cli.paint import paint
from chainrule.cli.trained import Trained
from chainrule.errors import UsageError, message
from chainrule.train.reader import READ, PictureReader

HELP = """Let a trained network answer: for a picture, or for a sample of its test data.

RUN is a folder, a name in runs/, or the word last. PICTURE is an image file with one digit,
dark on light or light on dark, for networks that read digits; --sample N takes sample N of the
test data instead, for any.

\b
Examples:
  chainrule predict last --sample 7
  chainrule predict last my-digit.png
  chainrule predict lenet-001 my-digit.png --json
"""

WIDTH_OF_BARS = 24


def run(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its name, or last.")],
    picture: Annotated[str | None, typer.Argument(help="An image file.")] = None,
    sample: Annotated[int | None, typer.Option(help="The number of a test sample.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="The folder that has the data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict."""
    if picture is not None and sample is not None:
        raise UsageError(message("predict", f"{picture} and --sample", "one of the two"))
    if picture is not None:
        reader = PictureReader(name)
        seen = reader.prepare(picture)
        _say_class(f"{picture}, as {reader.run}", seen, reader.probabilities(seen)[0], None, json)
        return
    trained = Trained("predict", name, data_dir=data_dir)
    inputs, targets = trained.sample(sample or 0)
    outputs, target = trained.outputs(inputs)[0], targets.numpy()[0]
    if outputs.ndim == 1 and len(outputs) > 1 and targets.dtype.category < 2 and not target.ndim:
        chances = np.exp(outputs.astype(np.float64) - outputs.max())
        what = f"test sample {sample or 0}, labelled {target}, as {trained.run}"
        _say_class(what, inputs.numpy(), chances / chances.sum(), int(target), json)
    elif json:
        say_json({"outputs": outputs.tolist(), "wanted": target.tolist()})
    else:
        say(f"test sample {sample or 0}, as {trained.run} sees it\n")
        rows = (("inputs", inputs.numpy()[0]), ("outputs", outputs), ("wanted", target))
        for label, numbers in rows:
            say(f"{label:8} {_few(numbers)}")
    if not json and sample is None:
        own = ", PICTURE.png your own" if trained.data in READ else ""
        say(f"\n{command()} predict {name} --sample 1 takes another{own}")


def _few(numbers: np.ndarray) -> str:
    """The first few numbers of an array."""
    flat = numbers.reshape(-1)
    return " ".join(f"{n:.4g}" for n in flat[:8]) + (f" … {flat.size} in all" * (flat.size > 8))


def _say_class(
    what: str, seen: np.ndarray, probabilities: np.ndarray, label: int | None, json: bool
) -> None:
    """The class that a network answers with, and what it saw."""
    if json:
        answer = {"answer": int(probabilities.argmax()), "probabilities": probabilities.tolist()}
        say_json(answer | ({} if label is None else {"label": label}))
    elif seen.ndim == 4 and seen.shape[1] == 1:
        _show(f"{what} sees it", seen[0, 0], probabilities)
    else:
        best = int(probabilities.argmax())
        say(f"{what} sees it\n")
        say(f"answer {best}, probability {probabilities[best]:.1%}".replace("%", " %"))


def _show(title: str, image: np.ndarray, probabilities: np.ndarray) -> None:
    """The picture on the left, the classes with their probabilities on the right."""
    say(title + "\n")
    lines = paint(image)
    full = "█" if can_print_blocks() else "#"
    right = [
        f"{digit}  {p:6.1%}".replace("%", " %") + f"  {full * round(p * WIDTH_OF_BARS)}"
        for digit, p in enumerate(probabilities)
    ]
    best = int(probabilities.argmax())
    above = (len(lines) - len(right)) // 2
    for number, line in enumerate(lines):
        row = number - above
        text = right[row] if 0 <= row < len(right) else ""
        say(Text("  ") + line + Text(f"    {text}", "bold" if row == best else ""))
    say(f"\nanswer {best}, probability {probabilities[best]:.1%}".replace("%", " %"))
