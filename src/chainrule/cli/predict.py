"""``chainrule predict``: let a trained network read a picture or a sample of the test data."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich.text import Text

from chainrule.cli.output import can_print_blocks, command, say, say_json
from chainrule.cli.paint import paint
from chainrule.errors import UsageError, message
from chainrule.train.reader import PictureReader

HELP = """Let a trained network read a picture, and show what it sees.

RUN is a folder, a name in runs/, or the word last. PICTURE is an image file with one digit,
dark on light or light on dark; --sample N takes digit N of the test data instead.

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
    sample: Annotated[int | None, typer.Option(help="The number of a test digit.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict."""
    if picture is not None and sample is not None:
        raise UsageError(message("predict", f"{picture} and --sample", "one of the two"))
    reader = PictureReader(name)
    if picture is not None:
        seen, label = reader.prepare(picture), None
    else:
        seen, label = reader.sample(sample or 0)
    probabilities = reader.probabilities(seen)[0]
    if json:
        answer = {"answer": int(probabilities.argmax()), "probabilities": probabilities.tolist()}
        say_json(answer | ({} if label is None else {"label": label}))
        return
    what = picture if picture is not None else f"test digit {sample or 0}, labelled {label}"
    _show(f"{what}, as {reader.run} sees it", seen[0, 0], probabilities)
    if picture is None and sample is None:
        say(f"\n{command()} predict {name} --sample 7 takes another, PICTURE.png your own")


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
