"""Images, maps and masks on axes, and figures of nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike
from torch import Tensor

from medattn.figures.style import WIDTH, new_figure, styled

Limits = tuple[float, float]  # the smallest and the largest value of a colour scale
Maps = Mapping[str, Tensor]  # by name


def show_image(ax: Axes, image: Tensor, mask: Tensor | None = None) -> None:
    """Draw a uint8 image (C, H, W), grey or colour, with the outline of a mask (H, W)."""
    show_map(ax, np.moveaxis(np.asarray(image), 0, 2), (0, 255), mask, "gray")


def show_map(
    ax: Axes,
    values: ArrayLike,
    limits: Limits | None = None,
    mask: Tensor | None = None,
    colours: str | None = None,
) -> AxesImage:
    """Draw a map (H, W) between `limits`, or else over its own range, and a mask's outline."""
    low, high = limits or (None, None)
    shown = ax.imshow(np.asarray(values), colours, vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    outline(ax, mask)
    return shown


def value_range(arrays: Iterable[ArrayLike]) -> Limits:
    """Return the smallest and the largest value of all arrays."""
    flat = np.concatenate([np.asarray(array).ravel() for array in arrays])
    return float(flat.min()), float(flat.max())


def outline(
    ax: Axes, mask: ArrayLike | None, colour: Any = "white", box: Sequence[float] | None = None
) -> None:
    """Draw the edge of a mask (H, W), if any, on an image at `box`: (left, top, width, height)."""
    if mask is None:
        return
    inside = np.pad(np.asarray(mask, dtype=bool), 1)
    height, width = np.subtract(inside.shape, 2)
    left, top, *size = box or (-0.5, -0.5, width, height)
    y, x = np.nonzero(np.diff(inside, axis=0))  # borders between a pixel and the one below it
    level = [(x - 1, y), (x, y)]
    y, x = np.nonzero(np.diff(inside, axis=1))
    upright = [(x, y - 1), (x, y)]
    ends = np.concatenate([level, upright], axis=2).transpose(2, 0, 1)  # (n, 2 ends, x and y)
    segments = list(ends * np.divide(size, (width, height)) + (left, top))
    for line, linewidth in (("black", 2.4), (colour, 1.2)):
        lines = LineCollection(segments, colors=[line], linewidths=linewidth, capstyle="projecting")
        ax.add_collection(lines, autolim=False)


@styled()
def image_grid(
    images: Tensor, titles: Sequence[str], masks: Tensor | None = None, columns: int = 6
) -> Figure:
    """Show images (N, C, H, W), one title each, with the outlines of their masks (N, H, W)."""
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, rows * WIDTH / columns * 1.12)
    for k, image in enumerate(images):
        show_image(axes.flat[k], image, None if masks is None else masks[k])
        axes.flat[k].set_title(titles[k], fontsize=10)
    for ax in axes.flat[len(images) :]:
        ax.set_axis_off()
    return figure


@styled()
def outlined_image(image: Tensor, mask: Tensor | None = None, side: float = 3.2) -> Figure:
    """Draw an image (C, H, W) and its mask's outline without any margin, `side` inches wide."""
    height, width = image.shape[1:]
    figure = Figure(figsize=(side, side * height / width))
    show_image(figure.add_axes((0, 0, 1, 1)), image, mask)
    return figure
