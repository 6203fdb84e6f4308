import chainrule as cr
from chainrule import models


def test_a_picture_scores_by_its_product_with_a_template():
    net = models.softmax_regression(3, (1, 2, 2))
    templates = net.templates()
    assert templates.shape == (3, 1, 2, 2)
    x = cr.rand(1, 1, 2, 2)
    scores = (templates * x).sum((1, 2, 3)) + net.fc.bias
    assert cr.allclose(scores, net(x)[0])
