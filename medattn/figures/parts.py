"""What the figures share: the width of a notebook, safe colours, pictures, outlines, and how one is rendered."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from threading import RLock

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

WIDTH = 9.0  # inches: a laptop's notebook column
DPI = 80
FONT = {"font.size": 11}
MAP_COLOURS = "viridis"  # perceptually uniform, safe for colour-blind readers, ordered in greyscale
SIGNED_COLOURS = "PuOr_r"  # for values around 0
PALETTE = sns.color_palette("colorblind", 40)  # ten colours, again and again; markers and lines differ
_drawing = RLock()


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


def edges(mask: Tensor) -> np.ndarray:
    """Give the edge of a mask (H, W), along its pixels' borders, as points (3 n, 2) to draw as one line.

    Points are (x, y) in shares of the image from its upper left corner; after every second one the line breaks (nan).
    """
    inside = np.pad(np.asarray(mask, dtype=bool), 1)
    height, width = np.subtract(inside.shape, 2)
    row, column = np.nonzero(inside[1:] != inside[:-1])  # between a pixel and the one below it
    level = [(column - 1, row), (column, row)]
    row, column = np.nonzero(inside[:, 1:] != inside[:, :-1])
    upright = [(column, row - 1), (column, row)]
    lines = np.concatenate([np.array(level), np.array(upright)], axis=2) / np.array([[width], [height]])  # (2, 2, n)
    return np.concatenate([lines, np.full_like(lines[:1], np.nan)]).transpose(2, 0, 1).reshape(-1, 2)


def outlined(image: Tensor, mask: Tensor | None = None, side: float = 3.2) -> Figure:
    """Draw an image (C, H, W) with the outline of its mask (H, W), and nothing around it; `side` is in inches."""
    height, width = image.shape[1:]
    figure = Figure(figsize=(side, side * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    show_image(axes, image)
    if mask is not None:
        x, y = (edges(mask) * (width, height) - 0.5).T
        axes.plot(x, y, color="black", linewidth=2.4, scalex=False, scaley=False)
        axes.plot(x, y, color="white", linewidth=1.2, scalex=False, scaley=False)
    return figure


@contextmanager
def _font() -> Iterator[None]:
    with _drawing, mpl.rc_context(FONT):  # matplotlib's settings are one for all threads, and `watch` draws in its own
        yield


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Render a figure, the same bytes for the same figure."""
    buffer = BytesIO()
    with _font():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()


def quick_png(figure: Figure) -> bytes:
    """Render a figure in half of `png`'s time and twice its bytes: for pictures that follow a slider."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    with _font():
        canvas.draw()
    return _encoded(canvas)


def _encoded(canvas: FigureCanvasAgg) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


class Redrawn:
    """A figure that is drawn many times: what stays is drawn once, and what `changes` anew on a copy of that.

    A whole figure takes a quarter of a second, most of it for axes and text. The layout is that of the first time.
    """

    def __init__(self, figure: Figure, changes: Iterable[Artist]):
        self.figure, self.changes = figure, list(changes)
        self.canvas = FigureCanvasAgg(figure)
        figure.set_dpi(DPI)
        with _font():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for artist in self.changes:
                artist.set_animated(True)  # left out by draw()
            self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(figure.bbox)

    def png(self) -> bytes:
        """Draw what changes as it is now, and give the picture."""
        self.canvas.restore_region(self.still)
        with _font():
            for artist in self.changes:
                self.figure.draw_artist(artist)
        return _encoded(self.canvas)
