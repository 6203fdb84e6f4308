"""The probe's samples: the first ones, as they are, and nothing moves."""

import numpy as np

import chainrule as cr
from chainrule.data import Compose, DataLoader, RandomHorizontalFlip, Scale, TensorDataset
from chainrule.train.probe import probe_of

X = np.arange(24.0, dtype=np.float32).reshape(12, 1, 1, 2)
Y = np.arange(12)


def test_of_a_loader_that_shuffles():
    loader = DataLoader(TensorDataset(X, Y), 5, shuffle=True)
    streams, place = cr.random.get_state(), loader.state_dict()
    inputs, targets = probe_of(loader, 7)
    assert inputs.tolist() == X[:7].tolist() and targets.tolist() == Y[:7].tolist()
    assert cr.random.get_state() == streams and loader.state_dict() == place
    assert [len(t) for _, t in loader] == [5, 5, 2]


def test_the_samples_are_not_varied():
    varied = Compose((RandomHorizontalFlip(1.0), Scale(2.0)))
    inputs, _ = probe_of(DataLoader(TensorDataset(X, Y), 5, transform=varied), 2)
    assert inputs.tolist() == (X[:2] / 2).tolist()


def test_of_batches_in_a_list():
    batches = [(cr.tensor(X[:3]), cr.tensor(Y[:3])), (cr.tensor(X[3:]), cr.tensor(Y[3:]))]
    inputs, targets = probe_of(batches, 16)
    assert inputs.tolist() == X[:3].tolist() and len(targets) == 3


def test_of_what_can_be_passed_once_and_of_nothing():
    assert probe_of(iter([(cr.tensor(X), cr.tensor(Y))]), 4) is None
    assert probe_of(None, 4) is None
