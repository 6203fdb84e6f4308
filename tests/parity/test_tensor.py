"""Tensors against PyTorch: types, keys, views, making, derivatives of functions."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chainrule as cr

pytestmark = pytest.mark.parity

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
SHAPES = st.lists(st.sampled_from([1, 2, 3, 5]), max_size=4).map(tuple)


def dtype_name(x):
    return str(x.dtype).rpartition(".")[2]


def both():
    import torch

    return torch, cr


def same(ours, theirs, tolerance=1e-10):
    a, b = np.asarray(ours.detach().numpy()), theirs.detach().numpy()
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- types of numbers


def operands(T, name):
    dtype = getattr(T, name)
    return {
        "array": T.ones(2, dtype=dtype),
        "0-d": T.ones((), dtype=dtype),
    }


NUMBERS = {"True": True, "2": 2, "2.5": 2.5}
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
}


@pytest.mark.parametrize("sign", ARITHMETIC)
def test_promotion_of_all_pairs(sign):
    f = ARITHMETIC[sign]
    for a, b in itertools.product(DTYPES, DTYPES):
        for left, right in itertools.product(("array", "0-d"), repeat=2):
            types = []
            for T in both():
                try:
                    types.append(dtype_name(f(operands(T, a)[left], operands(T, b)[right])))
                except (RuntimeError, TypeError):
                    types.append("raises")
            theirs, ours = types
            assert ours == theirs or theirs == "raises", f"{a} {left} {sign} {b} {right}: {types}"


@pytest.mark.parametrize("sign", ARITHMETIC)
def test_promotion_with_python_numbers(sign):
    f = ARITHMETIC[sign]
    for name, kind, (text, number) in itertools.product(DTYPES, ("array", "0-d"), NUMBERS.items()):
        for swapped in (False, True):
            types, values = [], []
            for T in both():
                x = operands(T, name)[kind]
                try:
                    y = f(number, x) if swapped else f(x, number)
                    types.append(dtype_name(y))
                    values.append(y.tolist())
                except (RuntimeError, TypeError):
                    types.append("raises")
            theirs, ours = types
            if theirs != "raises":
                assert ours == theirs, f"{name} {kind} {sign} {text}, swapped={swapped}: {types}"
                assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_promotion_of_reductions_and_functions():
    for name in DTYPES:
        for method in ("sum", "prod", "exp", "sqrt", "sigmoid", "cumsum", "argmax", "any", "all"):
            args = (0,) if method == "cumsum" else ()
            types = []
            for T in both():
                if (name, method) in {("bool", "argmax"), ("uint8", "any"), ("uint8", "all")}:
                    types.append("")  # PyTorch has none, or keeps uint8 of the days before bool
                    continue
                types.append(dtype_name(getattr(T.ones(3, dtype=getattr(T, name)), method)(*args)))
            assert types[0] == types[1], f"{name}.{method}"


def test_casts():
    import torch

    a = np.array([-2.7, -0.5, 0.0, 0.5, 1.0, 2.7, 200.9])
    for name in DTYPES:
        for source in ("float32", "float64", "int64"):
            x = np.abs(a) if name == "uint8" else a
            ours = cr.tensor(x).to(getattr(cr, source)).to(getattr(cr, name))
            theirs = torch.tensor(x).to(getattr(torch, source)).to(getattr(torch, name))
            same(ours, theirs)
    for method in ("float", "double", "long", "int", "bool", "byte"):
        same(getattr(cr.tensor(np.abs(a)), method)(), getattr(torch.tensor(np.abs(a)), method)())


def test_types_of_new_tensors():
    for data in (1, 1.5, True, [1, 2], [1, 2.5], [[True]], [], np.arange(3), np.ones(2)):
        a, b = (T.tensor(data) for T in both())
        assert dtype_name(a) == dtype_name(b) and a.tolist() == b.tolist()


# ---------------------------------------------------------------- keys


@st.composite
def keys(draw, shape, basic=False):
    """A NumPy-like key for that shape, and whether it is written with each place at most once."""
    items, axis, arrays = [], 0, 0
    unique = True
    length = draw(st.sampled_from([(), (3,), (2, 3), (1,)]))
    dots = draw(st.integers(0, len(shape))) if draw(st.booleans()) else None
    while axis < len(shape):
        if dots == axis and not any(item is Ellipsis for item in items):
            items.append(Ellipsis)
            axis += draw(st.integers(0, len(shape) - axis))
            continue
        size = shape[axis]
        kind = draw(st.sampled_from(["number", "slice", "slice", "none", "array", "mask", "stop"]))
        if kind == "number":
            items.append(draw(st.integers(-size, size - 1)))
            axis += 1
        elif kind == "slice":
            ends = st.none() | st.integers(-size - 1, size + 1)
            step = draw(st.none() | st.integers(1, 3))
            items.append(slice(draw(ends), draw(ends), step))
            axis += 1
        elif kind == "none":
            items.append(None)
            if len(items) > 6:
                break
        elif kind == "array" and not basic:
            seed = draw(st.integers(0, 99))
            items.append(np.random.default_rng(seed).integers(-size, size, length))
            arrays += 1
            unique = False
            axis += 1
        elif kind == "mask" and not basic and not arrays:
            seed = draw(st.integers(0, 99))
            items.append(np.random.default_rng(seed).integers(0, 2, size).astype(bool))
            arrays += 1
            length = (int(items[-1].sum()),)
            axis += 1
        elif kind == "stop":
            break
    # After an ellipsis that took too few axes the rest of the key counts from the end.
    if (
        sum(1 for item in items if item is Ellipsis) == 0
        and dots is not None
        and dots >= len(items)
    ):
        items.append(Ellipsis)
    return tuple(items), unique


def fitting(key, shape):
    """The shape of x[key], or None.

    PyTorch's, which applies whole numbers before arrays: NumPy counts them among the arrays, so
    that x[0, :, [1, 2]] has its axes in another order there.
    """
    import torch

    try:
        np.zeros(shape)[key]  # finds wrong indices into nothing too
        return tuple(torch.zeros(shape)[for_library(torch, key)].shape)
    except IndexError:
        return None


def for_library(T, key):
    return tuple(T.tensor(k) if isinstance(k, np.ndarray) else k for k in key)


CASES = SHAPES.flatmap(lambda shape: st.tuples(st.just(shape), keys(shape)))


@settings(max_examples=250)
@given(CASES, st.integers(0, 99))
def test_reading_and_its_gradient(case, seed):
    shape, (key, _) = case
    result = fitting(key, shape)
    assume(result is not None)
    a = np.random.default_rng(seed).normal(size=shape)
    r = np.random.default_rng(seed + 1).normal(size=result)
    found = []
    for T in both():
        x = T.tensor(a).requires_grad_()
        y = (x * 1)[for_library(T, key)]
        (y * T.tensor(r)).sum().backward()
        found.append((y, x.grad))
    (y, grad), (ours, bar) = found
    same(ours, y)
    same(bar, grad)


@settings(max_examples=250)
@given(CASES, st.integers(0, 99), st.booleans(), st.data())
def test_writing_and_its_gradients(case, seed, scalar, data):
    shape, (key, unique) = case
    result = fitting(key, shape)
    assume(result is not None)
    rng = np.random.default_rng(seed)
    places = np.arange(int(np.prod(shape))).reshape(shape)[key]
    assume(unique or len(np.unique(places)) == places.size)  # PyTorch leaves open which one stays
    part = () if scalar else result[data.draw(st.integers(0, len(result))) :]
    a, v, r = (rng.normal(size=s) for s in (shape, part, shape))
    found = []
    for T in both():
        x, value = T.tensor(a).requires_grad_(), T.tensor(v).requires_grad_()
        y = x * 2
        y[for_library(T, key)] = value * 3
        (y * T.tensor(r)).sum().backward()
        found.append((y, x.grad, value.grad))
    for theirs, ours in zip(*found, strict=True):
        if ours is None or theirs is None:
            assert ours is None or not ours.numpy().any()
            assert theirs is None or not theirs.numpy().any()
        else:
            same(ours, theirs)


def test_masks_of_several_axes():
    a = np.arange(12.0).reshape(3, 4)
    mask = a % 3 == 0
    for write in (7.0, np.array([1.0, 2.0, 3.0, 4.0])):
        found = []
        for T in both():
            x = T.tensor(a).requires_grad_()
            y = x * 1
            picked = y[T.tensor(mask)]
            y[T.tensor(mask)] = write if isinstance(write, float) else T.tensor(write)
            (y.sum() * 2 + (picked**2).sum()).backward()
            found.append((picked, y, x.grad))
        for theirs, ours in zip(*found, strict=True):
            same(ours, theirs)


def test_a_row_written_beside_a_mask():
    for T in both():
        x = T.zeros(3, 2)
        x[:, T.tensor([True, True])] = T.tensor([1.0, 2.0])
        x[1:, T.tensor([1, 0])] = T.tensor([[5.0, 6.0]])
        assert x.tolist() == [[1, 2], [6, 5], [6, 5]]


def test_keys_as_lists_and_arrays():
    for key in ([0, 2], np.array([[1, 1]]), np.array([True, False, True])):
        ours, theirs = (T.arange(9).reshape(3, 3)[key] for T in both())
        same(cr.tensor(ours.numpy()), theirs)


# ---------------------------------------------------------------- views

VIEWS = {
    "t": lambda x: x.t() if x.ndim == 2 else x,
    "first": lambda x: x[0] if x.ndim and x.shape[0] else x,
    "step": lambda x: x[..., ::2] if x.ndim else x,
    "tail": lambda x: x[1:] if x.ndim else x,
    "flat": lambda x: x.reshape(-1),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "squeeze": lambda x: x.squeeze(),
    "turn": lambda x: x.permute(tuple(reversed(range(x.ndim)))),
    "swap": lambda x: x.transpose(0, -1) if x.ndim else x,
    "expand": lambda x: x.unsqueeze(0).expand(2, *x.shape),
    "flatten": lambda x: x.flatten(),
    "narrow": lambda x: x.narrow(0, 1, x.shape[0] - 1) if x.ndim and x.shape[0] else x,
    "movedim": lambda x: x.movedim(0, -1) if x.ndim else x,
    "unflatten": lambda x: x.unflatten(0, (1, -1)) if x.ndim and x.shape[0] else x,
    "chunk": lambda x: x.chunk(2)[-1] if x.ndim and x.shape[0] else x,
    "contiguous": lambda x: x.contiguous(),
    "clone": lambda x: x.clone(),
}


@settings(max_examples=200)
@given(SHAPES, st.lists(st.sampled_from(sorted(VIEWS)), max_size=5), st.data())
def test_views_strides_and_where_view_raises(shape, names, data):
    assume(sum(name in ("unsqueeze", "expand") for name in names) <= 3)
    a = np.random.default_rng(0).normal(size=shape)
    theirs, ours = (T.tensor(a) for T in both())
    for name in names:
        theirs, ours = VIEWS[name](theirs), VIEWS[name](ours)
        if name == "clone":  # PyTorch keeps the order in memory, ours is row-major
            theirs = theirs.contiguous()
        assert ours.shape == tuple(theirs.shape)
        assert ours.is_contiguous() == theirs.is_contiguous(), name
        if theirs.numel():
            strides = [
                (a, b)
                for a, b, n in zip(ours.stride(), theirs.stride(), theirs.shape, strict=True)
                if n > 1
            ]
            assert all(a == b for a, b in strides), (name, strides)
    same(ours, theirs)
    count = max(int(np.prod(ours.shape)), 1)
    sizes = [n for n in (1, 2, 3, 5, count) if theirs.numel() and theirs.numel() % n == 0]
    if sizes:
        wanted = (data.draw(st.sampled_from(sizes)), -1)
        try:
            expected = theirs.view(*wanted)
        except RuntimeError:
            with pytest.raises(cr.ShapeError, match="reshape"):
                ours.view(*wanted)
            same(ours.reshape(*wanted), theirs.reshape(*wanted))
        else:
            same(ours.view(*wanted), expected)


def test_wrong_shapes_raise_in_both():
    wrong = [
        lambda x: x.view(5, 2),
        lambda x: x.reshape(-1, -1),
        lambda x: x.expand(3, 5),
        lambda x: x.permute(0, 0),
        lambda x: x.squeeze(4),
        lambda x: x[7],
        lambda x: x[0, 0, 0],
        lambda x: x.sum(2),
        lambda x: x @ x,
        lambda x: x + x[:, :3],
        lambda x: x.narrow(0, 2, 5),
        lambda x: x.item(),
        lambda x: bool(x),
    ]
    for T in both():
        for f in wrong:
            with pytest.raises((RuntimeError, ValueError, IndexError)):
                f(T.ones(3, 4))


# ---------------------------------------------------------------- making tensors

MADE = {
    "zeros": lambda T: T.zeros(2, 3),
    "zeros of a tuple": lambda T: T.zeros((2, 3), dtype=T.int64),
    "ones": lambda T: T.ones(2, 0),
    "full": lambda T: T.full((2, 2), 7.0),
    "full whole": lambda T: T.full((2,), 7),
    "full bool": lambda T: T.full((2,), True),
    "full_like": lambda T: T.full_like(T.ones(2, dtype=T.float64), 3),
    "zeros_like": lambda T: T.zeros_like(T.ones(2, dtype=T.int32)),
    "ones_like": lambda T: T.ones_like(T.ones(2, 2), dtype=T.bool),
    "arange": lambda T: T.arange(5),
    "arange of floats": lambda T: T.arange(0.0, 1.0, 0.25),
    "arange from to": lambda T: T.arange(2, 9, 3),
    "arange with a type": lambda T: T.arange(4, dtype=T.float64),
    "arange down": lambda T: T.arange(5, 0, -2),
    "linspace": lambda T: T.linspace(0, 1, 5, dtype=T.float64),
    "eye": lambda T: T.eye(3),
    "eye not square": lambda T: T.eye(2, 3),
    "from_numpy": lambda T: T.from_numpy(np.arange(6.0).reshape(2, 3)),
    "as_tensor": lambda T: T.as_tensor([1.5, 2.5]),
    "tensor of tensors": lambda T: T.tensor([[1, 2], [3, 4]]),
    "tensor with a type": lambda T: T.tensor([1, 2], dtype=T.float32),
    "new_zeros": lambda T: T.ones(2, dtype=T.float64).new_zeros(3, 2),
    "where": lambda T: T.where(T.arange(4) > 1, T.ones(4), T.zeros(4)),
    "tril": lambda T: T.tril(T.ones(3, 4)),
    "triu": lambda T: T.triu(T.ones(4, 3), -1),
}


@pytest.mark.parametrize("name", MADE)
def test_making(name):
    theirs, ours = (MADE[name](T) for T in both())
    same(ours, theirs, 1e-7)


def test_every_name_of_creation_is_covered():
    from chainrule import creation

    random = {"rand", "randn", "randint", "randperm", "bernoulli", "rand_like", "randn_like"}
    elsewhere = {"cat", "concatenate", "stack", "empty", "meshgrid"}  # test_ops, test_functions
    named = {name.split()[0] for name in MADE}
    assert set(creation.__all__) - named <= random | elsewhere


def test_what_a_tensor_is():
    for a in (np.ones((2, 3)), np.array(1.5), np.zeros((0, 4))):
        theirs, ours = (T.tensor(a) for T in both())
        for ask in (
            lambda x: tuple(x.shape),
            lambda x: tuple(x.size()),
            lambda x: x.dim(),
            lambda x: x.ndim,
            lambda x: x.numel(),
            lambda x: x.element_size(),
            lambda x: x.nbytes,
            lambda x: x.is_leaf,
            lambda x: x.requires_grad,
            lambda x: x.is_floating_point(),
            lambda x: x.tolist(),
            lambda x: x.numel() and x.stride(),
            lambda x: x.is_contiguous(),
        ):
            assert ask(ours) == ask(theirs)
    x = cr.ones(2, 3)
    assert x.size(0) == 2 and x.size(-1) == 3 and len(x) == 2
    assert float(cr.tensor(1.5)) == 1.5 and int(cr.tensor(2.7)) == 2 and [7, 8][cr.tensor(1)] == 8


# ---------------------------------------------------------------- autograd


def curve(T):
    return lambda x: (x.sin() * x[0] + (x**2).sum()).sum()


FUNC = {
    "grad": lambda T, F, x: F.grad(curve(T))(x),
    "grad of grad": lambda T, F, x: F.grad(lambda v: F.grad(curve(T))(v).square().sum())(x),
    "grad by the second": lambda T, F, x: F.grad(lambda a, b: (a * b).sum(), argnums=1)(x, x + 1),
    "grad by both": lambda T, F, x: F.grad(lambda a, b: (a * b**2).sum(), argnums=(0, 1))(x, x + 1),
    "vjp": lambda T, F, x: F.vjp(lambda v: v.exp() * v, x)[1](x + 2),
    "jvp": lambda T, F, x: F.jvp(lambda v: v.exp() * v.sum(), (x,), (x + 2,)),
    "jacrev": lambda T, F, x: F.jacrev(lambda v: v.tanh() * v.sum())(x),
    "jacfwd": lambda T, F, x: F.jacfwd(lambda v: v.tanh() * v.sum())(x),
    "jacobian of a matrix": lambda T, F, x: F.jacrev(lambda v: T.stack([v, v * v]))(x),
    "forward of a matrix": lambda T, F, x: F.jacfwd(lambda v: T.stack([v, v * v]))(x),
    "hessian": lambda T, F, x: F.hessian(curve(T))(x),
    "constant": lambda T, F, x: F.jacrev(lambda v: T.ones(2, dtype=T.float64) * 3 + v.sum() * 0)(x),
}


@pytest.mark.parametrize("name", FUNC)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_func(name):
    import torch

    a = np.array([0.3, -1.2, 0.7])
    theirs = FUNC[name](torch, torch.func, torch.tensor(a))
    ours = FUNC[name](cr, cr.func, cr.tensor(a))
    for x, y in zip(
        ours if isinstance(ours, tuple) else [ours],
        theirs if isinstance(theirs, tuple) else [theirs],
        strict=True,
    ):
        same(x, y)
        assert not x.requires_grad


def test_func_inside_a_graph():
    for T, F in ((m, m.func) for m in both()):
        w = T.tensor([2.0, 3.0], dtype=T.float64).requires_grad_()
        x = T.tensor([1.0, 4.0], dtype=T.float64)
        F.grad(lambda v, w=w: (v**2 * w).sum())(x).sum().backward()
        assert w.grad.tolist() == [2, 8]


def program(T, script):
    return [np.asarray(x.detach().numpy()) if x is not None else None for x in script(T)]


def accumulation(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        (x**2).sum().backward()
    yield x.grad


def retained_intermediates(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    h.retain_grad()
    (h**2).sum().backward()
    yield h.grad
    yield x.grad


def a_view_of_a_leaf_beside_several_backwards(T):
    w = T.tensor([[1.0, 2.0]], requires_grad=True)
    v = w.t()
    for i in range(3):
        (v * (v + i)).sum().backward()
    yield w.grad


def twice_with_retain_graph(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    yield x.grad


def hooks(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    seen = []
    h.register_hook(lambda g: g * 10)
    removed = h.register_hook(lambda g: g * 100)
    removed.remove()
    x.register_hook(lambda g: seen.append(g.detach().clone()))
    (h * h).sum().backward()
    yield x.grad
    yield seen[0]


def gradient_argument(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(T.tensor([1.0, 10.0]))
    yield x.grad


def backward_with_inputs(T):
    x = T.tensor([1.0], requires_grad=True)
    w = T.tensor([2.0], requires_grad=True)
    (x * w).sum().backward(inputs=[w])
    yield w.grad
    yield x.grad


def create_graph_through_backward(T):
    x = T.tensor([2.0], requires_grad=True, dtype=T.float64)
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    g.sum().backward()
    yield x.grad


def several_outputs_and_unused(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    z = T.tensor([5.0], requires_grad=True)
    a, b = x * 2, x**2
    yield from T.autograd.grad([a.sum(), b.sum()], [x, z], allow_unused=True)
    yield T.autograd.grad([x * 2, x**2], x, grad_outputs=[a.detach(), b.detach()])[0]


def grad_of_an_intermediate(T):
    x = T.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    yield T.autograd.grad((h**2).sum(), h)[0]


def gradient_penalty(T):
    w = T.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True, dtype=T.float64)
    x = T.tensor([[1.0, 2.0]], requires_grad=True, dtype=T.float64)
    (g,) = T.autograd.grad((x @ w).tanh().sum(), x, create_graph=True)
    ((g.norm() - 1) ** 2).backward()
    yield w.grad


def enable_inside_no_grad(T):
    x = T.tensor([1.0], requires_grad=True)
    with T.no_grad():
        with T.enable_grad():
            y = x * 2
        z = x * 3
    y.backward()
    yield x.grad
    yield T.tensor([float(z.requires_grad)])


def decorators(T):
    x = T.tensor([1.0], requires_grad=True)

    @T.no_grad()
    def f(v):
        return v * 2

    yield T.tensor([float(f(x).requires_grad), float((x * 2).requires_grad)])


def a_function_of_one_s_own(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            ctx.factor = factor
            return factor * x**3

        @staticmethod
        def backward(ctx, y_bar):
            (x,) = ctx.saved_tensors
            return y_bar * ctx.factor * 3 * x**2, None

    x = T.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x * 1, 2.0)
    y.sum().backward()
    yield y
    yield x.grad


@pytest.mark.parametrize(
    "script",
    [
        accumulation,
        retained_intermediates,
        twice_with_retain_graph,
        a_view_of_a_leaf_beside_several_backwards,
        hooks,
        gradient_argument,
        backward_with_inputs,
        create_graph_through_backward,
        several_outputs_and_unused,
        grad_of_an_intermediate,
        gradient_penalty,
        enable_inside_no_grad,
        decorators,
        a_function_of_one_s_own,
    ],
)
@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_autograd(script):
    theirs, ours = (program(T, script) for T in both())
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    ["x.norm()", "x.norm(dim=1).sum()", "x.std(0).sum()", "x.std()", "(x - x.mean(0)).norm()"],
)
@pytest.mark.parametrize(
    "values", [np.zeros((3, 2)), np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 5.0]])]
)
def test_roots_of_nothing_have_no_slope(text, values):
    import torch

    x, t = cr.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    eval(text, {"x": x}).backward()
    eval(text, {"x": t}).backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-10, atol=1e-12)
