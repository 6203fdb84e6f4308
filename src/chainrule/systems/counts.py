"""Why errors are propagated backward: what the two directions cost, counted."""

from __future__ import annotations

from chainrule.inspect.cost import jacobian_order, why_backprop
from chainrule.systems.system import Figure, Report, System

__all__ = ["JACOBIAN_ORDER", "WHY_BACKPROP"]

# Terms of each layer: the lecture prints 4, 12, 28, 14, 14, of which four are listed twice and
# four are zero identically.
FORWARD, BACKWARD = [4, 12, 20, 14, 14], [1, 4, 6, 6, 4]


def _why_backprop(data_dir: str | None = None) -> Report:
    found = {layers: why_backprop(layers) for layers in (3, 10, 50)}
    three = found[3]
    lines = [
        "The net 2-2-2-2-1 of 14 weights without biases: how many derivatives are formed",
        f"forward, layer by layer, then ŷ and the loss: {_sum(three['forward'])}",
        f"backward, from the loss: {_sum(three['backward'])}",
        "",
        "hidden layers  forward 4(L+1)²  backward 6L+3",
    ]
    figures = [
        Figure(f"forward terms, part {k + 1}", terms, equal=wanted)
        for k, (terms, wanted) in enumerate(zip(three["forward"], FORWARD, strict=True))
    ]
    figures += [
        Figure(f"new backward terms, part {k + 1}", terms, equal=wanted)
        for k, (terms, wanted) in enumerate(zip(three["backward"], BACKWARD, strict=True))
    ]
    for layers, row in found.items():
        forward, backward = row["forward_total"], row["backward_total"]
        lines.append(f"{layers:13}  {forward:15,}  {backward:13,}")
        figures += [
            Figure(f"forward terms, L = {layers}", forward, equal=4 * (layers + 1) ** 2),
            Figure(f"backward terms, L = {layers}", backward, equal=6 * layers + 3),
            Figure(
                f"largest difference of both ways, L = {layers}", row["difference"], at_most=1e-12
            ),
        ]
    result = {"networks": list(found.values())}
    return Report(lines, tuple(figures), result, ("train jacobian-order",))


def _sum(terms: list[int]) -> str:
    return " + ".join(map(str, terms)) + f" = {sum(terms)}"


def _jacobian_order(data_dir: str | None = None) -> Report:
    found = [jacobian_order(n) for n in (4, 16, 64, 256)]
    lines = [
        "A row vector times three Jacobians of n×n: the multiplications of both orders",
        "",
        "  n  from the loss 3n²  from the input 2n³ + n²  times as many",
    ]
    figures = []
    for row in found:
        n, first, last = row["n"], row["loss_first"], row["input_first"]
        lines.append(f"{n:3}  {first:17,}  {last:23,}  {row['ratio']:13.1f}")
        figures += [
            Figure(f"from the loss, n = {n}", first, equal=3 * n**2),
            Figure(f"from the input, n = {n}", last, equal=2 * n**3 + n**2),
            Figure(
                f"relative difference of the results, n = {n}", row["difference"], at_most=1e-14
            ),
        ]
    return Report(lines, tuple(figures), {"orders": found}, ("train why-backprop",))


WHY_BACKPROP = System("terms formed forward and backward", compute=_why_backprop)
JACOBIAN_ORDER = System("a chain of matrices from both ends", compute=_jacobian_order)
