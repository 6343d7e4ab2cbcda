"""The potential attention of IDRiD: the part of aligned images that decides the risk of edema.

Paper: global spatial attention, section 4.7 and Fig. 5b, after Deepak and Sivaswamy 2011: "a
circular region centered at fovea and with one optic disc diameter".
Differs from the paper: it does not say how it found fovea and disc; here they are those of the mean
training image. (IDRiD's own rule for risk 2 is exudates within a radius of one disc diameter, which
is a circle of two diameters. Its fovea coordinates, "C. Localization", are not read.)
"""

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.dataset import check_size
from medattn.datasets.idrid.grading import load_idrid
from medattn.datasets.idrid.segmentation import idrid_segmentation

WIDTH, HEIGHT = 3426, 2848  # original pixels, of the part of an image that becomes a square
_SIZE = 224  # px; the side at which disc and fovea are searched
_RIGHT, _BELOW = (2.0, 3.2), 1.0  # disc diameters from the disc to the fovea; or above
_SMOOTH, _AROUND = 0.15, 0.7  # disc diameters: deviation of the smoothing, the surroundings


def landmarks() -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return the disc's centre, the fovea, and the disc's diameter in original pixels.

    Both are (x, y) in shares of the mean aligned training image. The disc's centre and area are
    means over the disc masks of the segmented training images. The fovea is where the green channel
    of the graded training images is darkest against its surroundings, by a difference of Gaussians,
    2 to 3.2 disc diameters to the right of the disc.
    """
    from scipy.ndimage import gaussian_filter

    segmented = idrid_segmentation(_SIZE)
    is_train = [split == "train" for split in segmented.split]
    discs = segmented.discs[is_train].float().mean(0)  # (H, W)
    centres = (torch.arange(_SIZE) + 0.5) / _SIZE
    x, y = (float((discs.sum(axis) * centres).sum() / discs.sum()) for axis in (0, 1))
    diameter = 2 * float(discs.mean() * WIDTH * HEIGHT / torch.pi) ** 0.5

    data = load_idrid(_SIZE)
    images = torch.cat([data.train.images[:, 1], data.val.images[:, 1]])
    green = images.float().mean(0).numpy()  # (H, W)
    pixels = diameter * _SIZE / np.array([HEIGHT, WIDTH])  # per disc diameter, along both axes
    darkness = gaussian_filter(green, _AROUND * pixels) - gaussian_filter(green, _SMOOTH * pixels)
    right = (centres.numpy() - x) * WIDTH / diameter  # disc diameters
    below = ((centres.numpy() - y) * HEIGHT / diameter)[:, None]
    near = (right >= _RIGHT[0]) & (right <= _RIGHT[1]) & (abs(below) <= _BELOW)
    row, column = np.unravel_index(np.where(near, darkness, -np.inf).argmax(), near.shape)
    return (x, y), (float(centres[column]), float(centres[row])), diameter


def potential_attention(size: int, diameters: float = 1.0) -> Tensor:
    """Return the circle about the fovea, `diameters` optic disc diameters wide.

    It is an ellipse in the squeezed image, higher than wide. Shape: (size, size) bool.
    """
    check_size(size)
    if not 0 < diameters < float("inf"):
        raise ValueError(f"diameters={diameters!r} must be a number above 0")
    _, fovea, diameter = landmarks()
    centres = (torch.arange(size) + 0.5) / size
    x, y = (centres - fovea[0]) * WIDTH, (centres - fovea[1]) * HEIGHT  # original pixels
    return torch.hypot(x, y[:, None]) <= diameters * diameter / 2
