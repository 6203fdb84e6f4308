import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


def pictures(peak=1.0, seed=0):
    x = np.random.default_rng(seed).random((8, 1, 4, 4), dtype=np.float32) * np.float32(peak)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, peak
    return cr.tensor(x)


@pytest.fixture
def trainer():
    cr.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    optimizer = cr.optim.SGD(model.parameters(), lr=0.01)
    return cr.Trainer(model, nn.CrossEntropyLoss(), optimizer)


LABELS = cr.tensor([0, 1] * 4)


def test_pictures_of_another_scale_give_one_warning(trainer):
    trainer.fit([(pictures(), LABELS)], verbose=False)
    says = (
        r"\[Trainer.predict\] got inputs from 0 to 255, needs about 0 to 1 as in training\. "
        r"A picture of 0 to 255, where it was trained on 0 to 1\? x / 255\."
    )
    with pytest.warns(UserWarning, match=says) as warned:
        trainer.predict(pictures(255))
    assert warned[0].filename == __file__
    trainer.predict(pictures(255))  # said once: a second warning would be an error


def test_evaluate_warns_and_does_what_it_is_told(trainer):
    trainer.fit([(pictures(), LABELS)], verbose=False)
    with pytest.warns(UserWarning, match=r"\[Trainer.evaluate\] got inputs .*Scale them"):
        found = trainer.evaluate([(pictures(1000), LABELS)])
    assert set(found) == {"loss"}


def test_what_is_near_or_unknown_is_not_warned_of(trainer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.predict(pictures(255))  # nothing was trained
        trainer.fit([(pictures(), LABELS)], verbose=False)
        trainer.predict(pictures(5))
        trainer.predict(pictures(float("nan")))
        trainer.fit([(pictures(0), LABELS)], verbose=False)  # no range to speak of
        trainer.predict(pictures(255))
