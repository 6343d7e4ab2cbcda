"""Phantoms: drawn retinas with known lesions and a known relevant region, so that an attention map can be scored.

Source: this project. They are structured images in the sense of the global attention paper (section 2): the optic disc
lies on the left and the fovea right of the centre in every image, up to a small jitter.
The class is the number of lesions within the region, a circle about the fovea: none 0, mild 1-2, severe 4-6. The same
kind of spots lie outside it, 0-15 whatever the class; half of all spots are dark (like haemorrhages), half bright (like
exudates). So neither the number of spots nor the brightness of the image tells the class: the place does.
Image i of a split is drawn from a generator of its own, seeded by (seed, split, i): it does not depend on how many are
drawn, and another size, contrast or number of channels shows the same eye.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medattn.datasets.canvas import distance, inside
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.spots import SPOT_NUMBERS, draw_spots
from medattn.datasets.vessels import VESSEL_NUMBERS, draw_vessels

CLASSES = ("none", "mild", "severe")
SMALLEST, LARGEST = 28, 224  # sides in pixels

# lengths in half sides of the image
VIEW = 0.95  # radius of the field of view
DISC, DISC_RADIUS = (-0.56, -0.02), 0.16
FOVEA = (0.12, 0.04)
REGION_RADIUS = 0.45  # about FOVEA
JITTER = 0.03  # of disc and fovea, either way

# red, green and blue
PIGMENT = (0.80, 0.37, 0.15)
MELANIN = (0.8, 1.2, 1.4)  # what it absorbs
BLOOD = (0.38, 1.25, 1.35)  # what it absorbs
EXUDATE = (0.99, 0.86, 0.46)
RIM, CUP = (1.00, 0.80, 0.52), (1.00, 0.93, 0.76)  # of the disc
GREY_EXPOSURE = 1.45  # grey images are the green channel, as red-free photographs are

_SCALARS = 16
_PATCHES = ((4, 0.05), (8, 0.035), (16, 0.03))  # cells on a side, strength: uneven pigment
_PIXELS = 64 * 28**2  # drawn at a time: what fits a processor's cache
_SPLITS = ("train", "val", "test")


def phantoms(
    size: int = 28,
    n_train: int = 600,
    n_val: int = 150,
    n_test: int = 300,
    channels: int = 3,
    contrast: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """Draw a set of phantoms, its classes in equal parts, with lesion masks and the relevant region.

    `size` is 28 to 224 pixels, `channels` 1 (grey) or 3 (colour); `contrast` multiplies the visibility of lesions and
    distractors: 0 hides them. Raises ValueError for anything else.
    """
    counts = {"n_train": n_train, "n_val": n_val, "n_test": n_test}
    for name, count in counts.items():
        if not _is_whole(count, 1):
            raise ValueError(f"{name}={count!r} must be a whole number from 1")
    train, val, test = (
        draw(count, size, split, channels, contrast, seed)
        for split, count in zip(_SPLITS, counts.values(), strict=True)
    )
    return Dataset("phantoms", size, CLASSES, train, val, test, region(size))


def region(size: int) -> Tensor:
    """Give the relevant region: all lesions of all images lie within it. Shape: (size, size) bool."""
    return distance(size, torch.tensor([FOVEA]))[0] <= REGION_RADIUS


def draw(
    n: int, size: int = 28, split: str = "train", channels: int = 3, contrast: float = 1.0, seed: int = 0
) -> Split:
    """Draw the first `n` phantoms of a split; see `phantoms`. Labels are 0, 1, 2, 0, 1, 2, ..."""
    if not _is_whole(size, SMALLEST, LARGEST):
        raise ValueError(f"size={size!r} must be a whole number of pixels from {SMALLEST} to {LARGEST}")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels!r} must be 1 (grey) or 3 (colour)")
    if isinstance(contrast, bool) or not isinstance(contrast, int | float) or not 0 <= contrast < math.inf:
        raise ValueError(f"contrast={contrast!r} must be a number from 0 (spots are invisible); 1 is the default")
    if not _is_whole(seed, 0):
        raise ValueError(f"seed={seed!r} must be a whole number from 0")
    chunk = max(1, _PIXELS // size**2)
    drawn = [_chunk(start, chunk, size, split, channels, contrast, seed) for start in range(0, n, chunk)]
    images, masks = (torch.cat(parts)[:n] for parts in zip(*drawn, strict=True))
    return Split(images, torch.arange(n) % len(CLASSES), masks)


@lru_cache(maxsize=64)  # 12 MB at any size: a training that follows on another finds its images drawn
def _chunk(start: int, n: int, size: int, split: str, channels: int, contrast: float, seed: int) -> tuple[Tensor, ...]:
    """Draw `n` phantoms; always a whole chunk: the same arithmetic however many are asked for."""
    index = torch.arange(start, start + n)
    return _draw(*_random_numbers(index, size, split, channels, seed), index % len(CLASSES), size, contrast)


def _is_whole(number: object, lowest: int, highest: float = math.inf) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and lowest <= number <= highest


def _random_numbers(index: Tensor, size: int, split: str, channels: int, seed: int) -> tuple[Tensor, ...]:
    """Every image's own numbers: uniform scalars and spots; normal vessels, patches and noise."""
    normal = [VESSEL_NUMBERS, *((1, side, side) for side, _ in _PATCHES), (3, size, size)]
    rows = []
    for i in index.tolist():
        generator = np.random.default_rng((seed, _SPLITS.index(split), i))
        rows.append(
            [generator.random(shape, dtype=np.float32) for shape in (_SCALARS, SPOT_NUMBERS)]
            + [generator.standard_normal(shape, dtype=np.float32) for shape in normal]
        )
    scalars, spots, vessels, *patches, noise = (
        torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)
    )
    return scalars, spots, vessels, patches, noise if channels == 3 else noise[:, :1]


