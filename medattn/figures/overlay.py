"""Maps over an image, on one axes for all panels: light enough to be drawn while a slider moves."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from medattn.figures.images import Limits, Maps, outline, value_range
from medattn.figures.style import MAP_COLOURS, PALETTE, WIDTH, styled

SIDE = 1.85  # inches, of a panel at most
MARGIN, ABOVE, BELOW, BAR = 0.1, 0.3, 0.3, 0.75  # inches: between panels, titles, ranges, bar

Outlines = list[tuple[ArrayLike | None, Any]]  # masks and their colours
Panel = tuple[np.ndarray, str, Limits | None, Outlines]  # pixels, title, range below


def maps_on_image(
    image: Tensor,
    maps: Maps,
    mask: Tensor | None = None,
    strength: float = 1.0,
    shared: bool = True,
    label: str = "attention weight",
) -> Figure:
    """Draw an image (C, H, W) and, beside it, maps (H, W) by name over it, with a mask's outline.

    `strength` is how much of a map covers the image, from 0 to 1. The maps have one colour scale
    if it is `shared`, and each its own otherwise. Each map's range stands under it.
    """
    limits = value_range(maps.values()) if maps and shared else None
    pixels = _rgb(image)
    panels: list[Panel] = [(pixels, "image", None, [(mask, "white")])]
    for name, values in maps.items():
        own = value_range([values])
        blend = (1 - strength) * pixels + strength * _coloured(values, limits or own)
        panels.append((blend, name, own, [(mask, "white")]))
    return _row(panels, limits, label)


def map_region(
    values: Tensor, image: Tensor, threshold: float, region: Tensor | None, label: str = "the map"
) -> Figure:
    """Draw an image (C, H, W), a map (H, W), and the image where the map is `threshold` or more.

    The orange outline is that part, and the white one is the `region` (H, W) that matters.
    """
    limits, pixels, white = value_range([values]), _rgb(image), (region, "white")
    above = np.asarray(values, dtype=float) >= threshold
    darkened = pixels * np.where(above, 1.0, 0.25)[..., None]
    title = f"where it is ≥ {format_value(threshold, values)}"
    panels: list[Panel] = [
        (pixels, "mean image", None, [white]),
        (_coloured(values, limits), label, limits, [white]),
        (darkened, title, None, [(above, PALETTE[1]), white]),
    ]
    return _row(panels, limits, "weight")


@styled()
def _row(panels: list[Panel], limits: Limits | None, label: str) -> Figure:
    """Draw panels side by side, and a colour bar if there are `limits` for one."""
    shape, bar = panels[0][0].shape[:2], BAR if limits else 0
    longer = min(SIDE, (WIDTH - bar) / len(panels) - MARGIN)
    height, width = (longer * length / max(shape) for length in shape)
    size = len(panels) * (width + MARGIN) + bar, height + ABOVE + BELOW
    figure = Figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()  # its units are inches, downwards from the top of the panels
    ax.set(xlim=(0, size[0]), ylim=(height + BELOW, -ABOVE), autoscale_on=False)
    left = MARGIN / 2
    for pixels, title, ends, outlines in panels:
        extent = (left, left + width, height, 0)
        ax.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest")
        for mask, colour in outlines:
            outline(ax, mask, colour, (left, 0, width, height))
        middle = left + width / 2
        below = " to ".join(format_value(end, ends) for end in ends) if ends else ""
        ax.text(middle, -0.08, title, ha="center", va="bottom", fontsize=11)
        ax.text(middle, height + 0.06, below, ha="center", va="top", fontsize=9)
        left += width + MARGIN
    if limits:
        left += MARGIN / 2
        ramp, extent = np.linspace(1, 0, 64)[:, None], (left, left + 0.12, height, 0)
        ax.imshow(ramp, extent=extent, aspect="auto")
        ax.text(left + 0.17, 0, format_value(limits[1], limits), va="top", fontsize=9)
        ax.text(left + 0.17, height, format_value(limits[0], limits), va="bottom", fontsize=9)
        if height > 1.3:  # inches, enough for a label between the two ends
            ax.text(left + 0.2, height / 2, label, rotation=90, va="center", fontsize=9)
        else:
            ax.text(left, -0.03, label.replace(" ", "\n"), va="bottom", fontsize=8)
    return figure


def _rgb(image: Tensor) -> np.ndarray:
    """Return an image (C, H, W), grey or colour, as (H, W, 3) in 0..1."""
    return np.asarray(image.expand(3, -1, -1).movedim(0, 2), dtype=float) / 255


def _coloured(values: ArrayLike, limits: Limits) -> np.ndarray:
    return mpl.colormaps[MAP_COLOURS](Normalize(*limits)(np.asarray(values)))[..., :3]


def format_value(value: float, values: ArrayLike) -> str:
    """Write a value with the digits that tell it from others: 0.9986 of 0.998 to 1."""
    spread = np.ptp(np.asarray(values, dtype=float))
    digits = int(np.clip(1 - np.floor(np.log10(spread)), 2, 6)) if spread > 0 else 2
    return f"{value:.{digits}f}"
