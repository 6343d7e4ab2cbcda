"""The potential attention of IDRiD: the part of the aligned images that is known to decide the risk of macular edema.

Paper: global spatial attention, section 4.7 and Fig. 5b, after Deepak and Sivaswamy 2011: "a circular region centered
at fovea and with one optic disc diameter".
Differs from the paper: it does not say how fovea and disc were found. Here they are those of the mean training image,
where the fovea is darker than what surrounds it; the photographs darken towards their border, so that the darkest
place of all lies there.
The official fovea coordinates ("C. Localization") are not part of what this project reads. IDRiD's own rule for risk 2
is exudates within a radius of one disc diameter, which is a circle of two diameters.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medattn.datasets.area import check_size
from medattn.datasets.idrid import load_idrid
from medattn.datasets.idrid_segmentation import idrid_segmentation

# an original pixel is square; what is kept of the images, 3426 x 2848 of them, becomes a square
WIDTH, HEIGHT = 3426, 2848
_SIZE = 224  # the side at which disc and fovea are looked for
_TEMPORAL = (2.0, 3.2)  # where the fovea may lie, in disc diameters from the disc's centre, to the right
_VERTICAL = 1.0  # either way
_SMOOTH = 0.15  # standard deviation of the smoothing, in disc diameters
_AROUND = 0.7  # the same, of what a place is compared with


@dataclass(frozen=True)
class Landmarks:
    """Places (x, y) as shares of the aligned image's width and height, and the disc's diameter in original pixels."""

    disc: tuple[float, float]
    fovea: tuple[float, float]
    diameter: float


def landmarks() -> Landmarks:
    """Find the disc and the fovea of the mean aligned training image.

    The disc's centre and area are the means over the disc masks of the 54 segmented training images. The fovea is the
    place of the mean graded training image's smoothed green channel that is darkest against its surroundings (a
    difference of Gaussians of 0.15 and 0.7 disc diameters), 2 to 3.2 diameters to the right of the disc's centre and at
    most one above or below. Raises as `load_idrid` and `idrid_segmentation` do.
    """
    segmented = idrid_segmentation(_SIZE)
    discs = segmented.discs[[split == "train" for split in segmented.split]].float().mean(0)  # (H, W)
    centres = (torch.arange(_SIZE) + 0.5) / _SIZE
    disc = tuple(float((discs.sum(axis) * centres).sum() / discs.sum()) for axis in (0, 1))
    diameter = 2 * float(discs.mean() * WIDTH * HEIGHT / torch.pi) ** 0.5

    graded = load_idrid(_SIZE)
    green = torch.cat([graded.train.images[:, 1], graded.val.images[:, 1]]).float().mean(0).numpy()  # (H, W)
    pixels = diameter * _SIZE / np.array([HEIGHT, WIDTH])  # a disc diameter along the rows' and the columns' axis
    darkness = gaussian_filter(green, _AROUND * pixels) - gaussian_filter(green, _SMOOTH * pixels)
    right = (centres.numpy() - disc[0]) * WIDTH / diameter  # disc diameters
    below = ((centres.numpy() - disc[1]) * HEIGHT / diameter)[:, None]
    near = (right >= _TEMPORAL[0]) & (right <= _TEMPORAL[1]) & (abs(below) <= _VERTICAL)
    row, column = np.unravel_index(np.where(near, darkness, -np.inf).argmax(), near.shape)
    return Landmarks(disc, (float(centres[column]), float(centres[row])), diameter)


def potential_attention(size: int, diameters: float = 1.0) -> Tensor:
    """Give the circle about the fovea, `diameters` optic disc diameters wide. Shape: (size, size) bool.

    In the squeezed image it is an ellipse, higher than wide. Raises ValueError for a size or width that is none, and
    as `load_idrid` and `idrid_segmentation` do.
    """
    check_size(size)
    if not 0 < diameters < float("inf"):
        raise ValueError(f"diameters={diameters!r} must be a number above 0")
    found = landmarks()
    centres = (torch.arange(size) + 0.5) / size
    x, y = (centres - found.fovea[0]) * WIDTH, (centres - found.fovea[1]) * HEIGHT  # original pixels
    return torch.hypot(x, y[:, None]) <= diameters * found.diameter / 2
