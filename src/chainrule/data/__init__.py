"""Data: from files and drawings to batches.

`digits` (shipped) and `rasterise` (strokes of a pen) make images, transforms vary and fit them,
`prepare_picture` leads from any picture to the network's input.
"""

from chainrule.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from chainrule.data.digits import digits
from chainrule.data.loader import DataLoader
from chainrule.data.picture import PreparedPicture, prepare_picture
from chainrule.data.strokes import rasterise
from chainrule.data.transforms import (
    CentreByMass,
    Compose,
    RandomAffine,
    RandomElastic,
    RandomStrokeWidth,
    RandomTransform,
    Scale,
    Transform,
    Upsample,
    from_spec,
)
from chainrule.data.workers import augmentation

__all__ = [
    "digits",
    "Dataset",
    "TensorDataset",
    "Subset",
    "ConcatDataset",
    "random_split",
    "augmentation",
    "DataLoader",
    "rasterise",
    "Transform",
    "RandomTransform",
    "Compose",
    "Scale",
    "Upsample",
    "CentreByMass",
    "RandomAffine",
    "RandomElastic",
    "RandomStrokeWidth",
    "from_spec",
    "PreparedPicture",
    "prepare_picture",
]
