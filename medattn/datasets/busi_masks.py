"""Lesion masks of BreastMNIST, where they are: what BUSI, the set it was made of, outlines.

Source: Al-Dhabyani et al. 2020, "Dataset of breast ultrasound images", Data in Brief 28, 104863; CC BY 4.0. MedMNIST
left the masks out. The data folder may have them as breastmnist_224_masks.npz, cut and resized as its 224 px images
were, one for one: {train,val,test}_masks (N, 224, 224) of 0 and 1, empty for images without a lesion.
A pixel of a smaller image belongs to the lesion where half of it does. `busi_folder` makes the file.
"""

from dataclasses import replace

import numpy as np
import torch

from medattn.datasets.area import area_mean
from medattn.datasets.dataset import Dataset
from medattn.paths import data_folder

FILE = "breastmnist_224_masks.npz"


def with_masks(data: Dataset) -> Dataset:
    """Give BreastMNIST with its lesion masks where their file is in the data folder, and as it is where not.

    Raises ValueError for a file whose masks do not belong to the images one for one.
    """
    file = data_folder() / FILE
    if not file.is_file():
        return data
    splits = {}
    with np.load(file, allow_pickle=False) as arrays:
        for name in ("train", "val", "test"):
            split, key = getattr(data, name), f"{name}_masks"
            masks = arrays[key] if key in arrays else np.empty(0)
            if masks.ndim != 3 or len(masks) != len(split) or masks.max(initial=0) > 1:
                raise ValueError(
                    f"{file}: {key} is {masks.dtype} {masks.shape}; it must be 0 and 1, ({len(split)}, H, W), a mask "
                    "for each image"
                )
            small = np.stack([area_mean(mask, data.size) >= 0.5 for mask in masks])
            splits[name] = replace(split, masks=torch.from_numpy(small))
    return replace(data, **splits)
