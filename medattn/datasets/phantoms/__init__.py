"""Phantoms: drawn retinas with known lesions and a known relevant region, to score attention maps.

Source: this project. They are structured images in the sense of the global attention paper (section
2): in every image the optic disc lies on the left and the fovea right of the centre, with a jitter.
The class is the number of lesions within the region, a circle about the fovea: none 0, mild 1-2,
severe 4-6. Outside it lie 0-15 spots of the same kind in every class. Half of all spots are dark
like haemorrhages, half bright like exudates. So only the places of the spots tell the class.
A generator seeded by (seed, split, i) draws image i of a split, however many are drawn. At another
size, contrast or number of channels it shows the same eye.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from medattn.datasets.dataset import SPLITS, Dataset, Split, check_size, check_whole
from medattn.datasets.phantoms.canvas import DISC, FOVEA, REGION_RADIUS, VIEW, distance, inside
from medattn.datasets.phantoms.spots import SPOT_NUMBERS, draw_spots
from medattn.datasets.phantoms.vessels import VESSEL_NUMBERS, draw_vessels

CLASSES = ("none", "mild", "severe")
_SMALLEST, _LARGEST = 28, 224  # px

_DISC_RADIUS, _JITTER = 0.16, 0.03  # half sides of the image; disc and fovea jitter either way

RGB = tuple[float, float, float]
_PIGMENT, _EXUDATE = (0.80, 0.37, 0.15), (0.99, 0.86, 0.46)  # colours
_RIM, _CUP = (1.00, 0.80, 0.52), (1.00, 0.93, 0.76)  # colours of the disc
_MELANIN, _BLOOD = (0.8, 1.2, 1.4), (0.38, 1.25, 1.35)  # absorption
_GREY_EXPOSURE = 1.45  # grey images are the green channel, as red-free photographs are

_N_SCALARS = 16
_PATCHES = ((4, 0.05), (8, 0.035), (16, 0.03))  # uneven pigment: cells per side, strength
_PIXELS = 64 * 28**2  # drawn at a time; they fit a processor's cache


def phantoms(
    size: int = 28,
    n_train: int = 600,
    n_val: int = 150,
    n_test: int = 300,
    channels: int = 3,
    contrast: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """Draw a set of phantoms with balanced classes, lesion masks and the relevant region.

    `size` is 28 to 224 pixels, `channels` 1 (grey) or 3 (colour). `contrast` multiplies the
    visibility of all spots; 0 hides them. Raises ValueError for anything else.
    """
    counts = {"train": n_train, "val": n_val, "test": n_test}
    for split, n in counts.items():
        check_whole(f"n_{split}", n, 1)
    train, val, test = (draw(n, size, s, channels, contrast, seed) for s, n in counts.items())
    return Dataset("phantoms", size, CLASSES, train, val, test, region(size))


def region(size: int) -> Tensor:
    """Return the relevant region, which holds every lesion. Shape: (size, size) bool."""
    return distance(size, torch.tensor([FOVEA]))[0] <= REGION_RADIUS


def draw(
    n: int,
    size: int = 28,
    split: str = "train",
    channels: int = 3,
    contrast: float = 1.0,
    seed: int = 0,
) -> Split:
    """Draw the first `n` phantoms of a split, with labels 0, 1, 2, 0, ...; see `phantoms`."""
    check_size(size, _SMALLEST, _LARGEST)
    if channels not in (1, 3):
        raise ValueError(f"channels={channels!r} must be 1 (grey) or 3 (colour)")
    is_number = isinstance(contrast, int | float) and not isinstance(contrast, bool)
    if not is_number or not 0 <= contrast < math.inf:
        raise ValueError(f"contrast={contrast!r} must be a number from 0, which hides all spots")
    check_whole("seed", seed, 0)
    step = max(1, _PIXELS // size**2)
    starts = range(0, n, step)
    drawn = [_chunk(start, step, size, split, channels, contrast, seed) for start in starts]
    images, masks = (torch.cat(parts)[:n] for parts in zip(*drawn, strict=True))
    return Split(images, torch.arange(n) % len(CLASSES), masks)


@lru_cache(maxsize=64)  # 12 MB at any size; a second training finds its images drawn
def _chunk(
    start: int, n: int, size: int, split: str, channels: int, contrast: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw images (n, C, H, W) uint8 and lesion masks (n, H, W), in the order that light passes.

    `n` is always a whole chunk, so that the arithmetic does not depend on how many are needed.
    """
    index = torch.arange(start, start + n)
    scalars, spots, vessels, patches, noise = _random_numbers(index, size, split, channels, seed)
    scalar = scalars[..., None, None].unbind(1)  # each (N, 1, 1)
    disc = torch.tensor(DISC) + _JITTER * (2 * scalars[:, 0:2] - 1)
    fovea = torch.tensor(FOVEA) + _JITTER * (2 * scalars[:, 2:4] - 1)
    from_disc, from_fovea = distance(size, disc), distance(size, fovea)

    # pigment, with more melanin in some patches and at the macula
    image = torch.tensor(_PIGMENT).view(3, 1, 1) * (0.85 + 0.30 * scalar[4]).unsqueeze(1)
    wide, narrow = (torch.exp(-((from_fovea / radius) ** 2)) for radius in (0.30, 0.11))
    melanin = 0.30 * wide + 0.42 * narrow + 0.25 * (scalar[5] - 0.5)
    for cells, (_, strength) in zip(patches, _PATCHES, strict=True):
        melanin = melanin + strength * F.interpolate(cells, (size, size), mode="bicubic")[:, 0]
    image = _absorb(image, melanin, _MELANIN)

    # the disc, paler at its cup
    radius = _DISC_RADIUS * (0.9 + 0.2 * scalar[6])
    image = image * (1 + 0.10 * torch.exp(-((from_disc / 0.30) ** 2))).unsqueeze(1)
    rim = inside(from_disc, radius, 0.020, size)
    cup = inside(from_disc, radius * (0.35 + 0.25 * scalar[7]), 0.035, size)
    image = _cover(_cover(image, 0.88 * rim, _RIM), 0.75 * cup, _CUP)

    # vessels: none in the fovea's middle; fainter on the disc, where they crowd
    visible = (0.15 + 0.85 * ((from_fovea - 0.06) / 0.25).clamp(0, 1)) * (1 - 0.6 * rim)
    image = _absorb(image, visible * draw_vessels(vessels, disc, size), _BLOOD)

    dark, bright, masks = draw_spots(spots, scalars[:, 8:10], index % len(CLASSES), size)
    image = _absorb(image, 0.75 * contrast * dark, _BLOOD)
    image = _cover(image, (0.62 * contrast * bright).clamp(max=1), _EXUDATE)

    # the camera: uneven light, dark surround, noise
    angle = 2 * math.pi * scalars[:, 10]
    brightest = torch.stack([angle.cos(), angle.sin()], 1) * (0.1 + 0.5 * scalars[:, 11:12])
    light = (1.08 - 0.30 * distance(size, brightest) ** 2) * (0.90 + 0.20 * scalar[12])
    view = inside(distance(size, torch.zeros(1, 2)), VIEW, 0.012, size)
    image = image * (light.clamp(min=0.1) * view).unsqueeze(1) + 0.015
    if channels == 1:
        image = image[:, 1:2] * _GREY_EXPOSURE
    image = image + noise * (0.006 + 0.012 * view.unsqueeze(1))
    return (image * 255).round().clamp(0, 255).to(torch.uint8), masks


def _random_numbers(
    index: Tensor, size: int, split: str, channels: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor]:
    """Return each image's uniform scalars and spots, and its normal vessels, patches and noise."""
    normal = [VESSEL_NUMBERS, *((1, side, side) for side, _ in _PATCHES), (3, size, size)]
    rows = []
    for i in index.tolist():
        generator = np.random.default_rng((seed, SPLITS.index(split), i))
        row = [generator.random(shape, np.float32) for shape in (_N_SCALARS, SPOT_NUMBERS)]
        row += [generator.standard_normal(shape, np.float32) for shape in normal]
        rows.append(row)
    columns = [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]
    scalars, spots, vessels, *patches, noise = columns
    return scalars, spots, vessels, patches, noise[:, :channels]


def _absorb(image: Tensor, depth: Tensor, spectrum: RGB) -> Tensor:
    """Return the light that has passed `depth` (N, H, W) of a substance (Beer and Lambert)."""
    return image * torch.exp(-depth.unsqueeze(1) * torch.tensor(spectrum).view(3, 1, 1))


def _cover(image: Tensor, opacity: Tensor, colour: RGB) -> Tensor:
    return torch.lerp(image, torch.tensor(colour).view(3, 1, 1), opacity.unsqueeze(1))
