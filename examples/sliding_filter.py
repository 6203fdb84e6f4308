"""A 3×3 kernel slides over a 5×5 image: each place, its nine products, and the output so far."""

import chainrule as cr
import chainrule.nn.functional as F

IMAGE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
KERNEL = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]

image, kernel = cr.tensor(IMAGE).float(), cr.tensor(KERNEL).float()
output = F.conv2d(image[None, None], kernel[None, None])[0, 0].int().tolist()


def cell(row, column, top, left):
    """One number of the image, times its weight if it lies under the kernel."""
    i, j = row - top, column - left
    under = 0 <= i < 3 and 0 <= j < 3
    return f"{IMAGE[row][column]}·{KERNEL[i][j]}" if under else f"{IMAGE[row][column]}  "


for top in range(3):
    for row in range(5):
        windows = (" ".join(cell(row, c, top, left) for c in range(5)) for left in range(3))
        print("   |  ".join(windows).rstrip())
    sums = (f"sum {output[top][left]}" for left in range(3))
    print("   |  ".join(f"{text:19}" for text in sums).rstrip())
    print()
print(*(" ".join(map(str, row)) for row in output), sep="\n")
