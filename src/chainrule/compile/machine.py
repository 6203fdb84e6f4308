"""What a schedule needs to know of the machine: registers, caches, cores."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Machine"]


@dataclass(frozen=True)
class Machine:
    """A processor, as schedules see it; sizes in bytes."""

    vector: int  # of a vector register: 16, 32 or 64
    registers: int  # vector registers: 16 or 32
    has_fma: bool  # a fused multiply-add is one instruction, no call
    cores: int  # that this process may use
    l1: int  # data cache of one core
    l2: int
    l3: int  # shared
    triple: str
    features: str  # of the instruction set, as LLVM writes them

    def lanes(self, itemsize: int) -> int:
        """How many numbers of that many bytes fit into a vector register."""
        return self.vector // itemsize
