"""The canvas of the phantoms: where the retina's parts lie, a pixel grid, and painting in windows.

Lengths are in half sides of the image, and y points down. The centres of pixels lie within -1 to 1,
and a pixel is 2 / size wide. No edge is sharper than a pixel, as if drawn large and shrunk.
"""

import torch
from torch import Tensor

VIEW = 0.95  # radius of the field of view
DISC = (-0.56, -0.02)
FOVEA = (0.12, 0.04)
REGION_RADIUS = 0.45  # about FOVEA


def pixel(size: int) -> float:
    """Return the width of a pixel."""
    return 2 / size


def distance(size: int, points: Tensor) -> Tensor:
    """Return every pixel's distance from a point. Shape: (N, 2) of x and y -> (N, size, size)."""
    axis = (torch.arange(size) + 0.5) * pixel(size) - 1
    x, y = points[:, 0].view(-1, 1, 1), points[:, 1].view(-1, 1, 1)
    return torch.hypot(axis - x, axis.view(-1, 1) - y)


def inside(distances: Tensor, radius: Tensor | float, softness: float, size: int) -> Tensor:
    """Return 1 within the radius, 0 outside, 1/2 at the edge, which is `softness` wide or more."""
    return torch.sigmoid((radius - distances) / max(softness, 0.4 * pixel(size)))


def windows(points: Tensor, size: int, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels around each point, as far as `reach`.

    Shape: (N, M, 2) -> three of (N, M, k, k): a pixel's position in the flattened image (size**2
    outside of it), and x and y from the point to the pixel's centre.
    """
    half = int(reach / pixel(size) + 0.5)  # a pixel's centre is up to half a pixel away
    steps = torch.arange(-half, half + 1)
    nearest = ((points + 1) / pixel(size)).floor().long()  # (N, M, 2): column and row
    columns, rows = nearest[..., 0, None] + steps, nearest[..., 1, None] + steps  # (N, M, k)
    dx = (columns + 0.5) * pixel(size) - 1 - points[..., 0, None]
    dy = (rows + 0.5) * pixel(size) - 1 - points[..., 1, None]
    in_column, in_row = (columns >= 0) & (columns < size), (rows >= 0) & (rows < size)
    flat = rows[..., :, None] * size + columns[..., None, :]
    flat = flat.where(in_row[..., :, None] & in_column[..., None, :], size**2)
    return flat, *torch.broadcast_tensors(dx[..., None, :], dy[..., :, None])


def paint(values: Tensor, flat: Tensor, size: int) -> Tensor:
    """Paint windows of values (N, M, k, k) >= 0, the highest on top; return (N, size, size)."""
    n = len(values)
    canvas = values.new_zeros(n, size**2 + 1)  # the last one takes what lies outside
    canvas.scatter_reduce_(1, flat.flatten(1), values.flatten(1), "amax")
    return canvas[:, :-1].view(n, size, size)
