"""The phantoms' spots: lesions within the region, distractors of the same kind around it."""

import math

import torch
from torch import Tensor

from medattn.datasets.phantoms.canvas import FOVEA, REGION_RADIUS, VIEW, paint, pixel, windows

N_LESIONS = ((0, 0), (1, 2), (4, 6))  # fewest and most, per class
MOST_DISTRACTORS = 15  # from 0, in every class
RADIUS = (0.050, 0.085)
_N_INSIDE = N_LESIONS[-1][1]
_SECTORS = _N_INSIDE + MOST_DISTRACTORS  # one per spot, so that no two lie on each other
_MARGIN = 0.02  # between the region's border and any spot
_FREE = math.radians(50)  # the angle around the disc without distractors
_UNEVEN = 0.12  # of a spot's border

SPOT_NUMBERS = (8, _SECTORS)  # uniform numbers per image; two more decide how many spots it has


def draw_spots(
    numbers: Tensor, counts: Tensor, labels: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the dark spots, the bright spots and the lesion masks.

    Shape: numbers (N, *SPOT_NUMBERS) and counts (N, 2) uniform, labels (N,) -> three of
    (N, size, size), the last bool.
    """
    order, along, across, radius, stretch, turn, kind, strength = numbers.unbind(1)  # (N, sectors)
    radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * radius
    largest = radius * 1.25 * (1 + _UNEVEN)
    position = torch.arange(_SECTORS)
    is_lesion = position < _N_INSIDE

    # angle: the lesions' sectors share the circle, the distractors' leave out the disc on the left
    sector = position - torch.where(is_lesion, 0, _N_INSIDE) + 0.5 + 0.6 * (along - 0.5)
    around = 2 * math.pi * (sector / _N_INSIDE + along[:, :1])
    beside = (2 * math.pi - _FREE) * (sector / MOST_DISTRACTORS - 0.5)
    angle = torch.where(is_lesion, around, beside)
    towards = torch.stack([angle.cos(), angle.sin()], -1)  # (N, sectors, 2)

    # distance from the region's centre: up to its border, or from there to the border of the view
    ahead = towards @ torch.tensor(FOVEA)
    to_view = (ahead**2 - math.hypot(*FOVEA) ** 2 + (VIEW - 0.03 - largest) ** 2).sqrt() - ahead
    nearest = torch.where(is_lesion, torch.tensor(0.13), REGION_RADIUS + largest + _MARGIN)
    farthest = torch.where(is_lesion, REGION_RADIUS - largest - _MARGIN, to_view)
    squared = nearest**2 + (farthest**2 - nearest**2).clamp(min=0) * across  # even over the area
    points = torch.tensor(FOVEA) + towards * squared.sqrt()[..., None]

    fewest, most = torch.tensor(N_LESIONS)[labels].unbind(1)
    n_lesions = fewest + (counts[:, 0] * (most - fewest + 1)).long()
    n_distractors = (counts[:, 1] * (MOST_DISTRACTORS + 1)).long()
    ranks = [part.argsort(1).argsort(1) for part in order.tensor_split([_N_INSIDE], 1)]
    present = torch.cat([ranks[0] < n_lesions[:, None], ranks[1] < n_distractors[:, None]], 1)
    shape, covers, flat = _shape(points, radius, stretch, turn, size)
    shape = shape * (present * (0.8 + 0.4 * strength))[..., None, None]
    dark = (kind < 0.5)[..., None, None]
    masks = paint((covers & (present & is_lesion)[..., None, None]).float(), flat, size)
    return paint(shape * dark, flat, size), paint(shape * ~dark, flat, size), masks > 0


def _shape(
    points: Tensor, radius: Tensor, stretch: Tensor, turn: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each spot's profile 0..1, the pixels it covers, and their positions.

    Shape: points (N, spots, 2), others (N, spots) -> three of (N, spots, k, k).
    """
    radius, stretch, turn = radius[..., None, None], stretch[..., None, None], turn[..., None, None]
    stretch, turn = 0.8 + 0.45 * stretch, math.pi * turn
    flat, dx, dy = windows(points, size, 1.8 * RADIUS[1])
    holds_centre = (dx.abs() <= pixel(size) / 2) & (dy.abs() <= pixel(size) / 2)
    x, y = dx * turn.cos() + dy * turn.sin(), dy * turn.cos() - dx * turn.sin()
    x, y = x / stretch, y * stretch
    away, around = torch.hypot(x, y), torch.atan2(y, x)
    wave = (torch.cos(3 * around + 11 * turn) + torch.cos(5 * around - 7 * turn)) / 2
    border = radius * (1 + _UNEVEN * wave)
    soft = (0.16 * radius).clamp(min=0.3 * pixel(size))
    return torch.sigmoid((border - away) / soft), (away <= border) | holds_centre, flat
