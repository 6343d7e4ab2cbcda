"""What all figures share: one style, one look for each method, and how a figure becomes a PNG."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from threading import RLock
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import seaborn as sns
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 9.0  # inches: a laptop's notebook column
SHOWN = 900  # pixels: the width at which a figure of WIDTH is displayed
DPI = 200  # pixels an inch in a stored figure: twice those that are displayed
SLIDER_DPI = 80  # behind a slider a figure must be drawn quickly
MAP_COLOURS = "viridis"  # perceptually uniform, safe for colour-blind readers, ordered in greyscale
SIGNED_COLOURS = "PuOr_r"  # for values around 0
PALETTE = sns.color_palette("colorblind", 40)  # ten colours, repeated


class Look(NamedTuple):
    """How a method is named and drawn, in all figures."""

    label: str
    colour: Any
    marker: str


ARMS = {  # by the method's name in recipes and results
    "none": Look("plain", "0.45", "o"),
    "ppcr": Look("PPCR", PALETTE[1], "s"),
    "global": Look("pixel CNN", PALETTE[0], "^"),
    "l1": Look("free weights (L1)", PALETTE[2], "v"),
    "se": Look("SE", PALETTE[3], "P"),
    "spa": Look("SPA", PALETTE[4], "X"),
    "ca": Look("CA", PALETTE[5], "<"),
    "sa": Look("SA", PALETTE[6], ">"),
    "nl": Look("NL", PALETTE[8], "*"),
    "gc": Look("GC", PALETTE[9], "p"),
    "ea": Look("EA", "saddlebrown", "h"),
}
# what a paper prints is a hollow black diamond
PRINTED: Any = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black"}

_DASHES, _MARKERS = ["-", "--", "-.", ":"] * 10, list("osD^v*" * 7)[:40]
STYLE: Any = {  # mpl.rc_context's own type lists every setting
    # a plot has a marker and a dash of its own, unless it has marker="" or a format such as "-"
    "axes.prop_cycle": cycler(color=PALETTE, linestyle=_DASHES, marker=_MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.labelsize": 11,
    "font.size": 10,
    "grid.alpha": 0.3,
    "image.cmap": MAP_COLOURS,
    "legend.fontsize": 9,
    "legend.frameon": False,
}


def look(name: str, nth: int = 0) -> Look:
    """Return the look of a method by its name or label, or else the nth look of the palette."""
    by_label = {arm.label.lower(): arm for arm in ARMS.values()}
    known = ARMS.get(name.lower()) or by_label.get(name.lower())
    return known or Look(name, PALETTE[nth], _MARKERS[nth])


_lock = RLock()  # matplotlib's settings belong to all threads, and `widgets.watch` draws in its own


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style while artists are made or rendered: a context, or a function's decorator."""
    with _lock, mpl.rc_context(STYLE):
        yield


@styled()
def new_figure(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of a notebook's width and `height` inches, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart, at the heights 0, 1, ... from the top down."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x")


@styled()
def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Render a figure in 256 colours. The same figure gives the same bytes."""
    figure.set_dpi(dpi)
    buffer = BytesIO()
    _pixels(figure).quantize(256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


@styled()
def quick_png(figure: Figure) -> bytes:
    """Render a figure behind a slider, with the pixels of a screen and in all its colours."""
    figure.set_dpi(SLIDER_DPI)
    return _encode(_pixels(figure))


def _pixels(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _encode(pixels: Image.Image) -> bytes:
    buffer = BytesIO()
    pixels.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


class Redrawn:
    """A figure whose artists in `changes` are drawn again each time, and all else only once."""

    @styled()
    def __init__(self, figure: Figure, changes: Iterable[Artist]):
        self.figure, self.changes = figure, list(changes)
        self.canvas = FigureCanvasAgg(figure)
        figure.set_dpi(SLIDER_DPI)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for artist in self.changes:
            artist.set_animated(True)  # draw() leaves it out
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    @styled()
    def png(self) -> bytes:
        """Render the figure with the changing artists as they are now."""
        self.canvas.restore_region(self.background)
        for artist in self.changes:
            self.figure.draw_artist(artist)
        return _encode(Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3]))
