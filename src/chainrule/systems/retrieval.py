"""Retrieval as a system: a digit is read as the most similar stored one, by pixels or features."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import models, nn, optim, random
from chainrule.data import Compose, DataLoader, TensorDataset
from chainrule.inspect.retrieval import nearest
from chainrule.nn import functional as F
from chainrule.systems.classification import ENLARGED, SLIGHTLY_VARIED, open_parts
from chainrule.systems.system import Figure, Report, System
from chainrule.tensor import tensor

__all__ = ["RETRIEVAL", "features"]

EPOCHS, BATCH, SHOWN = 12, 32, 8


def features(net: Any, pictures: np.ndarray) -> np.ndarray:
    """What LeNet's last hidden layer makes of pictures: f32[N,1,28,28] -> f32[N,84], of length 1.

    Why of length 1? How strongly a digit is recognised differs; which one it is, is a direction.
    """
    x = tensor(pictures)
    x = F.max_pool2d(F.relu(net.conv1(x)), 2)
    x = F.max_pool2d(F.relu(net.conv2(x)), 2)
    x = F.relu(net.fc2(F.relu(net.fc1(x.flatten(1))))).detach()
    return F.normalize(x).numpy()


def _trained(pictures: np.ndarray, labels: np.ndarray) -> Any:
    net: Any = models.lenet5()
    optimizer, loss_of = optim.Adam(net.parameters(), lr=0.002), nn.CrossEntropyLoss()
    varied = Compose((SLIGHTLY_VARIED,))
    loader = DataLoader(TensorDataset(pictures, labels), BATCH, shuffle=True, transform=varied)
    for _ in range(EPOCHS):
        for x, t in loader:
            optimizer.zero_grad()
            loss_of(net(x), t).backward()
            optimizer.step()
    return net


def _compute(data_dir: str | None = None) -> Report:
    parts = {name: part.arrays for name, part in open_parts("digits").items()}
    images = {name: _enlarged(pixels) for name, (pixels, _) in parts.items()}
    labels, wanted = parts["train"][1], parts["test"][1]
    before = random.get_state()
    random.manual_seed(0)
    net = _trained(images["train"], labels)
    random.set_state(before)
    spaces = {
        "pixels": (images["test"], images["train"]),
        "features": (features(net, images["test"]), features(net, images["train"])),
    }
    lines = [
        f"each of {len(wanted)} test digits is read as the most similar of {len(labels):,} stored"
    ]
    figures, result, pictures = [], {}, {}
    for name, (questions, stored) in spaces.items():
        found = nearest(questions, stored, k=SHOWN - 1).indices
        accuracy = float((labels[found[:, 0]] == wanted).mean())
        agree = float((labels[found] == wanted[:, None]).mean())
        percents = f"{accuracy:.1%}, of the first {SHOWN - 1} {agree:.1%}".replace("%", " %")
        lines.append(f"  by {name:8}  right: the first {percents}")
        figures += [
            Figure(f"accuracy by {name}", accuracy, at_least=0.95),
            Figure(f"of the same class among {SHOWN - 1}, by {name}", agree),
        ]
        result[name] = {"accuracy": accuracy, "same_class": agree}
        rows = [[images["test"][i, 0], *images["train"][found[i], 0]] for i in range(SHOWN)]
        pictures[f"most-similar-by-{name}"] = np.vstack([np.hstack(row) for row in rows])
    itself = nearest(images["train"][:50], images["train"]).distances.max()
    figures.append(Figure("distance of a stored picture to itself", float(itself), equal=0))
    next = ("train template-matching", "train lenet")
    return Report(lines, tuple(figures), result, next, pictures)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """u8[N,1,8,8] -> f32[N,1,28,28], as LeNet sees them."""
    for transform in ENLARGED:
        pixels = transform(pixels)
    return pixels


RETRIEVAL = System("reading by the most similar stored picture", compute=_compute)
