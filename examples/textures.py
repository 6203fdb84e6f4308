"""Which filter answers to which texture? The mean of |response| tells textures apart."""

import chainrule as cr
import chainrule.nn.functional as F

row, column = cr.meshgrid(cr.arange(32), cr.arange(32), indexing="ij")
textures = {
    "upright stripes": column % 8 < 4,
    "level stripes": row % 8 < 4,
    "slanted stripes": (row + column) % 8 < 4,
    "checks": (row + column) % 2 < 1,
}
filters = {
    "upright edge": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "level edge": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "slanted edge": [[2, 1, 0], [1, 0, -1], [0, -1, -2]],
    "checks": [[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
}
images = cr.stack([texture.float() for texture in textures.values()]).unsqueeze(1)
images = images - images.mean((2, 3), keepdim=True)
bank = cr.tensor(list(filters.values())).float()
bank = (bank / bank.square().sum((1, 2), keepdim=True).sqrt()).unsqueeze(1)
responses = F.conv2d(images, bank).abs().mean((2, 3))

print(f"{'':16}", *(f"{name:>13}" for name in filters))
for name, line in zip(textures, responses.tolist(), strict=True):
    print(f"{name:16}", *(f"{value:13.2f}" for value in line))
