"""Full, local and shared wiring: how many weights, and the matrices of golden A16 and A17."""

import numpy as np
import pytest

from chainrule.errors import UsageError
from chainrule.inspect.draw import draw
from chainrule.inspect.draw.wiring import weights_of, wiring


@pytest.mark.parametrize("n", [3, 5, 9, 12])
def test_counts(n):
    counts = wiring(n=n).data["parameters"]
    assert counts == {"full": n * n, "local": 3 * n - 2, "shared": 3}


@pytest.mark.parametrize(("n", "m"), [(5, 5), (7, 5), (12, 7), (4, 1)])
def test_counts_of_wider_windows(n, m):
    counts = wiring(n=n, m=m).data["parameters"]
    assert counts["local"] == m * n - (m * m - 1) // 4
    assert counts["shared"] == m


def test_the_matrix_of_shared_weights_is_toeplitz():
    theta = {"θ₀": 2.0, "θ₁": 3.0, "θ₂": 5.0, "": 0.0}
    matrix = np.array([[theta[name] for name in row] for row in weights_of("shared")])
    np.testing.assert_array_equal(matrix @ [1, -2, 3, 0, 4], [-7, 11, 5, 26, 12])
    assert weights_of("shared")[0] == ["θ₁", "θ₂", "", "", ""]


def test_one_colour_and_one_kind_of_dashes_is_one_weight():
    svg = draw.wiring("shared").svg
    looks = {
        part.split("<title>")[1][:2]: (part.split('class="')[1].split('"')[0],
                                       part.split('dasharray="')[1].split('"')[0]
                                       if "dasharray" in part else "")
        for part in svg.split("<line ")[1:]
    }  # fmt: skip
    assert len(looks) == len(set(looks.values())) == 3


@pytest.mark.parametrize(("n", "m"), [(0, 1), (13, 3), (5, 2), (3, 5), (12, 9)])
def test_sizes_that_can_not_be_drawn(n, m):
    with pytest.raises(UsageError, match=f"got n={n}, m={m}"):
        wiring(n=n, m=m)


def test_a_kind_that_there_is_not():
    with pytest.raises(UsageError, match="needs one of full, local, shared"):
        wiring("dense")
