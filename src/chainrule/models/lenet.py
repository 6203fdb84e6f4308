"""LeNet in three forms: as it is taught today, as it was in 1998, and as in PyTorch's tutorial.

LeCun, Bottou, Bengio and Haffner: Gradient-based learning applied to document recognition, 1998.
"""

from __future__ import annotations

from math import prod

import numpy as np

from chainrule import nn
from chainrule.creation import cat, zeros
from chainrule.errors import UsageError, message
from chainrule.nn import functional as F
from chainrule.tensor import Tensor, tensor

__all__ = ["LeNet1998", "LeNet5", "LectureLeNet", "lenet5", "lenet_lecture"]


class LeNet5(nn.Module):
    """x: f32[N,1,28,28] -> logits: f32[N,10]

    conv1  1→6   5×5, padding 2   f32[N,6,28,28]   pool 2   f32[N,6,14,14]
    conv2  6→16  5×5              f32[N,16,10,10]  pool 2   f32[N,16,5,5]
    fc1 400→120, fc2 120→84, fc3 84→10
    """

    input_shape = (1, 28, 28)

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,1,28,28] -> logits: f32[N,num_classes]"""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class LectureLeNet(nn.Module):
    """x: f32[N,1,32,32] -> logits: f32[N,10], 81,194 parameters; sides of 30 to 33 fit.

    conv1  1→6   3×3   f32[N,6,30,30]   pool 2   f32[N,6,15,15]
    conv2  6→16  3×3   f32[N,16,13,13]  pool 2   f32[N,16,6,6]
    fc1 576→120, fc2 120→84, fc3 84→10
    """

    input_shape = (1, 32, 32)

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,1,32,32] -> logits: f32[N,num_classes]"""
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)

    def num_flat_features(self, x: Tensor) -> int:
        """C·H·W of x: f32[N,C,H,W]; the lecture's slide calls it and leaves it out."""
        return prod(x.shape[1:])


# ---------------------------------------------------------------- 1998

# Which of the 6 maps of S2 each of the 16 maps of C3 reads: table I of the paper.
C3_READS = (
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235",
    "012345",
)  # fmt: skip

# What F6 shall answer to each digit: drawings of 7×12 pixels, ink +1 and paper -1.
DRAWINGS = """
.#####. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..##... ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .###... .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##..### ...#... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##.#.## ...#... ....##. ..####. ##..##. ######. ######. ....##. .#####. .######
##.#.## ...#... ...##.. .....## ##..##. .....## ##...## ...##.. ##...## .....##
###..## ...#... ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...#... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...#... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
.#####. .#####. ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def codes() -> np.ndarray:
    """f32[10,84]: the ten drawings, +1 where there is ink and -1 where there is paper."""
    rows = [line.split() for line in DRAWINGS.split("\n") if line]
    digits = ["".join(row[digit] for row in rows) for digit in range(10)]
    return np.array([[1 if pixel == "#" else -1 for pixel in d] for d in digits], np.float32)


def squash(x: Tensor) -> Tensor:
    """1.7159 tanh(⅔x), which maps ±1 to ±1 and bends most there."""
    return 1.7159 * (x * (2 / 3)).tanh()


class Subsampling(nn.Module):
    """The sum of each 2×2 square, times w, plus b: one of each per map.

    x: f32[N,C,H,W] -> f32[N,C,H/2,W/2] with weight f[C], bias f[C]
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(zeros(channels)) for _ in range(2))
        nn.init.uniform_(self.weight, -2.4 / 4, 2.4 / 4)

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,C,H,W] -> f32[N,C,H/2,W/2]"""
        sums = 4 * F.avg_pool2d(x, 2)
        return sums * self.weight.reshape(-1, 1, 1) + self.bias.reshape(-1, 1, 1)


class TableConv2d(nn.Module):
    """5×5 convolution in which each output map reads the input maps that its row names.

    x: f32[N,6,14,14] -> f32[N,16,10,10] with weight f[60,5,5], a kernel per connection, bias f[16]
    """

    def __init__(self, reads: tuple[str, ...] = C3_READS, in_channels: int = 6) -> None:
        super().__init__()
        pairs = [(k, int(c)) for k, row in enumerate(reads) for c in row]
        self.weight = nn.Parameter(zeros(len(pairs), 5, 5))
        self.bias = nn.Parameter(zeros(len(reads)))
        for number, (k, _) in enumerate(pairs):
            bound = 2.4 / (25 * len(reads[k]))
            nn.init.uniform_(self.weight.data[number], -bound, bound)
        # Where there is no connection, the row of zeros that stands after the kernels.
        table = np.full((len(reads), in_channels), len(pairs))
        for number, pair in enumerate(pairs):
            table[pair] = number
        self.table = table

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,6,14,14] -> f32[N,16,10,10]"""
        kernels = cat([self.weight, zeros(1, 5, 5, dtype=self.weight.dtype)])
        dense = kernels.index_select(0, tensor(self.table.reshape(-1)))
        return F.conv2d(x, dense.reshape(*self.table.shape, 5, 5), self.bias)


