"""The diagrams of the methods: PPCR, a residual block, the pixel CNN, and local meets global."""

import matplotlib as mpl
import numpy as np
from sketch import BLUE, GREY, ORANGE, PALE, SCALES, Card, bump, eye

CONTEXTS = ("1/1", "1/2", "2/2", "1/4", "2/4", "3/4", "4/4")
METHODS = (  # what each does to the features, as notebook 04's table says
    ("SE, SPA", "weigh\nchannels"),
    ("CA", "weighs rows\n× columns"),
    ("SA", "weighs pixels,\nlooks around"),
    ("NL, GC", "add what\nall pixels hold"),
    ("EA", "replaces\nevery pixel"),
    ("PPCR", "weighs pixels by\ntheir channels"),
)


def ppcr_module() -> Card:
    """Draw one pixel's way through PPCR (Eqs. 1 to 7, Fig. 2)."""
    card = Card(3.5)
    card.sheets(0.25, 1.6, 1.0, 5, 0.07, "0.9")
    card.square(0.7, 2.0, 0.14, 0.14, ORANGE, "black", 6)
    card.text(0.85, 1.25, "features X\nC × H × W", 9)
    card.arrow((0.86, 2.07), (1.92, 2.07), colour=ORANGE)
    channels = np.array([5, 7, 9, 7, 0, 4, 4, 4.0])
    for k, value in enumerate(channels):
        colour = mpl.colormaps["Greys"](0.08 + value / 14)
        card.square(1.95, 2.68 - 0.2 * k, 0.6, 0.18, colour)
    card.text(2.25, 3.17, "one pixel's\nC channels", 9)
    for scale, x in ((1, 2.68), (2, 2.8), (4, 2.92)):
        size = 1.58 / scale
        for group in range(scale):
            top = 2.86 - group * size
            ends = [top - 0.03, top - size + 0.03]
            card.line([x, x], ends, color=SCALES[scale], linewidth=4, solid_capstyle="butt")
    card.text(2.8, 1.1, "1, 2, 4\ngroups", 9)
    rows = [2.73 - 0.22 * k for k in range(7)]
    colours = [SCALES[1], *[SCALES[2]] * 2, *[SCALES[4]] * 4]
    means = np.array([channels.reshape(scale, -1).mean(1)[k] for scale, k in _groups()])
    normal = (means - means.mean()) / means.std()
    weights = np.array([1.5, 1, 0.3, 0.4, 1, -0.4, 0.9])
    for y, name in zip(rows, CONTEXTS, strict=True):
        card.text(3.4, y, name, 8)
    card.bars(3.58, rows, means, 0.75, colours)
    card.bars(5.1, rows, normal, 0.42, colours)
    card.bars(6.55, rows, weights, 0.55, colours)
    card.arrow((3.0, 2.07), (3.28, 2.07))
    card.arrow((4.34, 2.07), (4.65, 2.07))
    card.text(5.85, 2.07, "×", 15)
    card.text(3.85, 3.17, "seven means:\nthe contexts T", 9)
    card.text(5.1, 3.17, "normalised\nover the seven", 9)
    card.text(6.6, 3.17, "weights W\nof this position", 9)
    card.arrow((7.15, 2.07), (7.42, 2.07))
    z = float(normal @ weights)
    card.box(7.43, 1.77, 0.62, 0.6, f"sum Z\n{z:.2f}", size=9)
    card.arrow((8.05, 2.07), (8.27, 2.07))
    card.box(8.28, 1.77, 0.46, 0.6, "σ", PALE["orange"], 14)
    card.text(8.28, 2.66, f"gate G, 0 to 1:\nhere {1 / (1 + np.exp(-z)):.2f}", 9)
    card.line([8.51, 8.51, 2.25], [1.77, 0.5, 0.5], color=ORANGE, linewidth=2)
    card.line([2.25, 2.25], [0.5, 0.64], color=ORANGE, linewidth=2)
    card.ring(2.25, 0.78, 0.14, ORANGE, 2, "white")
    card.text(2.25, 0.78, "×", 13, zorder=6)
    card.arrow((2.25, 0.92), (2.25, 1.26), colour=ORANGE)
    card.text(5.4, 0.75, "the gate multiplies all channels of its pixel: Y = G · X", 9)
    return card


def _groups() -> list[tuple[int, int]]:
    return [(scale, group) for scale in (1, 2, 4) for group in range(scale)]


def residual_block() -> Card:
    """Draw where attention sits in a residual block, and what each method does there."""
    card = Card(4.0)
    y, x = 3.2, 1.15
    card.text(0.35, y, "x", 13)
    card.arrow((0.5, y), (x, y))
    for name in ("conv", "norm", "ReLU", "conv", "norm"):
        card.box(x, y - 0.25, 0.7, 0.5, name)
        card.arrow((x + 0.7, y), (x + 0.92, y))
        x += 0.92
    card.box(x, y - 0.33, 1.1, 0.66, "attention", PALE["orange"])
    card.arrow((x + 1.1, y), (x + 1.4, y))
    card.ring(x + 1.54, y, 0.14, "black", 1.3, "white")
    card.text(x + 1.54, y, "+", 13, zorder=6)
    card.arrow((x + 1.68, y), (x + 1.95, y))
    card.box(x + 1.95, y - 0.25, 0.7, 0.5, "ReLU")
    card.arrow((x + 2.65, y), (x + 2.95, y))
    card.line([0.8, 0.8, x + 1.54], [y, y - 0.62, y - 0.62], color=GREY)
    card.arrow((x + 1.54, y - 0.64), (x + 1.54, y - 0.13), colour=GREY)
    card.text(3.45, y - 0.78, "the shortcut x passes by", 9, color="0.3")
    card.text(3.45, y + 0.5, "the branch f(x)", 9, color="0.3")
    rng = np.random.default_rng(3)
    stripes = np.outer([0.2, 0.9, 1, 0.5, 0.3], [0.3, 0.6, 1, 0.9, 0.2])
    anew = rng.choice([0.1, 0.5, 0.9], (5, 5))
    pictures = (None, stripes, bump(5, 0.1, 0.1, 0.7), None, anew, rng.random((5, 5)))
    for k, ((name, what), picture) in enumerate(zip(METHODS, pictures, strict=True)):
        left = 0.2 + 1.44 * k
        colour, edge = (PALE["orange"], ORANGE) if name == "PPCR" else (PALE["grey"], "0.6")
        card.box(left, 0.2, 1.38, 1.85, "", colour, edge=edge)
        card.text(left + 0.69, 1.86, name, 10, weight="bold")
        card.text(left + 0.69, 0.47, what, 9)
        if picture is not None:
            card.picture(left + 0.32, 0.85, 0.74, picture, "Greys_r")
    card.sheets(0.58, 0.85, 0.5, 4, 0.08, ["0.9", "0.4", "0.7", "0.15"])
    _gather(card, 0.2 + 1.44 * 3 + 0.32, 0.85)
    return card


