"""The phantoms' vessels: arcades of arteries and veins that leave the disc, bend around the macula and branch twice.

Lengths are in half sides of the image. A path is grown from a fixed number of points, whatever the image's size, and
painted as dots half a pixel apart.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from medattn.datasets.canvas import paint, pixel, windows

# trunks, vein and artery by turns: (first heading in degrees, turn along the way, length); heading 0 is to the right
_TRUNKS = (
    *((-84, 104, 1.60), (-66, 74, 1.55)),  # upper temporal: along the upper border of the macula
    *((84, -104, 1.60), (66, -74, 1.55)),  # lower temporal
    *((-124, -40, 0.75), (-106, -30, 0.80)),  # upper nasal
    *((124, 40, 0.75), (106, 30, 0.80)),  # lower nasal
)
_WIDTH = (0.0125, 0.0095)  # standard deviation of a trunk's profile: vein, artery
_DEPTH = (0.80, 0.55)  # what a vein and an artery absorb
_THINNER = 0.62  # a branch than its parent
_BRANCHES = ((0.14, 0.30, 0.50, 0.72), (0.30, 0.65))  # where along their parents, generation by generation
_POINTS = (48, 32, 16)  # of a path
_LONGEST = (1.6, 1.1, 0.6)

_COUNTS = [len(_TRUNKS)]
for _places in _BRANCHES:
    _COUNTS.append(_COUNTS[-1] * len(_places))
VESSEL_NUMBERS = (sum(_COUNTS), 6)  # normal numbers an image needs


def draw_vessels(numbers: Tensor, disc: Tensor, size: int) -> Tensor:
    """Give what the vessels absorb. Shape: numbers (N, *VESSEL_NUMBERS) normal, disc (N, 2) -> (N, size, size)."""
    trunks, *generations = numbers.clamp(-2.5, 2.5).split(_COUNTS, dim=1)
    heading, turn, length = torch.tensor(_TRUNKS).T
    vein = torch.arange(len(_TRUNKS)) % 2 == 0
    path = _grow(
        start=disc[:, None] + 0.012 * trunks[..., 3:5],
        heading=torch.deg2rad(heading + 7 * trunks[..., 0]),
        turn=torch.deg2rad(turn + 14 * trunks[..., 1]),
        length=length.expand(len(disc), -1),
        width=torch.where(vein, *_WIDTH) * (1 + 0.10 * trunks[..., 5]),
        numbers=trunks,
        n_points=_POINTS[0],
    )
    depth = torch.where(vein, *_DEPTH).expand(len(disc), -1)
    drawn = _draw(path, depth, 0, size)
    for generation, (places, own) in enumerate(zip(_BRANCHES, generations, strict=True), start=1):
        path = _branch(path, places, own, generation)
        depth = 0.85 * depth.repeat_interleave(len(places), dim=1)
        drawn = torch.maximum(drawn, _draw(path, depth, generation, size))
    return drawn


def _grow(start, heading, turn, length, width, numbers, n_points: int) -> Tensor:
    """Walk the paths, thinning on the way. Shape: start (N, P, 2), others (N, P) -> (N, P, points, 4).

    The last axis is x, y, heading in radians, width.
    """
    t = torch.linspace(0, 1, n_points)
    slow = torch.sin(2 * math.pi * (1.3 * t + numbers[..., 2:3])) * numbers[..., 4:5]
    fast = torch.sin(2 * math.pi * (3.1 * t + numbers[..., 3:4]))
    headings = heading[..., None] + turn[..., None] * t + 0.16 * slow + 0.12 * fast
    step = (length / n_points)[..., None]
    x = start[..., 0:1] + (headings.cos() * step).cumsum(2)
    y = start[..., 1:2] + (headings.sin() * step).cumsum(2)
    return torch.stack([x, y, headings, width[..., None] * (1 - 0.55 * t)], dim=-1)


def _branch(parents: Tensor, places: tuple[float, ...], numbers: Tensor, generation: int) -> Tensor:
    """Grow a branch at each place of every parent, on alternating sides, bending back to the parent's direction."""
    n_parents, n_points = parents.shape[1:3]
    at = [int(place * (n_points - 1)) for place in places]
    x, y, heading, width = parents[:, :, at].flatten(1, 2).unbind(-1)
    side = torch.tensor([1.0, -1.0]).repeat(len(places) // 2 * n_parents)
    parent_length = (parents[:, :, 1:, :2] - parents[:, :, :-1, :2]).norm(dim=-1).sum(2, keepdim=True)
    length = (parent_length * (0.64 - 0.35 * torch.tensor(places))).flatten(1) * (1 + 0.15 * numbers[..., 5])
    return _grow(
        start=torch.stack([x, y], dim=-1),
        heading=heading + side * (0.75 + 0.20 * numbers[..., 0]),
        turn=-side * (0.45 + 0.35 * numbers[..., 1]),
        length=length.clamp(max=_LONGEST[generation]),
        width=_THINNER * width,
        numbers=numbers,
        n_points=_POINTS[generation],
    )


def _draw(path: Tensor, depth: Tensor, generation: int, size: int) -> Tensor:
    """Paint paths (N, P, points, 4) of depths (N, P) as dots. Shape: -> (N, size, size)."""
    n, n_paths = depth.shape
    n_dots = math.ceil(_LONGEST[generation] / (0.55 * pixel(size)))
    dots = F.interpolate(path.flatten(0, 1).mT, n_dots, mode="linear", align_corners=True).mT
    x, y, _, width = dots.reshape(n, n_paths * n_dots, 4).unbind(-1)

    thinnest = 0.45 * pixel(size)  # a thinner vessel is drawn this wide and fainter; a trunk less so, to be seen at 28
    seen = torch.hypot(width, torch.tensor(thinnest))
    depth = depth.repeat_interleave(n_dots, dim=1) * (width / seen) ** (0.5 if generation == 0 else 1.0)
    widest = math.hypot(1.25 * max(_WIDTH) * _THINNER**generation, thinnest)
    flat, dx, dy = windows(torch.stack([x, y], dim=-1), size, 2.2 * widest)
    profile = 1 - (dx**2 + dy**2) / (2.2 * seen[..., None, None]) ** 2
    return paint(depth[..., None, None] * profile.clamp(min=0) ** 2, flat, size)
