"""What a data set is here: uint8 tensors in memory, with labels and, where there are any, masks."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images with their labels and lesion masks."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)
    masks: Tensor | None = None  # bool (N, H, W)

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str | torch.device) -> "Split":
        """Give the split on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Split(self.images.to(device), self.labels.to(device), masks)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one set of images. `region` is the relevant part of all images, bool (H, W), if known."""

    name: str
    size: int  # px
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    region: Tensor | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.train.images.shape[1]

    def to(self, device: str | torch.device) -> "Dataset":
        """Give the data set on another device."""
        region = None if self.region is None else self.region.to(device)
        splits = (split.to(device) for split in (self.train, self.val, self.test))
        return Dataset(self.name, self.size, self.classes, *splits, region)
