"""The phantoms' vessels: arcades of arteries and veins that leave the disc, bend around the macula and branch twice."""

import math

import torch
from torch import Tensor

from medattn.datasets.canvas import paint, pixel, windows

# trunks: (first heading in degrees, turn along the way, length); negative headings go up, 0 is to the right
_TRUNKS = (
    *((-82, 100, 1.60), (-66, 72, 1.55)),  # upper temporal vein and artery
    *((82, -100, 1.60), (66, -72, 1.55)),  # lower temporal
    *((-122, -40, 0.75), (-106, -30, 0.80)),  # upper nasal
    *((122, 40, 0.75), (106, 30, 0.80)),  # lower nasal
)
_BRANCHES_AT = (0.14, 0.30, 0.46, 0.62, 0.78)  # of the parent's length
_TWIGS_AT = (0.25, 0.50, 0.75)
_N_TRUNKS = len(_TRUNKS)
_N_BRANCHES = _N_TRUNKS * len(_BRANCHES_AT)
_N_TWIGS = _N_BRANCHES * len(_TWIGS_AT)
_WIDTH = (0.0125, 0.0095)  # standard deviation of a trunk's profile: vein, artery
_DEPTH = (0.80, 0.55)  # what a vein and an artery absorb
_STEP = 0.005  # between the points of a path

VESSEL_NUMBERS = (_N_TRUNKS + _N_BRANCHES + _N_TWIGS, 6)  # normal numbers an image needs


def draw_vessels(numbers: Tensor, disc: Tensor, size: int) -> Tensor:
    """Give what the vessels absorb.

    Shape: numbers (N, *VESSEL_NUMBERS) normal, disc (N, 2) -> (N, size, size).
    """
    trunk, branch, twig = numbers.split([_N_TRUNKS, _N_BRANCHES, _N_TWIGS], dim=1)
    heading, turn, length = torch.tensor(_TRUNKS).T
    vein = torch.arange(_N_TRUNKS) % 2 == 0
    width = torch.where(vein, *_WIDTH) * (1 + 0.10 * trunk[..., 5])
    depth = torch.where(vein, *_DEPTH).expand(len(disc), -1)

    start = disc[:, None] + 0.012 * trunk[..., 3:5]
    grown = _grow(
        start,
        torch.deg2rad(heading + 7 * trunk[..., 0]),
        torch.deg2rad(turn + 14 * trunk[..., 1]),
        length,
        width,
        depth,
        trunk,
    )
    drawn = _draw(grown, size)
    for numbers_of, places in ((branch, _BRANCHES_AT), (twig, _TWIGS_AT)):
        grown = _branch(grown, places, numbers_of)
        drawn = torch.maximum(drawn, _draw(grown, size))
    return drawn


def _grow(start, heading, turn, length, width, depth, numbers) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk the paths: points (N, P, K, 2), headings, widths (N, P, K) and depths (N, P)."""
    steps = max(2, round(float(length.max()) / _STEP))
    t = torch.linspace(0, 1, steps)
    wiggle = 0.16 * torch.sin(2 * math.pi * (1.3 * t + numbers[..., 2:3])) * numbers[..., 4:5]
    wiggle = wiggle + 0.12 * torch.sin(2 * math.pi * (3.1 * t + numbers[..., 3:4]))
    headings = heading[..., None] + turn[..., None] * t + wiggle
    step = (length / steps)[..., None]
    moves = torch.stack([headings.cos(), headings.sin()], -1) * step[..., None]
    return start[:, :, None] + moves.cumsum(2), headings, width[..., None] * (1 - 0.55 * t), depth


def _branch(parents, places: tuple[float, ...], numbers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Grow a branch at each place of every parent, on alternating sides, ending along the parent's direction."""
    points, headings, widths, depths = parents
    steps = points.shape[2]
    at = (torch.tensor(places) * (steps - 1)).long()
    start = points[:, :, at].flatten(1, 2)
    side = torch.where(torch.arange(len(places)) % 2 == 0, 1.0, -1.0).repeat(points.shape[1])
    angle = side * (0.75 + 0.20 * numbers[..., 0])
    turn = -side * (0.45 + 0.35 * numbers[..., 1])
    parent_length = (points[:, :, 1:] - points[:, :, :-1]).norm(dim=-1).sum(2)
    length = parent_length[..., None] * (0.62 - 0.35 * torch.tensor(places))
    length = length.flatten(1) * (1 + 0.15 * numbers[..., 5]).clamp(0.5, 1.5)
    width = 0.62 * widths[:, :, at].flatten(1)
    depth = 0.85 * depths.repeat_interleave(len(places), dim=1)
    return _grow(start, headings[:, :, at].flatten(1) + angle, turn, length, width, depth, numbers)


def _draw(grown, size: int) -> Tensor:
    points, _, widths, depths = grown
    stride = max(1, int(0.5 * pixel(size) / _STEP))
    points, widths = points[:, :, ::stride].flatten(1, 2), widths[:, :, ::stride]
    seen = torch.hypot(widths, torch.tensor(0.45 * pixel(size)))  # a line is never thinner than a pixel, but fainter
    depths = (depths[..., None] * widths / seen).flatten(1)[..., None, None]
    seen = seen.flatten(1)[..., None, None]
    flat, dx, dy = windows(points, size, 2.2 * float(seen.max()))
    return paint(depths * torch.exp((dx**2 + dy**2) / (-2 * seen**2)), flat, size)