class LeNet1998(nn.Module):
    """x: f32[N,1,28,28], 0 = paper to 1 = ink -> logits: f32[N,10], 60,000 parameters

    C1 1→6 5×5       156   f32[N,6,28,28]    S2 trainable    12   f32[N,6,14,14]
    C3 6→16 5×5    1,516   f32[N,16,10,10]   S4 trainable    32   f32[N,16,5,5]
    C5 16→120 5×5 48,120   f32[N,120,1,1]    F6 120→84   10,164   f32[N,84]
    RBF 84→10          0   f32[N,10]

    Chosen as the paper says: C3's connection table; sub-sampling with one weight and one bias per
    map; ``squash`` after every layer up to F6; the picture on 32×32 with paper -0.1 and ink 1.175;
    weights from U(-2.4/fan-in, 2.4/fan-in); outputs y = ‖F6 - code‖² with fixed codes.
    Chosen otherwise: logits are -y, so that cross-entropy is the paper's criterion (9) without the
    constant of its rubbish class; biases start at 0; the ten 7×12 drawings are our own.
    """

    input_shape = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.C1, self.S2 = nn.Conv2d(1, 6, 5), Subsampling(6)
        self.C3, self.S4 = TableConv2d(), Subsampling(16)
        self.C5, self.F6 = nn.Conv2d(16, 120, 5), nn.Linear(120, 84)
        for layer, fan_in in ((self.C1, 25), (self.C5, 400), (self.F6, 120)):
            nn.init.uniform_(layer.weight, -2.4 / fan_in, 2.4 / fan_in)
            nn.init.zeros_(layer.bias)
        self.register_buffer("codes", tensor(codes()))

    def forward(self, x: Tensor) -> Tensor:
        """x: f32[N,1,28,28] -> logits: f32[N,10]"""
        x = 1.275 * F.pad(x, (2, 2, 2, 2)) - 0.1
        x = squash(self.S2(squash(self.C1(x))))
        x = squash(self.S4(squash(self.C3(x))))
        x = squash(self.F6(squash(self.C5(x)).flatten(1)))
        return -((x.unsqueeze(1) - self.codes) ** 2).sum(2)


def lenet5(num_classes: int = 10, variant: str = "modern") -> nn.Module:
    """LeNet-5 with fresh weights: "modern", 61,706 parameters, or "1998", 60,000.

    Raises UsageError for another variant, and for other than 10 classes of the 1998 one, whose
    outputs are drawings of the ten digits.
    """
    if variant == "modern":
        return LeNet5(num_classes)
    if variant != "1998":
        raise UsageError(message("lenet5", f"variant={variant!r}", "'modern' or '1998'"))
    if num_classes != 10:
        why, got = "Its outputs are drawings of the ten digits", f"num_classes={num_classes}"
        raise UsageError(message("lenet5", f"{got} with variant='1998'", "10", why=why))
    return LeNet1998()


def lenet_lecture(num_classes: int = 10) -> LectureLeNet:
    """The lecture's LeNet with fresh weights."""
    return LectureLeNet(num_classes)
