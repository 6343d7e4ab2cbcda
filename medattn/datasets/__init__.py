"""Data sets as uint8 tensors."""

from medattn.datasets.catalog import load_dataset
from medattn.datasets.dataset import Dataset, Split

__all__ = ["Dataset", "Split", "load_dataset"]
