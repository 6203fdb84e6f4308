import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim
from chainrule.data import DataLoader, TensorDataset
from chainrule.systems.xor import INPUTS, TARGETS, train_together
from chainrule.train.trainer import Trainer


def test_side_by_side_is_what_each_network_would_do_alone():
    together = train_together(8, optim.Adam, 50, lr=0.05)
    data = DataLoader(TensorDataset(INPUTS, TARGETS), 4)
    for seed in (0, 7):
        cr.manual_seed(seed)
        net = models.xor(8)
        trainer = Trainer(net, nn.MSELoss(), optim.Adam(net.parameters(), lr=0.05))
        trainer.fit(data, epochs=50)
        assert trainer.predict(data)[:, 0] == pytest.approx(together[seed], abs=1e-4)


def test_training_many_leaves_the_random_streams_where_they_were():
    cr.manual_seed(3)
    before = cr.get_state()
    answers = train_together(2, optim.Adam, 1, lr=0.05)
    assert cr.get_state() == before and answers.shape == (100, 4) and np.isfinite(answers).all()
