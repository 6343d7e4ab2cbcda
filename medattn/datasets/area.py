"""Area interpolation: each pixel of the small image is the mean of the area that it covers.

Paper: global spatial attention, supplement 1.1 and 1.2, resizes images with cv2.INTER_AREA.
Differs from the paper: the crop is given in shares of the width, so that a boundary may lie within
a pixel. Pixels are repeated where the result is larger than the image; OpenCV interpolates.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)  # most images of a set have one size
def coverage(length: int, size: int, start: float = 0.0, stop: float = 1.0) -> np.ndarray:
    """Return the weights of `length` pixels in `size` equal cells from `start` to `stop`.

    Both ends are shares of the length. Shape: (size, length) float32; every row sums to 1.
    """
    edges = length * np.linspace(start, stop, size + 1)[:, None]  # in pixels
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    overlap[overlap < 1e-9] = 0  # rounding leaves a trace of pixels that a cell only touches
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


def area_mean(image: np.ndarray, size: int, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """Return the means over a square of cells; `left` and `right` crop, in shares of the width.

    Shape: (H, W) or (H, W, C) -> (size, size) or (size, size, C) float32.
    """
    height, width = image.shape[:2]
    rows, columns = coverage(height, size), coverage(width, size, left, right)
    flat = rows @ image.reshape(height, -1).astype(np.float32)  # (size, W * C)
    return (columns @ flat.reshape(size, width, -1)).reshape(size, size, *image.shape[2:])


def shrink(image: np.ndarray, size: int, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """Return `area_mean` rounded to uint8; a half goes to the even neighbour."""
    mean = area_mean(image, size, left, right)
    return np.rint(mean.round(2)).astype(np.uint8)  # hundredths first: hides float32's error
