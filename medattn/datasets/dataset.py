"""What every data set becomes: uint8 tensors in memory, in three splits, with lesion masks where there are any."""

from dataclasses import dataclass, replace
from hashlib import sha256

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Shape: images (N, C, H, W) uint8, labels (N,) int64, masks (N, H, W) bool (the lesions) or None. `names` are the
    images' files within a folder of the user's own; none elsewhere.
    Raises ValueError for any other shape or type.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images {_say(self.images)} must be uint8 (N, C, H, W)")
        n, _, height, width = self.images.shape
        if self.labels.dtype != torch.int64 or self.labels.shape != (n,):
            raise ValueError(f"labels {_say(self.labels)} must be int64 ({n},), one for each image")
        if self.masks is not None and (self.masks.dtype != torch.bool or self.masks.shape != (n, height, width)):
            raise ValueError(f"masks {_say(self.masks)} must be bool ({n}, {height}, {width}), one for each image")
        if self.names and len(self.names) != n:
            raise ValueError(f"{len(self.names)} names must be {n}, one for each image, or none")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Give the images at these positions (n,), in this order."""
        index = index.to(self.images.device)
        masks = None if self.masks is None else self.masks[index]
        names = tuple(self.names[i] for i in index.tolist()) if self.names else ()
        return Split(self.images[index], self.labels[index], masks, names)

    def to(self, device: str | torch.device) -> "Split":
        """Give the split with its tensors on the device."""
        masks = None if self.masks is None else self.masks.to(device)
        return replace(self, images=self.images.to(device), labels=self.labels.to(device), masks=masks)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its three splits.

    `size` is the side of its square images in pixels, `classes` the names of labels 0, 1, ...; `region` (H, W) bool
    is the part of the image that decides the class, where the set has one for all its images.
    Raises ValueError where splits, classes and region do not fit each other.
    """

    name: str
    size: int
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    region: Tensor | None = None

    def __post_init__(self):
        shape = (self.channels, self.size, self.size)
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split.images.shape[1:] != shape:
                raise ValueError(f"{name} images of {self.name} are {tuple(split.images.shape[1:])}, not {shape}")
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < self.n_classes:
                low, high = int(split.labels.min()), int(split.labels.max())
                raise ValueError(
                    f"{name} labels of {self.name} go from {low} to {high}: {self.n_classes} classes need 0 to "
                    f"{self.n_classes - 1}"
                )
        if self.region is not None and (self.region.dtype != torch.bool or self.region.shape != shape[1:]):
            raise ValueError(f"region {_say(self.region)} must be bool {shape[1:]}")

    def fingerprint(self) -> str:
        """Give a hash of all images and labels, split by split."""
        digest = sha256()
        for split in (self.train, self.val, self.test):
            for values in (split.images, split.labels):
                digest.update(repr(tuple(values.shape)).encode())
                digest.update(values.cpu().contiguous().numpy())
        return digest.hexdigest()

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """The number of image channels: 1 for grey, 3 for colour."""
        return self.train.images.shape[1]

    def to(self, device: str | torch.device) -> "Dataset":
        """Give the data set with its tensors on the device."""
        splits = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
        region = None if self.region is None else self.region.to(device)
        return replace(self, **splits, region=region)


def _say(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
