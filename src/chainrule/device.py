"""Devices: where tensors live."""

from __future__ import annotations

from chainrule.errors import DeviceError, message

__all__ = ["CPU", "KINDS", "Device"]

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
