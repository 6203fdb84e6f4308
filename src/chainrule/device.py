"""Devices: where tensors live, and on how many threads they are computed."""

from __future__ import annotations

from chainrule.errors import DeviceError, message

__all__ = ["CPU", "KINDS", "Device", "get_num_threads", "set_num_threads"]

KINDS = ("cpu", "cuda", "mps", "xpu")


class Device:
    """Where tensors live. Only the CPU so far.

    >>> Device("cpu")
    device(type='cpu')
    """

    def __init__(self, kind: str | Device) -> None:
        self.type = kind.type if isinstance(kind, Device) else str(kind).split(":")[0]
        if self.type != "cpu":
            why = "There is no GPU backend yet" if self.type in KINDS else "No such device"
            raise DeviceError(message("device", repr(self.type), "'cpu'", why=why))

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __eq__(self, other: object) -> bool:
        return other == "cpu" or isinstance(other, Device)

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type


CPU = Device("cpu")


def get_num_threads() -> int:
    """On how many threads programs run: CHAINRULE_THREADS, else as many as there are cores."""
    from chainrule.run.llvm import workers

    return workers.get_num_threads()


def set_num_threads(n: int) -> None:
    """Run programs on n threads, 1 to 64: the caller's and n - 1 workers. No result depends on it.

    Raises ``UsageError`` for another number.
    """
    from chainrule.run.llvm import workers

    workers.set_num_threads(n)
