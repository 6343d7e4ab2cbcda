"""The pens of all diagrams: a white card in inches, boxes, arrows, bars and small pictures."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from medattn.figures.style import ARMS, PALETTE

GREY, ORANGE, BLUE, GREEN = (ARMS[name].colour for name in ("none", "ppcr", "global", "l1"))
PALE = {"orange": "#f7dcb0", "blue": "#bcd8ee", "grey": "0.92"}
LESION = "#8c1a1a"
SCALES = {1: PALETTE[0], 2: PALETTE[1], 4: PALETTE[2]}  # a context's colour, as in notebook 02
WIDTH = 9.0  # inches
SETTINGS = {"svg.hashsalt": "medattn", "svg.fonttype": "path", "font.size": 10}


class Card:
    """A white card of 9 inches by `height`; x goes right and y goes up, in inches."""

    def __init__(self, height: float):
        self.figure = Figure(figsize=(WIDTH, height))
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(0, WIDTH), ylim=(0, height))
        self.ax.set_axis_off()
        self.above = 0
        look = {"facecolor": "white", "edgecolor": "0.8", "zorder": 0}
        style = "round,pad=0,rounding_size=0.12"
        size = WIDTH - 0.04, height - 0.04
        self.ax.add_patch(FancyBboxPatch((0.02, 0.02), *size, style, **look))

    def text(self, x: float, y: float, words: str, size: float = 10, **look) -> None:
        """Write words, centred on a point unless `ha` or `va` say otherwise."""
        self.ax.text(x, y, words, **({"ha": "center", "va": "center", "fontsize": size} | look))

    def box(self, x, y, width, height, words="", colour="0.92", size=10, edge="black") -> None:
        """Draw a rounded box with its lower left corner at (x, y), and words in its middle."""
        style = "round,pad=0,rounding_size=0.06"
        patch = FancyBboxPatch((x, y), width, height, style, facecolor=colour, edgecolor=edge)
        self.ax.add_patch(patch)
        self.text(x + width / 2, y + height / 2, words, size)

    def arrow(self, start, end, words="", above=0.12, colour="black", head=13) -> None:
        """Draw an arrow between two points, with words above its middle."""
        look = {"arrowstyle": "-|>", "mutation_scale": head, "color": colour, "linewidth": 1.3}
        self.ax.add_patch(FancyArrowPatch(start, end, **look))
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + above
        self.text(*middle, words, 9)

    def line(self, xs, ys, **look) -> None:
        """Draw a line through points."""
        self.ax.plot(xs, ys, **({"color": "black", "linewidth": 1.3} | look))

    def picture(self, x, y, side, values, colours="viridis", edge="0.4", line=1.0) -> None:
        """Draw an array (h, w) or (h, w, 3) as a picture of `side` inches."""
        extent = (x, x + side, y, y + side)
        self.above += 1  # a later picture covers an earlier one
        look = {"interpolation": "nearest", "zorder": 2 + self.above / 99, "aspect": "auto"}
        self.ax.imshow(values, colours, vmin=0, vmax=1, extent=extent, **look)
        frame = Rectangle((x, y), side, side, facecolor="none", edgecolor=edge, linewidth=line)
        frame.set_zorder(look["zorder"])
        self.ax.add_patch(frame)
        self.ax.set(xlim=(0, WIDTH), ylim=(0, self.figure.get_figheight()))

    def square(self, x, y, width, height, colour, edge="0.4", above=1.0, line=1.0) -> None:
        """Draw a rectangle with its lower left corner at (x, y)."""
        look = {"facecolor": colour, "edgecolor": edge, "zorder": above, "linewidth": line}
        self.ax.add_patch(Rectangle((x, y), width, height, **look))

    def sheets(self, x, y, side, n, depth, colours) -> None:
        """Draw n square sheets one behind the other, the front one's corner at (x, y)."""
        for k in range(n - 1, -1, -1):
            colour = colours[k] if isinstance(colours, list) else colours
            self.square(x + depth * k, y + depth * k, side, side, colour, above=1.5 - k / 99)

    def ring(self, x, y, radius, colour="white", width=2.0, fill="none") -> None:
        """Draw a circle above all pictures."""
        look = {"facecolor": fill, "edgecolor": colour, "linewidth": width, "zorder": 5}
        self.ax.add_patch(Circle((x, y), radius, **look))

    def bars(self, x, rows, values, width, colours) -> None:
        """Draw bars to both sides of an upright line at x; the largest is `width` inches long."""
        largest = max(map(abs, values))
        for y, value, colour in zip(rows, values, colours, strict=True):
            self.square(x, y - 0.075, value / largest * width, 0.15, colour, "black", line=0.5)
        self.line([x, x], [min(rows) - 0.13, max(rows) + 0.13], linewidth=0.8)

    def save(self, path: Path) -> None:
        """Write the card as SVG; the same card gives the same bytes."""
        with mpl.rc_context(SETTINGS):
            self.figure.savefig(path, metadata={"Date": None, "Creator": None}, transparent=True)


def eye(size: int = 24, spots: tuple = (), seed: int = 0) -> np.ndarray:
    """Return a small drawn retina (size, size, 3) in 0..1, with dark spots at (x, y) in -1..1."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    noise = 0.02 * np.random.default_rng(seed).standard_normal((size, size))
    inside = np.hypot(x, y) < 0.95
    image = np.stack([0.85 + noise, 0.42 + noise, 0.2 + noise], -1)
    image[np.hypot(x + 0.55, y) < 0.17] = (1, 0.85, 0.6)
    image[np.hypot(x - 0.15, y) < 0.15] *= 0.75
    for a, b in spots:
        image[np.hypot(x - a, y - b) < 0.11] = (0.45, 0.05, 0.02)
    return np.clip(image * inside[..., None], 0, 1)


def bump(size: int = 24, x: float = 0.15, y: float = 0.0, width: float = 0.4) -> np.ndarray:
    """Return a map (size, size) that is bright around (x, y)."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    across, down = np.meshgrid(axis, axis)
    return np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * width**2))
