"""Data sets as uint8 tensors in three splits, with lesion masks where there are any."""

from medattn.datasets.catalog import DATASETS, OWN, catalog, download, is_known, load_dataset
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.idrid_segmentation import Segmented, idrid_segmentation
from medattn.datasets.outlined import outlined
from medattn.datasets.potential import potential_attention
from medattn.datasets.splits import resplit, shuffle_labels

__all__ = [
    "DATASETS",
    "OWN",
    "Dataset",
    "Segmented",
    "Split",
    "catalog",
    "download",
    "idrid_segmentation",
    "is_known",
    "load_dataset",
    "outlined",
    "potential_attention",
    "resplit",
    "shuffle_labels",
]
