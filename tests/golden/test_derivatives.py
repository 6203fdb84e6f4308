"""The lectures' worked derivatives: A27 to A46."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.inspect import explain_preset
from chainrule.inspect.explain.presets import xor_output
from chainrule.nn import functional as F


def variable(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def data(value):
    return cr.tensor(value, dtype=cr.float64)


def numbers(name):
    """Name -> number of a preset's board, error signals under their barred names."""
    return {row["name"]: row["value"] for row in explain_preset(name, digits=17).rows}


def near(got, wanted, digits=6):
    """Equal to the printed precision: half a unit of the last printed place."""
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=0, atol=0.51 * 10.0**-digits)


def test_a27_neuron():
    v = numbers("neuron")
    near([v["z"], v["e"], v["d"], v["f"]], [1, 0.367879, 1.367879, 0.731059])
    near([v["d̄"], v["ē"], v["n̄"], v["z̄"]], [-0.534447, -0.534447, -0.196612, 0.196612])
    near([v["w̄₀"], v["w̄₁"], v["x̄₁"]], [0.196612, -0.196612, 0.393224])
    near([v["w̄₂"], v["x̄₂"]], [-0.393224, -0.589836])


def test_a28_multivariate():
    near(numbers("multivariate")["t̄"], 2.410479)


def test_a29_regularised_logistic_least_squares():
    v = numbers("logistic-l2")
    near([v["z"], v["y"], v["Lreg"], v["R̄"]], [0.9, 0.7109495, 0.0737751, 0.1], 7)
    near(v["ȳ"], -0.2890505, 7)
    near([v["z̄"], v["w̄"], v["b̄"]], [-0.05939997, -0.00909995, -0.05939997], 8)


def test_a30_two_layers():
    v = numbers("two-layer")
    near([*v["z"], *v["h"], *v["y"]], [0.6, 1, 0.645656, 0.731059, 0.084193, 1.036806])
    near(v["L"], 0.004222)
    near(v["W̄₂"], [[0.05436, 0.06155], [0.023764, 0.026908]])
    near([*v["h̄"], *v["z̄"]], [0.067861, -0.021071, 0.015526, -0.004143])
    near(v["W̄₁"], [[0.015526, 0.031051], [-0.004143, -0.008286]])
    assert v["b̄₂"] == v["ȳ"]
    assert v["b̄₁"] == v["z̄"]


def test_a31_xor_is_solved_by_two_hidden_units_and_by_no_single_layer():
    outputs = [xor_output(p, q).item() for p in (0, 1) for q in (0, 1)]
    near(outputs, [0.000045, 0.999955, 0.999955, 0.000045])
    X = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1.0]])
    best = X @ np.linalg.lstsq(X, np.array([0, 1, 1, 0.0]), rcond=None)[0]
    near(best, [0.5] * 4)


def test_a32_xor_gradients():
    v = numbers("xor")
    near([v["h₁"], v["h₂"], v["ŷ"], v["L"]], [0.645656, 0.354344, 0.547197, 0.205030])
    weights = [v[f"w̄{'₁₂₃₄₅₆'[i]}"] for i in range(6)]
    near(weights, [-0.030801, 0.035935, 0, 0, -0.144875, -0.079509])
    near([v["b̄₁"], v["b̄₂"], v["b̄₃"]], [-0.030801, 0.035935, -0.224384])


def test_a33_output_delta_of_sigmoid_and_cross_entropy():
    v = numbers("bce")
    near([v["L"], v["z̄"]], [0.403186, -0.331812])
    assert v["z̄"] == pytest.approx(v["a"] - v["y"], 1e-12)


def test_a34_delta_recursion_of_a_3_4_3_1_net():
    rng = np.random.default_rng(34)
    thetas = [rng.normal(size=shape) for shape in ((4, 3), (3, 4), (1, 3))]
    x, y = rng.normal(size=3), np.array([1.0])

    def loss_of(tensors):
        a = data(x)
        for theta in tensors:
            a = (theta @ a).sigmoid()
        return -(data(y) * a.log() + (1 - data(y)) * (1 - a).log()).sum()

    tensors = [variable(theta) for theta in thetas]
    loss_of(tensors).backward()

    activations = [x]
    for theta in thetas:
        activations.append(1 / (1 + np.exp(-theta @ activations[-1])))
    delta = activations[-1] - y
    for theta, a, tensor in zip(thetas[::-1], activations[-2::-1], tensors[::-1], strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), np.outer(delta, a), rtol=1e-10)
        delta = a * (1 - a) * (theta.T @ delta)

    h, (i, j) = 1e-6, (1, 2)
    moved = [[t.copy() for t in thetas] for _ in range(2)]
    moved[0][0][i, j] += h
    moved[1][0][i, j] -= h
    up, down = (loss_of([data(t) for t in some]).item() for some in moved)
    assert tensors[0].grad.numpy()[i, j] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_a35_weight_decay_exempts_the_intercept():
    theta = variable([0.5, -2.0, 3.0])
    (0.1 / 2 * (theta[1:] ** 2).sum()).backward()
    near(theta.grad.numpy(), [0, -0.2, 0.3])


