"""One training at a time, in a process of its own that ends with the server.

The process is ``python -m chainrule train SYSTEM --json --record``, or of a script
``chainrule run --record FILE``: what a person would type.  It writes its run folder as always, with
chosen steps; nothing of it waits for a page.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from chainrule.errors import UsageError, did_you_mean, message
from chainrule.studio.runs import plain_json
from chainrule.systems import SYSTEMS

__all__ = ["BusyError", "Training", "systems"]

COMMAND = (sys.executable, "-m", "chainrule")
PATIENCE = 5.0  # seconds from SIGINT to kill; a step and its checkpoint take less
LINES = 20  # of what it says on standard error
OUTPUT = 10_000_000  # characters of its result that are kept


def systems() -> list[dict[str, Any]]:
    """What can be trained or computed: name, title, and the default recipe's figures.

    >>> [(s["name"], s["parameters"]) for s in systems() if s["name"] in ("logistic", "xor")]
    [('logistic', None), ('xor', 33)]
    """
    return [
        {"name": name, "title": system.title}
        | {key: getattr(system.recipe, key, None) for key in ("parameters", "epochs", "time")}
        | {"data": list(system.recipes)}
        for name, system in SYSTEMS.items()
    ]


class BusyError(Exception):
    """A training was asked for while another one runs."""


class Training:
    """The training that the studio started last, if any.  Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._system = self._started = ""
        self._lines: deque[str] = deque(maxlen=LINES)
        self._output: list[str] = []
        self._ended = False

    def start(self, system: str) -> None:
        """Train a system.  Raises UsageError for an unknown one, BusyError while another runs."""
        if system not in SYSTEMS:
            remedy = did_you_mean(system, SYSTEMS)
            needs = "one of " + ", ".join(SYSTEMS)
            raise UsageError(message("train", repr(system), needs, remedy=remedy))
        self._begin(system, ["train", system, "--json", "--record"])

    def run_script(self, script: Path) -> None:
        """Run a script recorded.  Raises BusyError while something else runs."""
        self._begin(script.name, ["run", "--record", str(script)])

    def _begin(self, name: str, words: Sequence[str]) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise BusyError(f"{self._system} runs, and one thing runs at a time.")
            if self._ended:
                raise BusyError("The studio is ending.")
            self._lines, self._output = deque(maxlen=LINES), []
            self._process = subprocess.Popen(
                [*COMMAND, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=os.environ | {"PYTHONIOENCODING": "utf-8"},
                start_new_session=True,  # Ctrl-C in the terminal is ours, and we tell it
            )
            self._system, self._started = name, datetime.now(UTC).isoformat()
            self._readers = [
                _reading(self._process.stdout, self._keep_output),
                _reading(self._process.stderr, self._keep_line),
            ]

    def state(self, runs: list[dict[str, Any]]) -> dict[str, Any]:
        """How it stands: state, system, started, run, lines, result.

        state: idle, running, finished, interrupted or failed.  runs: the summaries of all runs, in
        which its own is found by its process.
        """
        with self._lock:
            if self._process is None:
                return {"state": "idle", "system": "", "started": "", "run": None} | {
                    "lines": [],
                    "result": None,
                }
            code = self._process.poll()
            result = self._result(code)
            # A script that ends well says what it likes.
            ended = "finished" if result or (code == 0 and self._is_script) else "failed"
            state = "running" if code is None else ended
            if state == "failed" and code in (130, -signal.SIGINT, -signal.SIGTERM):
                state = "interrupted"
            number = self._process.pid
            mine = [run["name"] for run in runs if run["process"] == number]
            found = {"state": state, "system": self._system, "started": self._started}
            return found | {
                "run": mine[0] if mine else _name(result),
                "lines": list(self._lines),
                "result": result,
            }

    def stop(self) -> None:
        """End it as Ctrl-C does, so that its last step is kept; after PATIENCE, kill it."""
        with self._lock:
            process, self._ended = self._process, True
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join(1)

    @property
    def _is_script(self) -> bool:
        return self._system not in SYSTEMS

    def _result(self, code: int | None) -> dict[str, Any] | None:
        """What it printed, once it has ended and that is a JSON document."""
        if code is None:
            return None
        for reader in self._readers:
            reader.join(1)
        try:
            found = json.loads("".join(self._output))
        except ValueError:
            return None
        kept = ("figures", "run", "seconds")
        return plain_json({key: found[key] for key in kept if key in found})

    def _keep_line(self, line: str) -> None:
        self._lines.append(line.rstrip())

    def _keep_output(self, line: str) -> None:
        if sum(map(len, self._output)) < OUTPUT:
            self._output.append(line)


def _name(result: dict[str, Any] | None) -> str | None:
    """The name of the run in a result, whose folder it tells."""
    return (
        str(result["run"]).replace("\\", "/").rpartition("/")[2]
        if result and "run" in result
        else None
    )


def _reading(stream: IO[str] | None, keep: Any) -> threading.Thread:
    """A thread that keeps what comes, so that the process never waits for a reader."""
    assert stream is not None

    def read() -> None:
        with stream:
            for line in stream:
                keep(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