def _gather(card: Card, x: float, y: float) -> None:
    """Draw a pixel in a square of 0.74 inches, to which all others send something."""
    card.square(x, y, 0.74, 0.74, "white")
    card.square(x + 0.3, y + 0.3, 0.14, 0.14, "0.2")
    for dx, dy in ((-1, -1), (-1, 1), (1, -1), (1, 1), (0, 1), (0, -1), (1, 0), (-1, 0)):
        start = x + 0.37 + 0.33 * dx, y + 0.37 + 0.33 * dy
        card.arrow(start, (x + 0.37 + 0.05 * dx, y + 0.37 + 0.05 * dy), colour=GREY, head=7)


def pixel_cnn() -> Card:
    """Draw the pixel CNN: all images at every pixel, and one map (global attention, Fig. 3)."""
    card = Card(2.9)
    for k in range(3, -1, -1):
        x, y = 0.35 + 0.13 * k, 0.85 + 0.13 * k
        card.picture(x, y, 1.05, eye(24, seed=k))
    card.text(1.05, 0.45, "N training images", 9)
    card.arrow((1.9, 1.55), (2.65, 1.55), "stack", 0.14)
    card.sheets(2.75, 0.85, 1.05, 6, 0.075, "0.88")
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            colour = BLUE if dx == dy == 0 else PALE["blue"]
            card.square(3.2 + 0.13 * dx, 1.25 + 0.13 * dy, 0.13, 0.13, colour, BLUE, 6)
    card.text(3.4, 0.45, "one picture with\nN × C channels", 9)
    card.arrow((4.3, 1.55), (5.05, 1.55), "conv 3 × 3,\nReLU", 0.24)
    card.sheets(5.15, 0.95, 1.05, 3, 0.075, PALE["blue"])
    card.square(5.6, 1.38, 0.13, 0.13, BLUE, BLUE, 6)
    card.text(5.75, 0.45, "K features", 9)
    card.arrow((6.5, 1.55), (7.25, 1.55), "conv 1 × 1,\nsigmoid", 0.24)
    card.picture(7.4, 0.95, 1.2, bump(), edge=BLUE, line=2)
    card.text(8.0, 0.45, "one map M\nfor all images", 9)
    card.line([3.265, 3.265], [1.55, 2.42], color=BLUE, zorder=7)
    words = "a pixel is described by its N × C values: what ALL images show there"
    card.text(3.1, 2.58, words, 9, color=BLUE, ha="center")
    return card


def two_by_two() -> Card:
    """Draw the four arms of notebook 15: none, PPCR, the map, both."""
    card = Card(4.1)
    card.text(3.0, 3.85, "no map", 11, weight="bold")
    card.text(6.92, 3.85, "one map for all images", 11, weight="bold", color=BLUE)
    card.text(0.62, 2.87, "no gates", 11, weight="bold")
    card.text(0.62, 1.07, "PPCR:\na gate per\npixel and\nimage", 10, weight="bold", color="#a86a00")
    arms = (
        (1.15, 2.07, "none", False, False),
        (1.15, 0.27, "PPCR", False, True),
        (5.05, 2.07, "map", True, False),
        (5.05, 0.27, "both", True, True),
    )
    for x, y, name, has_map, has_gates in arms:
        card.box(x, y, 3.75, 1.6, "", "white", edge="0.6")
        card.text(x + 0.12, y + 1.42, name, 10, ha="left", weight="bold")
        middle = y + 0.7
        card.picture(x + 0.12, middle - 0.42, 0.84, eye(20, ((0.2, 0.1),)))
        left = x + 0.98
        if has_map:
            card.text(left + 0.1, middle, "×", 14)
            card.picture(left + 0.22, middle - 0.42, 0.84, bump(20), edge=BLUE, line=2)
            left += 1.08
        card.arrow((left + 0.03, middle), (x + 2.36, middle))
        colour = PALE["orange"] if has_gates else PALE["grey"]
        card.box(x + 2.37, middle - 0.48, 1.02, 0.96, "", colour)
        card.text(x + 2.88, middle + (0.25 if has_gates else 0), "CNN")
        if has_gates:
            for k in range(3):
                gates = np.random.default_rng(k).random((6, 6))
                card.picture(x + 2.44 + 0.31 * k, middle - 0.36, 0.26, gates, edge=ORANGE)
        card.arrow((x + 3.39, middle), (x + 3.7, middle))
    return card