def test_a35_an_optimizer_s_weight_decay_is_the_same_rule():
    weight, bias = variable([[-2.0, 3.0]]), variable([0.5])
    optimizer = cr.optim.SGD([weight, bias], lr=1.0, weight_decay=0.1, no_decay_on_bias=True)
    (0 * (weight.sum() + bias.sum())).backward()
    optimizer.step()
    near(weight.detach().numpy(), [[-2 + 0.2, 3 - 0.3]])
    assert bias.tolist() == [0.5]


def test_a35b_without_the_half_the_gradient_is_twice_as_large():
    theta = variable([-2.0, 3.0])
    (0.1 * (theta**2).sum()).backward()
    near(theta.grad.numpy(), 2 * 0.1 * np.array([-2.0, 3.0]))


def test_a36_multiclass_svm():
    x = variable([1, 0.5, 2, -1])
    loss = F.multiclass_svm_loss(x, cr.tensor(1))
    loss.backward()
    assert loss.item() == 4  # the sum over i ≠ y; the slide's, over all i, is 5
    assert x.grad.tolist() == [1, -2, 1, 0]


def test_a37_softmax_then_cross_entropy():
    x = data([1, 2, 0.5])
    y = x.softmax(0)
    near(y.numpy(), [0.231224, 0.628532, 0.140244])
    y_leaf = y.detach().requires_grad_()
    loss = -y_leaf[1].log()
    loss.backward()
    near(loss.item(), 0.464369)
    near(y_leaf.grad.numpy(), [0, -1.59101, 0], 5)
    jacobian = func.jacrev(lambda v: v.softmax(0))(x)
    near(
        jacobian.numpy(),
        [
            [0.177759, -0.145332, -0.032428],
            [-0.145332, 0.23348, -0.088148],
            [-0.032428, -0.088148, 0.120576],
        ],
    )
    through = func.grad(lambda v: -v.log_softmax(0)[1])(x).numpy()
    near(through, [0.231224, -0.371468, 0.140244])
    np.testing.assert_allclose(through, y_leaf.grad.numpy() @ jacobian.numpy(), atol=1e-15)


def test_a37b_softmax_does_not_overflow():
    near(data([1000, 1001, 999]).softmax(0).numpy(), [0.244728, 0.665241, 0.090031])


def test_a38_relu_backward():
    x = variable([-1, 0, 2])
    x.relu().backward(data([0.1, 0.2, 0.3]))
    assert x.grad.tolist() == [0, 0, 0.3]


def test_a39_affine_one_sample_and_a_batch():
    W, x = variable([[1, 2, 3], [4, 5, 6]]), variable([1, 0, -1])
    (W @ x).backward(data([0.5, -1]))
    assert x.grad.tolist() == [-3.5, -4, -4.5]
    assert W.grad.tolist() == [[0.5, 0, -0.5], [-1, 0, 1]]
    W, X = variable([[1, 2, 3], [4, 5, 6]]), variable([[1, 0, -1], [2, 0, -2]])
    (X @ W.T).backward(data([[0.5, -1], [0.5, -1]]))
    assert W.grad.tolist() == [[1.5, 0, -1.5], [-3, 0, 3]]
    assert X.grad.shape == (2, 3)


def test_a40_products_of_jacobians_from_either_side():
    rng = np.random.default_rng(40)
    x = data(rng.normal(size=4))
    f = [lambda v: v.tanh(), lambda v: v * v.sum(), lambda v: v.sin() + v.mean()]
    jacobians, v = [], x
    for step in f:
        jacobians.append(func.jacrev(step)(v).numpy())
        v = step(v)
    row = np.ones(4)
    left = ((row @ jacobians[2]) @ jacobians[1]) @ jacobians[0]
    right = row @ (jacobians[2] @ (jacobians[1] @ jacobians[0]))
    whole = func.grad(lambda v: f[2](f[1](f[0](v))).sum())(x).numpy()
    np.testing.assert_allclose(left, right, rtol=1e-13)
    np.testing.assert_allclose(left, whole, rtol=1e-13)


