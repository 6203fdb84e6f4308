"""A convolution as one matrix product: every window of the image becomes a column (im2col)."""

import chainrule as cr
import chainrule.nn.functional as F

image = cr.tensor([[[[1.0, 2, 0, 1], [0, 1, 3, 2], [2, 0, 1, 1], [1, 3, 0, 2]]]])
kernel = cr.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
columns = F.unfold(image, 3)  # f32[1,9,4]: nine numbers of each of four windows
output = kernel.reshape(1, 9) @ columns[0]


def show(title, matrix):
    """A matrix of whole numbers under its title."""
    print(title)
    for row in matrix.int().tolist():
        print(" ".join(f"{value:3}" for value in row))
    print()


show("image", image[0, 0])
show("its four 3×3 windows, row by row, as columns", columns[0])
show("kernel as a row", kernel.reshape(1, 9))
show("row times columns", output)
show("conv2d", F.conv2d(image, kernel[None, None])[0, 0])
