"""Handwritten digits, 8x8 pixels in 16 greys, which scikit-learn brings along: real images that need no download.

Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", by way of scikit-learn.
"""

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from medattn.datasets.dataset import Dataset, Split

SMALLEST, LARGEST = 8, 224
_N_TRAIN, _N_VAL = 1197, 200  # of 1797; 400 are left for the test
_ORDER = 0  # seed of the one order they are split in


def digits(size: int = 28) -> Dataset:
    """Load the digits, enlarged from 8 to `size` pixels (bilinear); always the same splits, drawn by chance."""
    if isinstance(size, bool) or not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size={size!r} must be a whole number of pixels from {SMALLEST} to {LARGEST}")
    loaded = load_digits()
    images = torch.from_numpy(loaded.images).float().unsqueeze(1) * (255 / 16)
    images = F.interpolate(images, (size, size), mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(loaded.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_ORDER))
    parts = order.tensor_split((_N_TRAIN, _N_TRAIN + _N_VAL))
    return Dataset("digits", size, tuple("0123456789"), *(Split(images[part], labels[part]) for part in parts))
