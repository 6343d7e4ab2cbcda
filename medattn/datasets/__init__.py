"""Data sets as uint8 tensors, with lesion masks where there are any."""

from medattn.datasets.catalog import DATASETS, load_dataset
from medattn.datasets.dataset import Dataset, Split

__all__ = ["DATASETS", "Dataset", "Split", "load_dataset"]