def _draw(scalars, spots, vessels, patches, noise, labels, size: int, contrast: float) -> tuple[Tensor, Tensor]:
    """Give images (N, C, H, W) uint8 and lesion masks (N, H, W), from layer to layer as light passes them."""
    scalar = scalars.unbind(1)  # each (N,)
    disc = torch.tensor(DISC) + JITTER * (2 * scalars[:, 0:2] - 1)
    fovea = torch.tensor(FOVEA) + JITTER * (2 * scalars[:, 2:4] - 1)
    from_disc, from_fovea = distance(size, disc), distance(size, fovea)

    # pigment, more of it in some patches and at the macula
    image = _column(torch.tensor(PIGMENT)) * (0.85 + 0.30 * _maps(scalar[4])).unsqueeze(1)
    melanin = 0.30 * torch.exp(-((from_fovea / 0.30) ** 2)) + 0.42 * torch.exp(-((from_fovea / 0.11) ** 2))
    melanin = melanin + 0.25 * (_maps(scalar[5]) - 0.5)
    for cells, (_, strength) in zip(patches, _PATCHES, strict=True):
        melanin = melanin + strength * F.interpolate(cells, (size, size), mode="bicubic")[:, 0]
    image = _absorb(image, melanin, MELANIN)

    # the disc, paler at its cup
    radius = DISC_RADIUS * (0.9 + 0.2 * _maps(scalar[6]))
    image = image * (1 + 0.10 * torch.exp(-((from_disc / 0.30) ** 2))).unsqueeze(1)
    rim = inside(from_disc, radius, 0.020, size)
    image = _cover(image, 0.88 * rim, RIM)
    image = _cover(image, 0.75 * inside(from_disc, radius * (0.35 + 0.25 * _maps(scalar[7])), 0.035, size), CUP)

    # none in the fovea's middle; fainter on the disc, where they crowd
    seen = (0.15 + 0.85 * ((from_fovea - 0.06) / 0.25).clamp(0, 1)) * (1 - 0.6 * rim)
    image = _absorb(image, seen * draw_vessels(vessels, disc, size), BLOOD)

    dark, bright, masks = draw_spots(spots, scalars[:, 8:10], labels, FOVEA, REGION_RADIUS, VIEW, size)
    image = _absorb(image, 0.75 * contrast * dark, BLOOD)
    image = _cover(image, (0.62 * contrast * bright).clamp(max=1), EXUDATE)

    # the camera: uneven light, dark surround, noise
    centre = torch.tensor([[0.0, 0.0]])
    lamp = 2 * math.pi * scalar[10]
    brightest = torch.stack([lamp.cos(), lamp.sin()], 1) * (0.1 + 0.5 * scalars[:, 11:12])
    light = (1.08 - 0.30 * distance(size, brightest) ** 2) * (0.90 + 0.20 * _maps(scalar[12]))
    view = inside(distance(size, centre), VIEW, 0.012, size)
    image = image * (light.clamp(min=0.1) * view).unsqueeze(1) + 0.015
    if noise.shape[1] == 1:
        image = image[:, 1:2] * GREY_EXPOSURE
    image = image + noise * (0.006 + 0.012 * view.unsqueeze(1))
    return (image * 255).round().clamp(0, 255).to(torch.uint8), masks


def _maps(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1)  # one for each image, against (N, H, W)


def _column(colour: Tensor) -> Tensor:
    return colour.view(3, 1, 1)


def _absorb(image: Tensor, depth: Tensor, spectrum: tuple[float, float, float]) -> Tensor:
    """Beer and Lambert: light passes `depth` (N, H, W) of a stuff."""
    return image * torch.exp(-depth.unsqueeze(1) * _column(torch.tensor(spectrum)))


def _cover(image: Tensor, opacity: Tensor, colour: tuple[float, float, float]) -> Tensor:
    return torch.lerp(image, _column(torch.tensor(colour)), opacity.unsqueeze(1))
