import numpy as np

import chainrule as cr
from chainrule import models
from chainrule.systems.retrieval import features


def test_features_are_what_the_last_layer_reads_with_length_one():
    net = models.lenet5()
    seen = {}
    net.fc3.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    pictures = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    net(cr.tensor(pictures))
    read = seen["x"].detach().numpy()
    lengths = np.linalg.norm(read, axis=1, keepdims=True)
    np.testing.assert_allclose(features(net, pictures), read / lengths, rtol=1e-5, atol=1e-6)
