"""Handwritten digits of 8x8 pixels and 17 greys, from scikit-learn: real images without a download.

Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits".
"""

import torch
from torch.nn import functional as F

from medattn.datasets.dataset import Dataset, Split, check_size

_N_TRAIN, _N_VAL = 1197, 200  # of 1797; 400 are left for the test
_ORDER = 0  # seed of the one order in which they are split


def digits(size: int = 28) -> Dataset:
    """Load the digits, enlarged from 8 to `size` pixels (bilinear), always in the same splits."""
    from sklearn.datasets import load_digits

    check_size(size, 8, 224)
    loaded = load_digits()
    images = torch.from_numpy(loaded.images).float().unsqueeze(1) * (255 / 16)
    images = F.interpolate(images, (size, size), mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(loaded.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_ORDER))
    index = order.tensor_split((_N_TRAIN, _N_TRAIN + _N_VAL))
    train, val, test = (Split(images[part], labels[part]) for part in index)
    return Dataset("digits", size, tuple("0123456789"), train, val, test)
