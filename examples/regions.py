"""What a unit and a network answer all over the plane: ridges, and why XOR needs a hidden layer."""

import chainrule as cr
import chainrule.nn as nn

SHADES = " .:-=+*#%@"


def picture(function, columns=25, rows=11):
    """Answers from 0 to 1 over the square from (-0.5, -0.5) to (1.5, 1.5), x₂ upwards."""
    x2, x1 = cr.meshgrid(
        cr.linspace(1.5, -0.5, rows), cr.linspace(-0.5, 1.5, columns), indexing="ij"
    )
    with cr.no_grad():
        y = function(cr.stack([x1.flatten(), x2.flatten()], 1)).reshape(rows, columns)
    return ["".join(SHADES[int(9.99 * value)] for value in row) for row in y.tolist()]


def beside(titles, pictures):
    """Pictures in one row, each under its title."""
    print("   ".join(f"{title:25}" for title in titles).rstrip())
    for lines in zip(*pictures, strict=True):
        print("   ".join(lines).rstrip())
    print()


w = cr.tensor([6.0, 6.0])
biases = (-2.0, -6.0, -10.0)
ridges = [picture(lambda x, b=b: (x @ w + b).sigmoid()) for b in biases]
beside([f"σ(6x₁ + 6x₂ {b:+.0f})".replace("-", "− ") for b in biases], ridges)

x = cr.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
t = cr.tensor([[0.0], [1.0], [1.0], [0.0]])
cr.manual_seed(0)
unit = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
optimizer = cr.optim.Adam(unit.parameters(), lr=0.05)
for _ in range(300):
    optimizer.zero_grad()
    nn.functional.binary_cross_entropy(unit(x), t).backward()
    optimizer.step()


def network(x):
    """Two hidden units and one above them: an OR, a NAND, and the AND of both."""
    either = (x @ w - 3).sigmoid()
    not_both = (9 - x @ w).sigmoid()
    return (6 * either + 6 * not_both - 9).sigmoid()


beside(["XOR, the best of one unit", "XOR by three units"], [picture(unit), picture(network)])
