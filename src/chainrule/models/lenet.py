"""LeNet-5 as it is taught today: ReLU, maximum pooling, softmax; 61,706 parameters.

LeCun, Bottou, Bengio and Haffner: Gradient-based learning applied to document recognition, 1998.
"""

from __future__ import annotations

from chainrule import nn
from chainrule.nn import functional as F
from chainrule.tensor import Tensor

__all__ = ["LeNet5", "lenet5"]


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


def lenet5(num_classes: int = 10) -> LeNet5:
    """LeNet-5, modern form, with fresh weights from the "init" stream."""
    return LeNet5(num_classes)
