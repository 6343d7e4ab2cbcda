"""Data sets as uint8 tensors in three splits, with lesion masks where there are any."""

from medattn.datasets.catalog import DATASETS, catalog, load_dataset
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.medmnist import download

__all__ = ["DATASETS", "Dataset", "Split", "catalog", "download", "load_dataset"]
