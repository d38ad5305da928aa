"""Data: opened by one argument, described, split, transformed, and read in batches."""

from vaekit.data.batches import Batch, Loader
from vaekit.data.dataset import Dataset
from vaekit.data.opening import open
from vaekit.data.propose import Proposal
from vaekit.data.source import ArrayFile, Decoding, Source, Table
from vaekit.data.splits import Split
from vaekit.data.synthetic import Rectangles
from vaekit.data.transforms import (
    Binarize,
    CenterCrop,
    Dequantize,
    HorizontalFlip,
    Resize,
    Standardize,
    StaticBinarize,
    Threshold,
    Transform,
)

__all__ = [
    "ArrayFile",
    "Batch",
    "Binarize",
    "CenterCrop",
    "Dataset",
    "Decoding",
    "Dequantize",
    "HorizontalFlip",
    "Loader",
    "Proposal",
    "Rectangles",
    "Resize",
    "Source",
    "Split",
    "Standardize",
    "StaticBinarize",
    "Table",
    "Threshold",
    "Transform",
    "open",
]
