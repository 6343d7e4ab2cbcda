"""Area interpolation: every pixel of the small image is the mean of the part of the large one that it covers.

Paper: global spatial attention, supplement 1.1 and 1.2: the images were resized with cv2.INTER_AREA, which does this.
Differs from the paper: the crop is a share of the width, so that a boundary may lie within a pixel of an image that
was shrunk before; where the result is larger than the image, its pixels are repeated, where OpenCV would interpolate.
"""

from functools import lru_cache

import numpy as np

SMALLEST, LARGEST = 8, 1024  # sides in pixels of what images from files are resized to


def check_size(size: int) -> None:
    """Raise ValueError for a side that is not a whole number of pixels from 8 to 1024."""
    if isinstance(size, bool) or not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size={size!r} must be a whole number of pixels from {SMALLEST} to {LARGEST}")


@lru_cache(maxsize=16)  # a set's images mostly have one size
def coverage(length: int, size: int, start: float = 0.0, stop: float = 1.0) -> np.ndarray:
    """Give the weights of `length` pixels in `size` equal cells between `start` and `stop`, shares of the length.

    Shape: (size, length) float32; every row sums to 1.
    """
    edges = length * np.linspace(start, stop, size + 1)[:, None]  # in pixels
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    overlap[overlap < 1e-9] = 0  # pixels: what rounding leaves of a pixel that the cell only touches
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


def area_mean(image: np.ndarray, size: int, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """Give the means over a square's cells, of the columns from `left` to `right`, shares of the width.

    Shape: (H, W) or (H, W, C) -> (size, size) or (size, size, C) float32.
    """
    height, width = image.shape[:2]
    rows, columns = coverage(height, size), coverage(width, size, left, right)
    flat = rows @ image.reshape(height, -1).astype(np.float32)  # (size, W * C)
    return (columns @ flat.reshape(size, width, -1)).reshape(size, size, *image.shape[2:])


def shrink(image: np.ndarray, size: int, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """Give the same rounded, as an image. Shape: (H, W) or (H, W, C) -> (size, size) or (size, size, C) uint8."""
    mean = area_mean(image, size, left, right)
    return np.rint(mean.round(2)).astype(np.uint8)  # hundredths first: halves go to even ones, whatever float32 left
