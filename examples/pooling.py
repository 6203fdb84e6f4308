"""Max pooling: what goes on of each window, where the error signal goes back, and shifts."""

import chainrule as cr
import chainrule.nn.functional as F

x = cr.tensor([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], requires_grad=True)
y = F.max_pool2d(x[None, None], 2)
y.backward(cr.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))


def show(title, matrix):
    """A matrix of whole numbers under its title."""
    print(title)
    for row in matrix.detach().int().tolist():
        print(" ".join(f"{value:2}" for value in row))
    print()


show("x", x)
show("y = the largest of each 2×2 window", y[0, 0])
show("x̄ for ȳ = [[1, 2], [3, 4]]: each goes to the place that won", x.grad)

eye = cr.zeros(8, 8)
eye[3, 2] = 1  # what a detector found
moved = cr.roll(eye, 1, 1)
for name, seen in (("found at (3, 2)", eye), ("found at (3, 3)", moved)):
    show(f"{name}, pooled", F.max_pool2d(seen[None, None], 2)[0, 0])
show("found at (3, 4), pooled", F.max_pool2d(cr.roll(eye, 2, 1)[None, None], 2)[0, 0])
