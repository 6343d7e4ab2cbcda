"""Images whose lesions are outlined, and which no training saw: what a map is scored on."""

import torch
from torch import Tensor

from medattn.datasets.catalog import load_dataset
from medattn.datasets.idrid_segmentation import idrid_segmentation
from medattn.datasets.idrid_twins import idrid_twins


def outlined(name: str, size: int, **options) -> tuple[Tensor, Tensor]:
    """Give the images of a data set that have an outlined lesion and are no training or validation images.

    Shape: images (N, C, H, W) uint8, masks (N, H, W) bool, at least one pixel each. Of IDRiD these are segmented images
    that are no grading images of its training set (`idrid_twins`); the lesions of all four kinds count alike.
    Raises ValueError for a set without masks.
    """
    if name == "idrid":
        segmented = idrid_segmentation(size)
        unseen = torch.tensor([twin is None or twin[0] == "test" for twin in idrid_twins()])
        images, masks = segmented.images, torch.stack(list(segmented.lesions.values())).any(0)
    else:
        test = load_dataset(name, size, **options).test
        if test.masks is None:
            raise ValueError(f"{name} has no lesion masks here; phantoms, breastmnist (busi_masks.py) and idrid have")
        unseen, images, masks = torch.ones(len(test), dtype=torch.bool), test.images, test.masks
    chosen = unseen & masks.any((1, 2))
    return images[chosen], masks[chosen]
