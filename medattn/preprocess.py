"""What every image goes through: its size, and uint8 pixels to normalised floats."""

from functools import lru_cache
from operator import index

import torch
from torch import Tensor

Size = int | tuple[int, int]  # pixels: a square's side, or (H, W)

NORMALISE: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # MedMNIST's
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}  # mean and deviation of each colour


def to_float(images: Tensor, normalise: str) -> Tensor:
    """Return uint8 images (N, C, H, W) as float32, scaled to 0..1 and normalised.

    `normalise` is a key of `NORMALISE`. One-channel images take the mean of the three channels'
    values. Raises ValueError for an unknown name, and for images that are not uint8.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images are {images.dtype} and must be uint8, 0 to 255, (N, C, H, W)")
    mean, std = _statistics(normalise, images.shape[1], images.device)
    return images.float().div_(255).sub_(mean).div_(std)


@lru_cache  # so that no training step waits until the numbers are on the device
def _statistics(normalise: str, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    if normalise not in NORMALISE:
        raise ValueError(f"normalise={normalise!r} is not one of {', '.join(NORMALISE)}")
    if channels not in (1, 3):
        raise ValueError(f"images have {channels} channels: normalise needs 1 or 3")
    mean, std = torch.tensor(NORMALISE[normalise], device=device).view(2, 3, 1, 1)
    if channels == 1:
        return mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    return mean, std


def height_width(size: Size) -> tuple[int, int]:
    """Return a size as (H, W) in pixels; raise ValueError for other than whole numbers above 0."""
    try:
        height, width = map(index, size if isinstance(size, list | tuple) else (size, size))
    except (TypeError, ValueError):  # of another type or length
        height = width = 0
    if min(height, width) < 1 or isinstance(size, bool):
        raise ValueError(f"size={size!r} is neither a side nor (H, W) in whole pixels, 1 or more")
    return height, width
