"""Aliasing against PyTorch: programs written once and run with both libraries.

Each script takes the module ``T`` and yields what is compared: values and gradients.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr

pytestmark = pytest.mark.parity

SCRIPTS = {}


def script(function):
    SCRIPTS[function.__name__] = function
    return function


def numbers(T, *shape, grad=False, start=1.0):
    size = int(np.prod(shape))
    x = T.tensor((np.arange(size) * 0.37 % 1.7 + start).reshape(shape))
    return x.requires_grad_() if grad else x


# ---------------------------------------------------------------- views and writes through them


@script
def write_through_a_row(T):
    x = numbers(T, 3, 4)
    x[1] = 7
    yield x


@script
def write_through_a_view_of_a_view(T):
    x = numbers(T, 4, 6)
    v = x[1:].t()[2:5]
    v.mul_(10)
    yield x
    yield v
    v[0] = -1
    yield x


@script
def base_changes_show_in_views(T):
    x = numbers(T, 4, 4)
    row, column, all_ = x[2], x[:, 1], x.view(16)
    x.add_(1)
    yield row, column, all_
    row.zero_()
    yield x, column, all_


@script
def two_views_meet(T):
    x = numbers(T, 4, 4)
    a, b = x[:3], x[1:]
    a.mul_(2)
    b.add_(1)
    a[1] = b[1]
    yield x, a, b


@script
def chained_setitem(T):
    x = numbers(T, 3, 4, 2)
    x[0][1][0] = 5
    x[1, :, 1][2:] = 6
    x[2][..., 0] = T.tensor([1.0, 2.0, 3.0, 4.0])
    yield x


@script
def negative_and_stepped_slices(T):
    x = numbers(T, 9)
    x[-3:] = 0
    x[1:-1:3].add_(10)
    yield x, x[::4]


@script
def unsqueeze_and_squeeze_are_views(T):
    x = numbers(T, 3)
    v = x.unsqueeze(0).unsqueeze(2)
    v[0, 1, 0] = 9
    w = v.squeeze()
    w[2] = 8
    yield x, v, w


@script
def permuted_view_write(T):
    x = numbers(T, 2, 3, 4)
    v = x.permute(2, 0, 1)
    v[3] = -1
    v[0, 1].copy_(T.tensor([5.0, 6.0, 7.0]))
    yield x, v.stride(), v.is_contiguous()


@script
def reshape_of_a_transposed_tensor_is_a_copy(T):
    x = numbers(T, 3, 4)
    c = x.t().reshape(12)
    c.zero_()
    v = x.reshape(12)
    v[0] = 100
    yield x, c, v


@script
def reshape_of_a_sliced_tensor(T):
    x = numbers(T, 4, 6)
    v = x[:, :3].reshape(12)
    w = x[1:3].reshape(12)
    v.zero_()
    w.fill_(3)
    yield x


@script
def contiguous_of_a_contiguous_tensor_is_itself(T):
    x = numbers(T, 3, 4)
    x.contiguous()[0] = 1
    x.t().contiguous()[1] = 2
    yield x


@script
def clone_is_no_alias(T):
    x = numbers(T, 3)
    y, z = x.clone(), x
    y.zero_()
    z.add_(1)
    yield x, y, z


@script
def split_chunk_unbind_narrow(T):
    x = numbers(T, 6, 2)
    a, b = x.split([2, 4])
    c = x.chunk(3)[1]
    d = x.unbind(1)[0]
    e = x.narrow(0, 4, 2)
    a.zero_()
    b[0] = 5
    c.mul_(2)
    d.add_(100)
    e[:, 1] = 7
    yield x, a, b, c, d, e


@script
def swap_rows_needs_a_clone(T):
    x = numbers(T, 3, 2)
    first = x[0]
    x[0] = x[1]
    x[1] = first  # the first row is the second one by now
    yield x
    y = numbers(T, 3, 2)
    y[0], y[1] = y[1].clone(), y[0].clone()
    yield y


@script
def swap_by_index(T):
    x = numbers(T, 5)
    x[[0, 4]] = x[[4, 0]]
    yield x


@script
def overlapping_copy(T):
    x = numbers(T, 6)
    x[1:] = x[:-1].clone()
    yield x


@script
def advanced_index_is_a_copy(T):
    x = numbers(T, 5)
    y = x[T.tensor([0, 2])]
    y.zero_()
    x[x > 1.5] = -1
    yield x, y


@script
def masked_and_scattered_writes_into_a_view(T):
    x = numbers(T, 4, 5)
    v = x[1:, ::2]
    v[v > 1.4] = 0
    v[T.tensor([0, 2]), T.tensor([1, 2])] = T.tensor([8.0, 9.0])
    yield x, v


@script
def write_a_tensor_into_itself(T):
    x = numbers(T, 4)
    x += x
    x.mul_(x)
    x[:2] += x[2:]
    yield x


@script
def write_of_another_dtype(T):
    x = T.zeros(3)
    x[0] = 1
    x[1] = T.tensor(2.5)
    x[2:] = T.tensor([3])
    x.copy_(x.to(T.float64) * 2)
    k = T.tensor([1, 2, 3])
    k[0] = 5
    k += 2
    yield x, k


@script
def broadcast_write(T):
    x = T.zeros(2, 3, 4)
    x[:] = T.tensor([1.0, 2.0, 3.0, 4.0])
    x[1] = T.tensor([[5.0], [6.0], [7.0]])
    x[0, 1:2] += T.tensor([[10.0]])
    yield x


@script
def accumulate_into_a_list(T):
    x = T.zeros(3)
    seen, copies = [], []
    for i in range(3):
        x[i] = i + 1.0
        seen.append(x)
        copies.append(x.clone())
    yield T.stack(seen), T.stack(copies)


@script
def fill_rows_in_a_loop(T):
    x = T.zeros(5, 3)
    for i in range(5):
        x[i] = float(i)
        x[i] += 0.5
    yield x, x.sum(0)


@script
def empty_view(T):
    x = numbers(T, 3, 4)
    v = x[3:]
    v.zero_()
    x[:, 2:2] = 1
    yield x, v


@script
def detach_and_data_share_memory(T):
    x = numbers(T, 3, grad=True)
    d, e = x.detach(), x.data
    d[0] = 50
    e[1] = 60
    yield x, d, e, d.requires_grad, e.requires_grad


@script
def reading_after_many_versions(T):
    x = numbers(T, 2, 3)
    v = x.t()[1:]
    total = T.zeros(2, 2, dtype=T.float64)
    for i in range(4):
        x.mul_(1.5)
        total += v
        v[i % 2] -= 1
    yield x, v, total


# ---------------------------------------------------------------- gradients beside writes


@script
def in_place_on_a_non_leaf(T):
    x = numbers(T, 3, grad=True)
    y = x * 2
    y.mul_(3)
    y += x
    y.sum().backward()
    yield y, x.grad


@script
def used_before_the_write(T):
    x = numbers(T, 3, grad=True)
    y = x * 2
    z = y + 1
    y.mul_(3)
    (z.sum() + (y * x).sum()).backward()
    yield x.grad


@script
def view_write_then_the_base_s_backward(T):
    x = numbers(T, 3, 4, grad=True)
    y = x * 2
    y[1] = 0
    y[:, 2].mul_(5)
    (y * y.detach()).sum().backward()
    yield y, x.grad


@script
def write_to_the_base_then_the_view_s_backward(T):
    x = numbers(T, 4, grad=True)
    y = x * 3
    v = y[1:]
    y.mul_(x.detach())
    v.sum().backward()
    yield v, x.grad


@script
def gradient_of_an_overwritten_slice_is_zero(T):
    x = numbers(T, 4, grad=True)
    w = numbers(T, 2, grad=True)
    y = x * 1
    y[1:3] = w * 2
    (y**2).sum().backward()
    yield y, x.grad, w.grad


@script
def assembled_from_parts(T):
    w = numbers(T, 3, grad=True)
    x = T.zeros(3, 3, dtype=T.float64)
    for i in range(3):
        x[i] = w * (i + 1)
        x[i, i] = w[i] ** 2
    x.sum().backward()
    yield x, w.grad


@script
def a_buffer_written_with_differentiable_values(T):
    w = numbers(T, 2, grad=True)
    buffer = T.zeros(4, dtype=T.float64)
    buffer[::2] = w
    yield (buffer.requires_grad,)
    buffer[1] = w[0] * w[1]
    (buffer * buffer).sum().backward()
    yield buffer, w.grad


@script
def h_data_mul_before_backward(T):
    x = numbers(T, 3, grad=True)
    h = x * 2
    h.data.mul_(3)
    (h * h.detach()).sum().backward()
    yield h, x.grad


@script
def data_write_between_uses_of_an_activation(T):
    x = numbers(T, 3, grad=True)
    h = x.exp()
    y = h + 1
    h.data.zero_()
    (h + y).sum().backward()
    yield h, y


@script
def detach_then_write_then_backward(T):
    x = numbers(T, 3, grad=True)
    h = x + 1
    d = h.detach()
    d.add_(10)
    (h * 2).sum().backward()
    yield h, d, x.grad


@script
def tied_weights(T):
    w = numbers(T, 2, 2, grad=True)
    u = w.t()
    x = numbers(T, 2, 2)
    (x @ w @ u).sum().backward()
    yield w.grad


@script
def initialise_a_slice_under_no_grad(T):
    w = numbers(T, 3, 5, grad=True)
    with T.no_grad():
        w[:, :3].zero_()
        w[1].fill_(2)
    (w * w).sum().backward()
    yield w, w.grad, w.is_leaf


@script
def a_detached_leaf_beside_the_leaf(T):
    w = numbers(T, 3, grad=True)
    v = w.detach().requires_grad_()
    (w * 2 + v * v).sum().backward()
    yield w.grad, v.grad
    with T.no_grad():
        v.add_(1)
    yield w, v


@script
def rebinding_data(T):
    p = numbers(T, 3, grad=True)
    t = numbers(T, 3, start=5.0)
    p.data = t
    (p * p).sum().backward()
    yield p, p.grad, p.is_leaf
    t.add_(1)
    yield p
    with T.no_grad():
        p -= p.grad
    yield p, t


@script
def rebinding_data_to_another_shape(T):
    p = numbers(T, 3, grad=True)
    p.data = numbers(T, 2, 2)
    p.sum().backward()
    yield p, p.grad


@script
def swap_the_data_of_two_parameters(T):
    a, b = numbers(T, 2, grad=True), numbers(T, 2, grad=True, start=3.0)
    a.data, b.data = b.data, a.data
    (a * 2 + b * 3).sum().backward()
    yield a, b, a.grad, b.grad


@script
def manual_sgd(T):
    w, x = numbers(T, 3, 2, grad=True), numbers(T, 4, 3)
    for _ in range(4):
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        with T.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        yield loss, w


@script
def manual_sgd_by_data_and_zeroed_gradients(T):
    w, x = numbers(T, 3, 2, grad=True), numbers(T, 4, 3)
    for _ in range(4):
        ((x @ w) ** 2).mean().backward()
        w.data.sub_(w.grad, alpha=0.1)
        yield w, w.grad
        w.grad.zero_()


@script
def exponential_moving_average(T):
    w = numbers(T, 3, grad=True)
    average = w.detach().clone()
    for _ in range(3):
        (w**3).sum().backward()
        with T.no_grad():
            w.sub_(0.1 * w.grad)
            average.mul_(0.9).add_(w, alpha=0.1)
        w.grad.zero_()
    yield w, average, average.requires_grad


@script
def batch_norm_by_hand(T):
    x, running = numbers(T, 5, 2, grad=True), T.zeros(2, dtype=T.float64)
    for _ in range(2):
        mean = x.mean(0)
        running.mul_(0.9).add_(mean.detach() * 0.1)
        ((x - mean) ** 3).sum().backward()
    yield running, x.grad


@script
def loss_in_a_loop(T):
    w = numbers(T, 3, grad=True)
    total = 0
    h = w * 1
    for i in range(3):
        h = h * w
        total += h.sum() * i
    total.backward()
    yield total, w.grad


@script
def in_place_sum_of_losses(T):
    w = numbers(T, 3, grad=True)
    total = T.zeros((), dtype=T.float64)
    for i in range(3):
        total += (w * i).sum()
    total.backward()
    yield total, w.grad


@script
def relu_in_place(T):
    x = numbers(T, 4, grad=True)
    h = x - 1.5
    h.relu_()
    (h * h).sum().backward()
    yield h, x.grad


@script
def mask_write_and_its_gradient(T):
    x = numbers(T, 6, grad=True)
    y = x * 2
    y[y > 3] = 0
    y.masked_fill_(y < 2.5, 1)
    (y * T.arange(6)).sum().backward()
    yield y, x.grad


@script
def scattered_write_and_its_gradient(T):
    x, v = numbers(T, 3, 4, grad=True), numbers(T, 2, grad=True)
    y = x * x
    y[T.tensor([0, 2]), T.tensor([1, 3])] = v * 2
    y.sum().backward()
    yield y, x.grad, v.grad


@script
def expand_reads_its_base(T):
    x = numbers(T, 3, 1, grad=True)
    y = x * 1
    e = y.expand(3, 4)
    y.mul_(2)
    (e * numbers(T, 3, 4)).sum().backward()
    yield e, x.grad


@script
def transposed_write_and_its_gradient(T):
    x = numbers(T, 2, 3, grad=True)
    y = x * 1
    y.t()[1:].mul_(numbers(T, 2, 2))
    y.sum().backward()
    yield y, x.grad


@script
def gradient_of_views_of_a_leaf(T):
    w = numbers(T, 4, 4, grad=True)
    (w[0].sum() + (w.view(16)[3:9] ** 2).sum() + w.t()[1:, 2].sum()).backward()
    yield w.grad


@script
def accumulated_gradients_keep_their_memory(T):
    w = numbers(T, 3, grad=True)
    (w * 2).sum().backward()
    held = w.grad
    (w * 3).sum().backward()
    yield held, w.grad
    w.grad.zero_()
    yield held


@script
def results_of_no_grad_carry_no_history(T):
    w = numbers(T, 4, grad=True)
    with T.no_grad():
        y = w[1:] * 2
        z = w.clone()
    yield y.requires_grad, z.requires_grad
    y.add_(1)
    yield y, z, w


@script
def requires_grad_after_a_write(T):
    x = numbers(T, 3)
    x.mul_(2)
    x.requires_grad_()
    (x * x).sum().backward()
    yield x.grad
    x.requires_grad_(False)
    x.add_(1)
    yield x


@script
def a_leaf_s_value_of_then_is_used(T):
    w = numbers(T, 3, grad=True)
    y = w + 1  # its derivative reads nothing
    with T.no_grad():
        w.mul_(2)
    (y * 2).sum().backward()
    yield y, w, w.grad


@script
def inner_update(T):
    w = numbers(T, 3, grad=True)
    (g,) = T.autograd.grad((w**3).sum(), w, create_graph=True)
    fast = w - 0.1 * g
    fast.mul_(2)
    (fast**2).sum().backward()
    yield fast, w.grad


@script
def view_of_a_non_leaf_made_before_a_write_to_another_view(T):
    x = numbers(T, 4, grad=True)
    y = x * x
    a, b = y[:2], y[2:]
    a.mul_(3)
    (b * 2 + a.detach()).sum().backward()
    yield y, x.grad


def read(result):
    """Comparable form of what a script yields."""
    if isinstance(result, tuple):
        return [read(part) for part in result]
    if hasattr(result, "detach"):
        return np.array(result.detach().numpy())
    return result


def outcome(function, T):
    """What the script yields, as far as it comes, and whether it raised."""
    results = []
    try:
        results.extend(map(read, function(T)))  # what came before an error stays
    except RuntimeError as error:
        return results, error
    return results, None


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name):
    import torch

    expected, theirs = outcome(SCRIPTS[name], torch)
    got, ours = outcome(SCRIPTS[name], cr)
    if theirs is None:
        assert ours is None, ours
        assert_same(got, expected)
    else:  # PyTorch gives no number: ours raises too, or goes on with the right one
        assert_same(got[: len(expected)], expected)


def test_there_are_enough_scripts():
    assert len(SCRIPTS) >= 30


# ---------------------------------------------------------------- where PyTorch raises


def both_raise(function):
    import torch

    for T in (torch, cr):
        with pytest.raises(RuntimeError):
            list(function(T))


def test_in_place_on_a_leaf_raises():
    def write(T):
        numbers(T, 3, grad=True).add_(1)
        yield

    def write_to_a_view(T):
        numbers(T, 3, grad=True)[0] = 1
        yield

    both_raise(write)
    both_raise(write_to_a_view)


def test_a_stale_leaf_raises():
    def stale(T):
        w = numbers(T, 3, grad=True)
        y = w * w
        with T.no_grad():
            w.mul_(2)
        y.sum().backward()
        yield

    both_raise(stale)


def test_writing_to_an_expanded_tensor_raises():
    import torch

    with pytest.raises(RuntimeError):
        torch.zeros(3, 1).expand(3, 4).add_(1)
    with pytest.raises(cr.UsageError, match=r"clone\(\) it first"):
        cr.zeros(3, 1).expand(3, 4).add_(1)


def test_an_overwritten_activation_has_its_mathematical_gradient():
    """PyTorch raises: exp's output was changed. Here the graph kept what exp's derivative reads."""
    x = numbers(cr, 3, grad=True)
    y = x.exp()
    y.mul_(2)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(numbers(cr, 3).numpy()))


# ---------------------------------------------------------------- random programs

VIEWS = [
    lambda x: x[1:],
    lambda x: x[..., ::2],
    lambda x: x.t() if x.ndim == 2 else x,
    lambda x: x.reshape(-1),
    lambda x: x.unsqueeze(0) if x.ndim < 3 else x.squeeze(0),
    lambda x: x[0] if x.ndim > 1 and x.shape[0] else x,
    lambda x: x.detach(),
    lambda x: x.flip(0),
    lambda x: x.clone(),
]
OUT_OF_PLACE = [
    lambda x: x * 2,
    lambda x: x + x,
    lambda x: x * x * 0.1,
    lambda x: x.sin(),
    lambda x: x - x.sum() * 0.01,
]
IN_PLACE = [
    lambda x: x.mul_(0.7),
    lambda x: x.add_(1),
    lambda x: x.zero_(),
    lambda x: x[..., :1].fill_(0.5),
    lambda x: x.copy_(x.flip(0) * 0.5),
    lambda x: x.__setitem__(Ellipsis, x.detach() * 0.3),
]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["view", "op", "write", "combine", "data"]),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    min_size=2,
    max_size=10,
)


def run(T, steps, differentiable, seed):
    """Values of all tensors of a random program, and the leaf's gradient."""
    leaf = T.tensor(np.random.default_rng(seed).normal(size=(3, 4)))
    if differentiable:
        leaf.requires_grad_()
    tensors = [leaf * 1]
    for kind, which, how in steps:
        x = tensors[which % len(tensors)]
        if kind == "view":
            tensors.append(VIEWS[how % len(VIEWS)](x))
        elif kind == "op":
            tensors.append(OUT_OF_PLACE[how % len(OUT_OF_PLACE)](x))
        elif kind == "write":
            IN_PLACE[how % len(IN_PLACE)](x)
        elif kind == "data":
            with T.no_grad():
                IN_PLACE[how % 3](x)
        else:
            y = tensors[how % len(tensors)]
            tensors.append(x.sum().tanh() * y)
    values = [read(x) for x in tensors]
    yield values
    if differentiable:
        total = sum((x * x.detach()).sum() for x in tensors if x.requires_grad)
        if hasattr(total, "backward"):
            total.backward()
            yield [read(leaf.grad if leaf.grad is not None else leaf.detach() * 0)]


@settings(max_examples=300)
@given(STEPS, st.booleans(), st.integers(0, 99))
def test_random_programs(steps, differentiable, seed):
    import torch

    expected, theirs = outcome(lambda T: run(T, steps, differentiable, seed), torch)
    got, ours = outcome(lambda T: run(T, steps, differentiable, seed), cr)
    if theirs is None:
        assert ours is None, ours
        assert_same(got, expected)
    else:
        assert_same(got[: len(expected)], expected)
