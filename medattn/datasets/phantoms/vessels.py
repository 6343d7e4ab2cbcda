"""The phantoms' vessels: arteries and veins leave the disc, pass the macula and branch twice.

Lengths are in half sides of the image. Paths have the same points at every size, and are painted as
dots half a pixel apart.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from medattn.datasets.phantoms.canvas import paint, pixel, windows

# trunks, vein and artery in turn: heading at first (degrees, 0 is right), turn on the way, length
_TRUNKS = (
    *((-84, 104, 1.60), (-66, 74, 1.55)),  # upper temporal: along the macula's upper border
    *((84, -104, 1.60), (66, -74, 1.55)),  # lower temporal
    *((-124, -40, 0.75), (-106, -30, 0.80)),  # upper nasal
    *((124, 40, 0.75), (106, 30, 0.80)),  # lower nasal
)
_WIDTH = (0.0125, 0.0095)  # of vein and artery: standard deviation of a trunk's profile
_DEPTH = (0.80, 0.55)  # of vein and artery: absorption
_THINNER = 0.62  # the width of a branch over its parent's
_BRANCHES = ((0.14, 0.30, 0.50, 0.72), (0.30, 0.65))  # positions along parents, per generation
_POINTS, _LONGEST = (48, 32, 16), (1.6, 1.1, 0.6)  # of a path, per generation

_COUNTS = [8, 8 * 4, 8 * 4 * 2]  # paths per generation
VESSEL_NUMBERS = (sum(_COUNTS), 6)  # normal numbers per image


def draw_vessels(numbers: Tensor, disc: Tensor, size: int) -> Tensor:
    """Return the absorption, (N, *VESSEL_NUMBERS) normal, disc (N, 2) -> (N, size, size)."""
    trunks, *generations = numbers.clamp(-2.5, 2.5).split(_COUNTS, dim=1)
    angle, turn, length = torch.tensor(_TRUNKS).T
    is_vein = torch.arange(len(_TRUNKS)) % 2 == 0
    start = disc[:, None] + 0.012 * trunks[..., 3:5]
    angle = torch.deg2rad(angle + 7 * trunks[..., 0])
    turn = torch.deg2rad(turn + 14 * trunks[..., 1])
    length = length.expand(len(disc), -1)
    width = torch.where(is_vein, *_WIDTH) * (1 + 0.10 * trunks[..., 5])
    path = _grow(start, angle, turn, length, width, trunks, _POINTS[0])
    depth = torch.where(is_vein, *_DEPTH).expand(len(disc), -1)
    drawn = _draw(path, depth, 0, size)
    for i, (positions, branches) in enumerate(zip(_BRANCHES, generations, strict=True), start=1):
        path = _branch(path, positions, branches, i)
        depth = 0.85 * depth.repeat_interleave(len(positions), dim=1)
        drawn = torch.maximum(drawn, _draw(path, depth, i, size))
    return drawn


def _grow(
    start: Tensor, angle: Tensor, turn: Tensor, length: Tensor, width: Tensor, noise: Tensor, n: int
) -> Tensor:
    """Walk the paths, thinning on the way; return x, y, angle (radians) and width at each point.

    Shape: start (N, P, 2), noise (N, P, 6), others (N, P) -> (N, P, n, 4).
    """
    t = torch.linspace(0, 1, n)
    slow = torch.sin(2 * math.pi * (1.3 * t + noise[..., 2:3])) * noise[..., 4:5]
    fast = torch.sin(2 * math.pi * (3.1 * t + noise[..., 3:4]))
    angles = angle[..., None] + turn[..., None] * t + 0.16 * slow + 0.12 * fast
    step = (length / n)[..., None]
    x = start[..., 0:1] + (angles.cos() * step).cumsum(2)
    y = start[..., 1:2] + (angles.sin() * step).cumsum(2)
    return torch.stack([x, y, angles, width[..., None] * (1 - 0.55 * t)], dim=-1)


def _branch(parents: Tensor, positions: tuple[float, ...], noise: Tensor, i: int) -> Tensor:
    """Grow generation `i` along its parents, on alternating sides, bending back to their angle."""
    n_parents, n_points = parents.shape[1:3]
    at = [int(position * (n_points - 1)) for position in positions]
    x, y, angle, width = parents[:, :, at].flatten(1, 2).unbind(-1)
    side = torch.tensor([1.0, -1.0]).repeat(len(positions) // 2 * n_parents)
    angle = angle + side * (0.75 + 0.20 * noise[..., 0])
    turn = -side * (0.45 + 0.35 * noise[..., 1])
    steps = parents[:, :, 1:, :2] - parents[:, :, :-1, :2]
    parent_length = steps.norm(dim=-1).sum(2, keepdim=True)
    length = (parent_length * (0.64 - 0.35 * torch.tensor(positions))).flatten(1)
    length = (length * (1 + 0.15 * noise[..., 5])).clamp(max=_LONGEST[i])
    start = torch.stack([x, y], dim=-1)
    return _grow(start, angle, turn, length, _THINNER * width, noise, _POINTS[i])


def _draw(path: Tensor, depth: Tensor, generation: int, size: int) -> Tensor:
    """Paint paths (N, P, points, 4) of depths (N, P) as dots; return (N, size, size)."""
    n, n_paths = depth.shape
    n_dots = math.ceil(_LONGEST[generation] / (0.55 * pixel(size)))
    dots = F.interpolate(path.flatten(0, 1).mT, n_dots, mode="linear", align_corners=True).mT
    x, y, _, width = dots.reshape(n, n_paths * n_dots, 4).unbind(-1)

    # a vessel thinner than this is drawn as wide and fainter; a trunk less so, to be seen at 28 px
    thinnest = 0.45 * pixel(size)
    drawn_width = torch.hypot(width, torch.tensor(thinnest))
    fainter = (width / drawn_width) ** (0.5 if generation == 0 else 1.0)
    depth = depth.repeat_interleave(n_dots, dim=1) * fainter
    widest = math.hypot(1.25 * max(_WIDTH) * _THINNER**generation, thinnest)
    flat, dx, dy = windows(torch.stack([x, y], dim=-1), size, 2.2 * widest)
    profile = 1 - (dx**2 + dy**2) / (2.2 * drawn_width[..., None, None]) ** 2
    return paint(depth[..., None, None] * profile.clamp(min=0) ** 2, flat, size)
