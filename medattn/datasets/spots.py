"""The phantoms' spots: lesions within the region, distractors of the same kind around it."""

import math

import torch
from torch import Tensor

from medattn.datasets.canvas import paint, pixel, windows

LESIONS = ((0, 0), (1, 2), (4, 6))  # fewest and most lesions of each class
MOST_DISTRACTORS = 15  # from 0, whatever the class
RADIUS = (0.050, 0.085)
_N_INSIDE = LESIONS[-1][1]
_SECTORS = _N_INSIDE + MOST_DISTRACTORS  # every spot has a sector of its own, so that no two lie on each other
_MARGIN = 0.02  # between the region's border and any spot
_NOWHERE = math.radians(50)  # the angle around the disc that stays free of distractors
_UNEVEN = 0.12  # of a spot's border

SPOT_NUMBERS = (8, _SECTORS)  # uniform numbers an image needs, and two more for how many spots there are


def draw_spots(
    numbers: Tensor,
    how_many: Tensor,
    labels: Tensor,
    centre: tuple[float, float],
    within: float,
    view: float,
    size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the dark spots, the bright spots and the lesion masks.

    `within` is the region's radius about `centre`, `view` the radius of the field of view.
    Shape: numbers (N, 8, sectors) and how_many (N, 2) uniform, labels (N,) -> three of (N, size, size), the last bool.
    """
    order, along, across, radius, stretch, turn, kind, strength = numbers.unbind(1)  # each (N, sectors)
    n_lesions, n_distractors = _how_many(how_many, labels)
    radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * radius
    largest = radius * 1.25 * (1 + _UNEVEN)
    is_lesion = torch.arange(_SECTORS) < _N_INSIDE

    # angle: the lesions' sectors share the circle, the distractors' leave out the disc on the left
    sector = torch.arange(_SECTORS) - torch.where(is_lesion, 0, _N_INSIDE) + 0.5 + 0.6 * (along - 0.5)
    around = 2 * math.pi * (sector / _N_INSIDE + along[:, :1])
    beside = (2 * math.pi - _NOWHERE) * (sector / MOST_DISTRACTORS - 0.5)
    angle = torch.where(is_lesion, around, beside)
    towards = torch.stack([angle.cos(), angle.sin()], -1)  # (N, sectors, 2)

    # distance from the region's centre: up to its border, or from there to the border of the view
    ahead = towards @ torch.tensor(centre)
    to_view = (ahead**2 - math.hypot(*centre) ** 2 + (view - 0.03 - largest) ** 2).sqrt() - ahead
    nearest = torch.where(is_lesion, torch.tensor(0.13), within + largest + _MARGIN)
    farthest = torch.where(is_lesion, within - largest - _MARGIN, to_view)
    away = (nearest**2 + (farthest**2 - nearest**2).clamp(min=0) * across).sqrt()  # even over the area
    places = torch.tensor(centre) + towards * away[..., None]

    present = torch.cat(
        [_rank(order[:, :_N_INSIDE]) < n_lesions[:, None], _rank(order[:, _N_INSIDE:]) < n_distractors[:, None]], 1
    )
    shape, covers, flat = _shape(places, radius, stretch, turn, size)
    shape = shape * (present * (0.8 + 0.4 * strength))[..., None, None]
    dark = (kind < 0.5)[..., None, None]
    masks = paint((covers & (present & is_lesion)[..., None, None]).float(), flat, size)
    return paint(shape * dark, flat, size), paint(shape * ~dark, flat, size), masks > 0


def _how_many(uniform: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    fewest, most = torch.tensor(LESIONS)[labels].unbind(1)
    return fewest + (uniform[:, 0] * (most - fewest + 1)).long(), (uniform[:, 1] * (MOST_DISTRACTORS + 1)).long()


def _rank(order: Tensor) -> Tensor:
    return order.argsort(1).argsort(1)


def _shape(places, radius, stretch, turn, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give each spot's profile 0..1, the pixels it covers, and their positions: all (N, spots, k, k)."""
    radius, stretch, turn = (number[..., None, None] for number in (radius, 0.8 + 0.45 * stretch, math.pi * turn))
    flat, dx, dy = windows(places, size, 1.8 * RADIUS[1])
    holds_centre = (dx.abs() <= pixel(size) / 2) & (dy.abs() <= pixel(size) / 2)
    dx, dy = (dx * turn.cos() + dy * turn.sin()) / stretch, (dy * turn.cos() - dx * turn.sin()) * stretch
    away, around = torch.hypot(dx, dy), torch.atan2(dy, dx)
    wave = (torch.cos(3 * around + 11 * turn) + torch.cos(5 * around - 7 * turn)) / 2
    border = radius * (1 + _UNEVEN * wave)
    soft = (0.16 * radius).clamp(min=0.3 * pixel(size))
    return torch.sigmoid((border - away) / soft), (away <= border) | holds_centre, flat
