"""What every data set becomes: uint8 images in three splits, with any lesion masks."""

from dataclasses import dataclass, replace
from hashlib import sha256
from math import inf

import torch
from torch import Tensor

SPLITS = ("train", "val", "test")
MIN_SIZE, MAX_SIZE = 8, 1024  # px; sides that images from files can be resized to


def check_whole(name: str, value: object, low: int, high: float = inf, unit: str = "") -> None:
    """Raise ValueError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        end = "" if high == inf else f" to {high}"
        raise ValueError(f"{name}={value!r} must be a whole number{unit} from {low}{end}")


def check_size(size: int, smallest: int = MIN_SIZE, largest: int = MAX_SIZE) -> None:
    """Raise ValueError unless `size` is a whole number of pixels within the limits."""
    check_whole("size", size, smallest, largest, " of pixels")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Shape: images (N, C, H, W) uint8, labels (N,) int64, lesion masks (N, H, W) bool or None; others
    are a ValueError. `names` are the images' files within a folder of the user's, else empty.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            form = f"{self.images.dtype} {tuple(self.images.shape)}"
            raise ValueError(f"images are {form} and must be torch.uint8 (N, C, H, W)")
        n, _, height, width = self.images.shape
        _check("labels", self.labels, torch.int64, (n,))
        if self.masks is not None:
            _check("masks", self.masks, torch.bool, (n, height, width))
        if self.names and len(self.names) != n:
            raise ValueError(f"{len(self.names)} names must be {n}, one for each image, or none")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the images at these positions (n,), in this order."""
        index = index.to(self.images.device)
        masks = None if self.masks is None else self.masks[index]
        names = tuple(self.names[i] for i in index.tolist()) if self.names else ()
        return Split(self.images[index], self.labels[index], masks, names)

    def to(self, device: str | torch.device) -> "Split":
        """Return the split with its tensors on the device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Split(self.images.to(device), self.labels.to(device), masks, self.names)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its three splits.

    `size` is the side of its square images in pixels, and `classes` names labels 0, 1, ...
    `region` (H, W) bool is the part of every image that decides the class, if it is known.
    A ValueError says what does not fit.
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
        for name, split in self.splits.items():
            form, last = tuple(split.images.shape[1:]), self.n_classes - 1
            if form != shape:
                raise ValueError(f"{name} images of {self.name} are {form}, not {shape}")
            low, high = map(int, split.labels.aminmax()) if len(split) else (0, 0)
            if low < 0 or high > last:
                where = f"{name} labels of {self.name} go from {low} to {high}"
                raise ValueError(f"{where}: {self.n_classes} classes need 0 to {last}")
        if self.region is not None:
            _check("region pixels", self.region, torch.bool, shape[1:])

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """The number of image channels: 1 for grey, 3 for colour."""
        return self.train.images.shape[1]

    def fingerprint(self) -> str:
        """Return a hash of all images and labels, split by split."""
        digest = sha256()
        for split in self.splits.values():
            for values in (split.images, split.labels):
                digest.update(repr(tuple(values.shape)).encode())
                digest.update(values.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def to(self, device: str | torch.device) -> "Dataset":
        """Return the data set with its tensors on the device."""
        train, val, test = (split.to(device) for split in self.splits.values())
        region = None if self.region is None else self.region.to(device)
        return replace(self, train=train, val=val, test=test, region=region)


def _check(what: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        form = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ValueError(f"{what} are {form} and must be {dtype} {shape}")
