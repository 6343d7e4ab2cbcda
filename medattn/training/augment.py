"""Augmentation of whole batches on their device, with seeded random parameters for each image.

Paper: Zhang et al., "PPCR", 2023, section 4.1. ISIC2018: as in "ACPL" (Liu et al. 2022, its
reference 30). CIFAR: padding by four pixels and random crops. MedMNIST: none.
Differs from the paper: neither text states the strengths for ISIC2018. The crop's area and the
horizontal flip are those of ACPL's code, which has nothing else. Vertical flip, colour jitter,
rotation and blur have strengths of our choice. Rotation, flips and resized crop are one bilinear
resampling, mirrored at the border. The hue turns in the YIQ plane.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

PADDING = 4  # pixels on each side before the crop (He et al. 2016, section 4.2)
CROP_AREA = (0.2, 1.0)  # share of the image's area (ACPL's code)
CROP_RATIO = (3 / 4, 4 / 3)  # width / height (torchvision's default)
ROTATION = 30.0  # degrees, either way
BRIGHTNESS = CONTRAST = SATURATION = 0.2  # factors 0.8 to 1.2
HUE = 10.0  # degrees, either way
BLUR_SHARE = 0.5  # of the images
BLUR_SIGMA = (0.1 / 224, 2.0 / 224)  # of the image's side: 0.1 to 2 pixels at 224
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2. Shape: uint8 (N, C, H, W), kept."""
    mirrored = _uniform(images, generator) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def crop(images: Tensor, generator: Generator) -> Tensor:
    """Pad each side by 4 black pixels, and cut a random window of the old size from each image.

    Source: He et al. 2016, section 4.2. Shape: uint8 (N, C, H, W), kept.
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    at = torch.randint(2 * PADDING + 1, (2, n, 1), generator=generator, device=images.device)
    rows = at[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = at[1] + torch.arange(width, device=images.device)  # (N, W)
    image = torch.arange(n, device=images.device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
    return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def isic(images: Tensor, generator: Generator) -> Tensor:
    """Crop and resize, mirror both ways, rotate, jitter the colours, and blur.

    Source: Liu et al. 2022 (ACPL), with strengths of our own (see the top of this file).
    Shape: uint8 (N, C, H, W), kept. For grey images, only brightness and contrast are jittered.
    """
    floats = images.float().div_(255)
    floats = _jitter(_resample(floats, generator), generator)
    return _blur(floats, generator).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


AUGMENT: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "none": lambda images, _generator: images,
    "flip": flip,
    "crop": crop,
    "crop_flip": lambda images, generator: flip(crop(images, generator), generator),  # for CIFAR
    "isic": isic,
}


def _uniform(images: Tensor, generator: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(len(images), generator=generator, device=images.device)


def _resample(images: Tensor, generator: Generator) -> Tensor:
    """Apply resized crop, flips and rotation as one affine map from output to input."""
    height, width = images.shape[2:]
    area = _uniform(images, generator, *CROP_AREA)
    ratio = _uniform(images, generator, *(math.log(r) for r in CROP_RATIO)).exp()
    crop_x = (area * ratio).sqrt().clamp(max=1)  # of the width
    crop_y = (area / ratio).sqrt().clamp(max=1)  # of the height
    centre_x = (1 - crop_x) * _uniform(images, generator, -1, 1)
    centre_y = (1 - crop_y) * _uniform(images, generator, -1, 1)
    mirror_x = torch.where(_uniform(images, generator) < 0.5, -1, 1)
    mirror_y = torch.where(_uniform(images, generator) < 0.5, -1, 1)
    angle = _uniform(images, generator, -math.radians(ROTATION), math.radians(ROTATION))
    cos, sin = angle.cos(), angle.sin()
    aspect = height / width  # the grid's unit is half a side
    x_row = [crop_x * mirror_x * cos, -crop_y * mirror_y * sin * aspect, centre_x]
    y_row = [crop_x * mirror_x * sin / aspect, crop_y * mirror_y * cos, centre_y]
    theta = torch.stack([torch.stack(x_row, dim=1), torch.stack(y_row, dim=1)], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@lru_cache(maxsize=4)
def _yiq(device: torch.device) -> tuple[Tensor, Tensor]:
    to_yiq = torch.tensor(TO_YIQ)
    return to_yiq.to(device), torch.linalg.inv(to_yiq).to(device)


def _jitter(images: Tensor, generator: Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue, by one colour matrix per image."""
    n, channels = images.shape[:2]
    brightness = _uniform(images, generator, 1 - BRIGHTNESS, 1 + BRIGHTNESS).view(n, 1, 1, 1)
    contrast = _uniform(images, generator, 1 - CONTRAST, 1 + CONTRAST).view(n, 1, 1, 1)
    saturation = _uniform(images, generator, 1 - SATURATION, 1 + SATURATION)
    hue = _uniform(images, generator, -math.radians(HUE), math.radians(HUE))
    if channels == 3:
        to_yiq, from_yiq = _yiq(images.device)
        turn = torch.zeros(n, 3, 3, device=images.device)
        turn[:, 0, 0] = 1  # the luma stays
        turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
        turn[:, 2, 1] = saturation * hue.sin()
        turn[:, 1, 2] = -turn[:, 2, 1]
        matrix = from_yiq @ turn @ to_yiq  # (N, 3, 3)
        images = (matrix @ images.flatten(2)).view_as(images)
    images = images * brightness
    level = images.mean((1, 2, 3), keepdim=True)
    return (level + (images - level) * contrast).clamp_(0, 1)


def _blur(images: Tensor, generator: Generator) -> Tensor:
    """Blur half the images, each with its own sigma, by two one-dimensional convolutions."""
    n, channels, height, width = images.shape
    side = min(height, width)
    sigma = _uniform(images, generator, *BLUR_SIGMA) * side
    blurred = _uniform(images, generator) < BLUR_SHARE
    radius = min(math.ceil(3 * BLUR_SIGMA[1] * side), side - 1)
    taps = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-((taps / sigma.view(n, 1)) ** 2) / 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    kernel = torch.where(blurred.view(n, 1), kernel, (taps == 0).float())
    kernel = kernel.repeat_interleave(channels, dim=0).unsqueeze(1)  # (NC, 1, taps)
    flat = F.pad(images.reshape(1, n * channels, height, width), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernel.unsqueeze(3), groups=n * channels)
    return F.conv2d(flat, kernel.unsqueeze(2), groups=n * channels).view_as(images)
