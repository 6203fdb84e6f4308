"""Data: from files and drawings to batches.

Datasets have samples by number: the classical sets of pictures (`open_dataset`, `MNIST`, …), the
shipped `digits`, arrays (`TensorDataset`).  A `DataLoader` makes shuffled, varied batches of them,
with transforms that fit and vary images.  `prepare_picture` leads from any picture, also one that
`rasterise` made of a pen's strokes, to the network's input.
"""

from chainrule.data.augment import (
    CenterCrop,
    ColorJitter,
    Grayscale,
    MixUp,
    Normalize,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    SubtractMean,
    TenCrop,
)
from chainrule.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from chainrule.data.digits import digits
from chainrule.data.files import read_cifar, read_idx
from chainrule.data.image_folder import ImageFolder, read_picture
from chainrule.data.image_sets import (
    CIFAR10,
    CIFAR100,
    EMNIST,
    KMNIST,
    MNIST,
    Digits,
    FashionMNIST,
    ImageSet,
    open_dataset,
)
from chainrule.data.inpainting import Inpainting, random_masks
from chainrule.data.loader import DataLoader
from chainrule.data.picture import PreparedPicture, picture_like, prepare_picture
from chainrule.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from chainrule.data.strokes import rasterise
from chainrule.data.table import CSV
from chainrule.data.toys import (
    blobs,
    checkerboard,
    circles,
    friedman,
    line,
    sine,
    spirals,
    two_moons,
    xor,
)
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
from chainrule.data.workers import collate as default_collate

__all__ = [
    "open_dataset",
    "digits",
    "Digits",
    "MNIST",
    "FashionMNIST",
    "KMNIST",
    "EMNIST",
    "CIFAR10",
    "CIFAR100",
    "ImageSet",
    "ImageFolder",
    "CSV",
    "Inpainting",
    "random_masks",
    "two_moons",
    "circles",
    "spirals",
    "blobs",
    "checkerboard",
    "xor",
    "line",
    "sine",
    "friedman",
    "read_picture",
    "read_idx",
    "read_cifar",
    "Dataset",
    "TensorDataset",
    "Subset",
    "ConcatDataset",
    "random_split",
    "augmentation",
    "DataLoader",
    "default_collate",
    "Sampler",
    "SequentialSampler",
    "RandomSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
    "BatchSampler",
    "rasterise",
    "Transform",
    "RandomTransform",
    "Compose",
    "Scale",
    "Upsample",
    "CentreByMass",
    "Resize",
    "Pad",
    "CenterCrop",
    "TenCrop",
    "Normalize",
    "SubtractMean",
    "Grayscale",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "RandomRotation",
    "RandomAffine",
    "RandomElastic",
    "RandomStrokeWidth",
    "RandomErasing",
    "ColorJitter",
    "MixUp",
    "from_spec",
    "PreparedPicture",
    "picture_like",
    "prepare_picture",
]
