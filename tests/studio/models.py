"""Recorded runs of models that no page knows: made by chance, and of every kind of wiring."""

import numpy as np

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.train import Recording, Trainer
from chainrule.train.record_script import recorded
from chainrule.train.runs import Run

CLASSES, SAMPLES, BATCH = 3, 12, 6
CONFIG = {"system": "xor", "epochs": 2, "lr": 0.05}


class Made(nn.Module):
    """Layers by chance: a branch that is added, two that are joined, and a layer used twice."""

    def __init__(self, seed, channels, rows, columns):
        super().__init__()
        chance = np.random.default_rng(seed)
        self.order = [str(word) for word in chance.permutation(["plain", "skip", "join", "twice"])]
        self.act = [cr.tanh, cr.relu, F.gelu, cr.sigmoid][chance.integers(4)]
        kernel = [int(size) for size in chance.integers(1, 4, 2)]
        stride = [int(size) for size in chance.integers(1, 3, 2)]
        maps = channels
        self.parts = nn.ModuleList()
        for word in self.order:
            if word == "plain":
                wide = int(chance.integers(2, 7))
                layers = [nn.Conv2d(maps, wide, kernel, stride=stride), nn.BatchNorm2d(wide)]
                self.parts.append(nn.Sequential(*layers, nn.Dropout(0.2)))
                maps = wide
            elif word == "skip":
                self.parts.append(nn.Conv2d(maps, maps, 3, padding=2, dilation=2))
            elif word == "join":
                self.parts.append(nn.Conv2d(maps, 2, 1))
                maps += 2
            else:
                self.parts.append(nn.Conv2d(maps, maps, 3, padding=1))
        self.pool = nn.MaxPool2d(2, ceil_mode=bool(chance.integers(2)))
        with cr.no_grad():
            count = self.features(cr.zeros(1, channels, rows, columns)).shape[1]
        self.last = nn.Linear(count, CLASSES)

    def features(self, x):
        for word, part in zip(self.order, self.parts, strict=True):
            if word == "plain":
                x = self.act(part(x))
            elif word == "skip":
                x = cr.relu(part(x)) + x
            elif word == "join":
                x = cr.concatenate([x, cr.tanh(part(x))], 1)
            else:
                x = part(self.act(part(x)))
        return self.pool(x).flatten(1)

    def forward(self, x):
        return self.last(self.features(x))


class Tokens(nn.Module):
    """Attention among tokens, which enter as whole numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(11, 6), nn.LayerNorm(6)
        self.q, self.k, self.v = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.last = nn.Linear(6, CLASSES)

    def forward(self, tokens):
        x = self.table(tokens)
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 6**0.5
        return self.last(self.norm(x + F.softmax(scores, -1) @ self.v(x)).mean(1))


class Two(nn.Module):
    """Two inputs that meet, and a parameter that stands alone."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(5, 4), nn.Linear(3, 4)
        self.scale = nn.Parameter(cr.tensor([1.0, -0.5, 2.0, 0.3]))
        self.last = nn.Linear(7, CLASSES)

    def forward(self, a, b):
        joined = cr.concatenate([self.left(a).sigmoid() * self.scale, cr.tanh(self.right(b))], 1)
        return self.last(joined[:, :7])


def begin(folder, name):
    """A run that nobody trains yet."""
    return Run.create("xor", CONFIG, folder / "runs" / name)


def train(folder, name, net, x):
    """A recorded training, each step of it."""
    run = begin(folder, name)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    record = Recording(run.folder, "all")
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, record=record)
    data = TensorDataset(x, np.arange(len(x)) % CLASSES)
    trainer.fit(DataLoader(data, BATCH), epochs=2, verbose=False)
    run.release()
    return run


def made(folder, seed):
    """A model of layers by chance on pictures of an odd size."""
    chance = np.random.default_rng(100 + seed)
    size = [int(chance.integers(1, 4)), *(int(n) for n in chance.choice([7, 9, 11, 13], 2))]
    x = chance.normal(size=(SAMPLES, *size)).astype(np.float32)
    cr.manual_seed(seed)
    return train(folder, f"made-{seed:03}", Made(seed, *size), x)


def tokens(folder):
    cr.manual_seed(0)
    x = np.random.default_rng(1).integers(0, 11, (SAMPLES, 5))
    return train(folder, "tokens-001", Tokens(), x)


def two(folder):
    """A model with two inputs, trained by a loop of one's own."""
    cr.manual_seed(0)
    chance, run, net = np.random.default_rng(2), begin(folder, "two-001"), Two()
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    with recorded(run, "all"):
        for _ in range(4):
            a, b = (cr.tensor(chance.normal(size=(4, n)).astype(np.float32)) for n in (5, 3))
            optimizer.zero_grad()
            F.cross_entropy(net(a, b), cr.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
    run.release()
    return run
