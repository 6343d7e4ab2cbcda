"""What the phantoms are drawn on: a pixel grid, soft edges, and small shapes painted in windows of their own.

Lengths are in half sides of the image, y points down: x and y of a pixel's centre lie within -1 to 1, and a pixel is
2 / size wide. An edge or a line is never sharper than a pixel, which stands in for drawing large and shrinking.
"""

import torch
from torch import Tensor


def pixel(size: int) -> float:
    """Give the width of a pixel."""
    return 2 / size


def distance(size: int, places: Tensor) -> Tensor:
    """Give every pixel's distance from a place. Shape: (N, 2) of x and y -> (N, size, size)."""
    axis = (torch.arange(size) + 0.5) * pixel(size) - 1
    x, y = places[:, 0].view(-1, 1, 1), places[:, 1].view(-1, 1, 1)
    return torch.hypot(axis - x, axis.view(-1, 1) - y)


def inside(distances: Tensor, radius: Tensor | float, softness: float, size: int) -> Tensor:
    """Give 1 within the radius, 0 outside, 1/2 at the edge, which is `softness` or half a pixel wide."""
    return torch.sigmoid((radius - distances) / max(softness, 0.4 * pixel(size)))


def windows(places: Tensor, size: int, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """Give the pixels around each place, as far as `reach`.

    Shape: (N, M, 2) -> three of (N, M, k, k): the pixel's position in the flattened image (size**2 where it would lie
    outside), and x and y from the place to its centre.
    """
    half = int(reach / pixel(size) + 0.5)  # the nearest pixel's centre is up to half a pixel away
    steps = torch.arange(-half, half + 1)
    nearest = ((places + 1) / pixel(size)).floor().long()  # (N, M, 2): column and row
    columns, rows = (nearest[..., i, None] + steps for i in (0, 1))  # (N, M, k)
    dx, dy = ((at + 0.5) * pixel(size) - 1 - places[..., i, None] for i, at in enumerate((columns, rows)))
    within = [(at >= 0) & (at < size) for at in (columns, rows)]
    flat = rows[..., :, None] * size + columns[..., None, :]
    flat = flat.where(within[1][..., :, None] & within[0][..., None, :], size**2)
    return flat, *torch.broadcast_tensors(dx[..., None, :], dy[..., :, None])


def paint(values: Tensor, flat: Tensor, size: int) -> Tensor:
    """Paint windows of values from 0 up, the highest where they overlap. Shape: (N, M, k, k) -> (N, size, size)."""
    n = len(values)
    canvas = values.new_zeros(n, size**2 + 1)  # the last one takes what lies outside
    canvas.scatter_reduce_(1, flat.flatten(1), values.flatten(1), "amax")
    return canvas[:, :-1].view(n, size, size)
