"""What the figures share: the width of a notebook, safe colours, pictures, outlines, and how one is rendered."""

from collections.abc import Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

WIDTH = 9.0  # inches: a laptop's notebook column
MAP_COLOURS = "viridis"  # perceptually uniform, safe for colour-blind readers, ordered in greyscale
SIGNED_COLOURS = "PuOr_r"  # for values around 0
PALETTE = sns.color_palette("colorblind")


def new(n_rows: int, n_columns: int, height: float, **options) -> tuple[Figure, np.ndarray]:
    """Give a figure of a notebook's width and `height` inches, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def show_image(axes: Axes, image: Tensor) -> None:
    """Draw a uint8 image (C, H, W), grey or colour."""
    pixels = np.asarray(image)
    grey = pixels.shape[0] == 1
    axes.imshow(pixels[0] if grey else pixels.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=255)
    bare(axes)


def bare(axes: Axes) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def outline(axes: Axes, mask: Tensor | None, colour: str = "white") -> None:
    """Draw the edge of a mask (H, W); nothing where there is none."""
    if mask is None or not np.asarray(mask).any():
        return
    fine = np.kron(np.asarray(mask, dtype=float), np.ones((4, 4)))  # the edge of the pixels, not through their centres
    h, w = np.asarray(mask).shape
    padded = np.pad(fine, 1)
    x = (np.arange(padded.shape[1]) - 0.5) / 4 - 0.5
    y = (np.arange(padded.shape[0]) - 0.5) / 4 - 0.5
    axes.contour(x, y, padded, levels=[0.5], colors="black", linewidths=2.2)
    axes.contour(x, y, padded, levels=[0.5], colors=colour, linewidths=1.1)
    axes.set_xlim(-0.5, w - 0.5)
    axes.set_ylim(h - 0.5, -0.5)


def image_grid(images: Tensor, titles: Sequence[str], masks: Tensor | None = None, columns: int = 6) -> Figure:
    """Show images (N, C, H, W) with a title each, and the outline of their masks (N, H, W) where there are any."""
    rows = -(-len(images) // columns)
    figure, axes = new(rows, columns, rows * WIDTH / columns * 1.12)
    for k, place in enumerate(axes.flat):
        if k >= len(images):
            place.set_axis_off()
            continue
        show_image(place, images[k])
        outline(place, None if masks is None else masks[k])
        place.set_title(titles[k], fontsize=10)
    return figure


def png(figure: Figure, dpi: int = 80) -> bytes:
    """Render a figure, the same bytes for the same figure."""
    buffer = BytesIO()
    with mpl.rc_context({"font.size": 11}):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()