@pytest.mark.parametrize(
    ("loss", "value", "slope"),
    [(F.mse_loss, 1.69, 2.6), (F.hinge_loss, 1.3, 1), (F.soft_margin_loss, 0.854355, 0.574443)],
    ids=["squared", "hinge", "logistic"],
)
def test_a41_three_binary_losses(loss, value, slope):
    f = variable([0.3])
    result = loss(f, data([-1]))
    result.backward()
    near([result.item(), f.grad.item()], [value, slope])


def test_a41_the_logistic_loss_is_cross_entropy_with_the_label_0():
    f = data([0.3])
    near(F.binary_cross_entropy_with_logits(f, data([0])).item(), 0.854355)


def test_a42_activations():
    x = data([-2, -0.5, 0, 0.5, 2])
    near(F.sigmoid(x).numpy(), [0.119203, 0.377541, 0.5, 0.622459, 0.880797])
    near(F.tanh(x).numpy(), [-0.964028, -0.462117, 0, 0.462117, 0.964028])
    near(F.relu(x).numpy(), [0, 0, 0, 0.5, 2])
    near(F.leaky_relu(x, 0.1).numpy(), [-0.2, -0.05, 0, 0.5, 2])
    near(F.elu(x).numpy(), [-0.864665, -0.393469, 0, 0.5, 2])


def test_a43_the_symbolic_route():
    W1 = variable([[0.2, -0.1], [0.4, 0.3]])
    W2, x, y = data([1, -1]), data([1, 2]), 0.5
    (0.5 * (y - W2 @ (W1 @ x).sigmoid()) ** 2).backward()
    near(W1.grad.numpy(), [[-0.182765, -0.365529], [0.143735, 0.28747]])
    # Without the target, as on the slide, the expression is another number.
    W1.grad = None
    (0.5 * (W2 @ (W1 @ x).sigmoid()) ** 2).backward()
    near(W1.grad.numpy(), [[-0.057765, -0.115529], [0.045429, 0.090858]])


def test_a44_half_the_squared_norm_and_the_whole():
    t, gradients = data([0, 1]), []
    for loss in (F.half_mse_loss, F.mse_loss):
        y = variable([0.25, 0.5])
        loss(y, t, reduction="sum").backward()
        gradients.append(y.grad.numpy())
    np.testing.assert_array_equal(gradients[0], [0.25, -0.5])
    np.testing.assert_array_equal(gradients[1], 2 * gradients[0])


def test_a45_jacobians_are_outputs_by_inputs():
    W = data([[1, 2, 3], [4, 5, 6]])
    assert func.jacrev(lambda g: W @ g)(data([1, 1, 1])).tolist() == W.tolist()


def test_a46_the_jacobian_of_an_elementwise_product_is_diagonal():
    g = data([2, 3, 4])
    assert func.jacrev(lambda f: f * g)(data([1, 1, 1])).tolist() == np.diag([2.0, 3, 4]).tolist()


def test_b2_a_bias_is_a_weight_on_a_constant_1():
    x, t = data([1, 2]), data([0, 1])
    W, b = variable([[0.1, 0.2], [0.3, 0.4]]), variable([0.1, -0.1])
    F.half_mse_loss((W @ x + b).sigmoid(), t, reduction="sum").backward()
    both = variable([[0.1, 0.1, 0.2], [-0.1, 0.3, 0.4]])
    F.half_mse_loss((both @ data([1, 1, 2])).sigmoid(), t, reduction="sum").backward()
    np.testing.assert_allclose(both.grad.numpy()[:, 0], b.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(both.grad.numpy()[:, 1:], W.grad.numpy(), rtol=1e-12)


def test_b12_one_multiply_add_per_weight_forward_two_backward():
    """Each weight has one product forward, and one each in W̄ and in the error signal below."""
    rows = [row for row in explain_preset("two-layer").rows if row["phase"] == "backward"]
    formulas = {row["name"]: row["formula"] for row in rows}
    assert formulas["W̄₂"] == "ȳ hᵀ"
    assert formulas["h̄"] == "W₂ᵀ ȳ"
