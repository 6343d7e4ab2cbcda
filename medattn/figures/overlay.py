"""Maps over an image, light enough to be drawn anew while a slider moves: one axes for all panels.

Papers: PPCR, Figs. 1 and 3, for the maps beside each other; global spatial attention, Figs. 4 to 6, for one map with
the region that matters.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from medattn.figures.parts import MAP_COLOURS, PALETTE, WIDTH, edges

SIDE = 1.85  # inches, of a panel at most
MARGIN, ABOVE, BELOW, BAR = 0.1, 0.3, 0.3, 0.75  # inches between panels, for titles, ranges and the colour bar


def maps_on_image(
    image: Tensor,
    maps: Mapping[str, Tensor],
    mask: Tensor | None = None,
    strength: float = 1.0,
    shared: bool = True,
    label: str = "attention weight",
) -> Figure:
    """Draw an image (C, H, W) and, beside it, maps (H, W) by name over it; the outline is the mask (H, W).

    `strength` is how much of the map covers the image, 0 to 1. The maps have one colour scale where it is `shared`, or
    else each its own, from its smallest to its largest value. Those two stand under each map either way.
    """
    values = {name: np.asarray(each, dtype=float) for name, each in maps.items()}
    ends = {name: (each.min(), each.max()) for name, each in values.items()}
    scale = (min(low for low, _ in ends.values()), max(high for _, high in ends.values())) if ends else (0.0, 1.0)
    axes, side = _row(1 + len(values), image.shape[1:], bar=bool(values) and shared)
    _panel(axes, 0, side, _pixels(image), "image", "", [(mask, "white")])
    for k, (name, each) in enumerate(values.items(), start=1):
        colours = _coloured(each, scale if shared else ends[name], MAP_COLOURS)
        _panel(axes, k, side, _blend(_pixels(image), colours, strength), name, _range(ends[name]), [(mask, "white")])
    if values and shared:
        _bar(axes, 1 + len(values), side, scale, label)
    return axes.figure


def map_region(
    values: Tensor, image: Tensor, threshold: float, region: Tensor | None = None, label: str = "the map"
) -> Figure:
    """Draw a map (H, W), the image (C, H, W) under it, and what of the image is left where the map is large.

    Left is where the map is `threshold` or more: outlined in orange, the rest darkened. White is the outline of the
    `region` (H, W) that matters.
    """
    array = np.asarray(values, dtype=float)
    ends = (array.min(), array.max())
    above = array >= threshold
    axes, side = _row(3, array.shape, bar=True)
    truth = (region, "white")
    _panel(axes, 0, side, _pixels(image), "mean image", "", [truth])
    _panel(axes, 1, side, _coloured(array, ends, MAP_COLOURS), label, _range(ends), [truth])
    dark = _pixels(image) * np.where(above, 1.0, 0.25)[..., None]
    _panel(axes, 2, side, dark, f"where it is ≥ {apart(threshold, array)}", "", [(above, PALETTE[1]), truth])
    _bar(axes, 3, side, ends, "weight")
    return axes.figure


def _row(n: int, shape: tuple[int, int], bar: bool) -> tuple[Axes, tuple[float, float]]:
    """Make the axes of `n` panels for images of `shape` (H, W), and give the panels' (width, height) in inches."""
    longer = min(SIDE, (WIDTH - bar * BAR) / n - MARGIN)
    height, width = (longer * length / max(shape) for length in shape)
    size = n * (width + MARGIN) + bar * BAR, height + ABOVE + BELOW
    axes = Figure(figsize=size).add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, size[0]), ylim=(height + BELOW, -ABOVE), autoscale_on=False)  # inches, down from the panels' top
    return axes, (width, height)


def _panel(
    axes: Axes, k: int, side: tuple[float, float], pixels: np.ndarray, title: str, below: str, outlines: list
) -> None:
    width, height = side
    left = k * (width + MARGIN) + MARGIN / 2
    axes.imshow(pixels, extent=(left, left + width, height, 0), aspect="auto", interpolation="nearest")
    for mask, colour in outlines:
        if mask is not None:
            x, y = (edges(mask) * side).T
            axes.plot(left + x, y, color="black", linewidth=2.4, scalex=False, scaley=False)
            axes.plot(left + x, y, color=colour, linewidth=1.2, scalex=False, scaley=False)
    axes.text(left + width / 2, -0.08, title, ha="center", va="bottom", fontsize=11)
    axes.text(left + width / 2, height + 0.06, below, ha="center", va="top", fontsize=9)


def _bar(axes: Axes, n: int, side: tuple[float, float], ends: tuple[float, float], label: str) -> None:
    width, height = side
    left = n * (width + MARGIN) + MARGIN
    axes.imshow(np.linspace(1, 0, 64)[:, None], cmap=MAP_COLOURS, extent=(left, left + 0.12, height, 0), aspect="auto")
    for value, at, va in ((ends[1], 0, "top"), (ends[0], height, "bottom")):
        axes.text(left + 0.17, at, apart(value, ends), va=va, fontsize=9)
    if height > 1.3:  # inches, enough for a label between the two ends
        axes.text(left + 0.2, height / 2, label, rotation=90, va="center", fontsize=9)
    else:
        axes.text(left, -0.03, label.replace(" ", "\n"), va="bottom", fontsize=8)


def _pixels(image: Tensor) -> np.ndarray:
    pixels = np.moveaxis(np.asarray(image, dtype=float), 0, 2) / 255  # (H, W, C)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _coloured(values: np.ndarray, ends: tuple[float, float], colours: str) -> np.ndarray:
    low, high = ends
    return mpl.colormaps[colours]((values - low) / max(high - low, 1e-12))[..., :3]


def _blend(below: np.ndarray, above: np.ndarray, strength: float) -> np.ndarray:
    return (1 - strength) * below + strength * above


def _range(ends: tuple[float, float]) -> str:
    return " to ".join(apart(end, ends) for end in ends)


def apart(value: float, values: Tensor | np.ndarray | Sequence[float]) -> str:
    """Write a value with the digits that tell it from others of a map: 0.9986 where all lie between 0.998 and 1."""
    values = np.asarray(values, dtype=float)
    spread = values.max() - values.min()
    digits = int(np.clip(1 - np.floor(np.log10(spread)), 2, 6)) if spread > 0 else 2
    return f"{value:.{digits}f}"
