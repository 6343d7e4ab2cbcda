"""Draw the diagrams of notebooks and guides: `python docs/diagrams/draw.py [folder]`."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from methods import pixel_cnn, ppcr_module, residual_block, two_by_two
from sketch import BLUE, GREY, LESION, ORANGE, PALE, SETTINGS, Card, bump, eye

from medattn.figures.style import PRINTED


def algorithm1() -> Card:
    """Draw Algorithm 1 on a time line: map and network learn, then the network alone."""
    card = Card(3.0)
    start, cut, end = 0.5, 2.45, 8.5  # epochs 1, 60 and 250, to scale
    for k, width in enumerate((0.9, 0.6, 0.4)):
        card.picture(start + 0.08 + 0.63 * k, 2.15, 0.52, bump(16, width=width), edge=BLUE)
    card.arrow((cut + 0.02, 2.41), (cut + 0.6, 2.41))
    card.picture(cut + 0.65, 2.15, 0.52, bump(16), edge=BLUE, line=2)
    card.text(cut + 1.3, 2.41, "the map M is frozen", 10, ha="left", color=BLUE)
    words = "pixel CNN and\nimage CNN learn"
    card.box(start, 1.4, cut - start, 0.65, words, PALE["blue"])
    card.box(cut, 1.4, end - cut, 0.65, "only the image CNN learns", PALE["grey"])
    card.text((start + cut) / 2, 1.2, "cross-entropy + λ · mean of M", 9)
    card.text((cut + end) / 2, 1.2, "cross-entropy", 9)
    card.arrow((start, 0.95), (8.8, 0.95))
    for x, label in ((start, "epoch 1"), (cut, "E = 60"), (end, "250")):
        card.line([x, x], [0.88, 1.02])
        card.text(x, 0.74, label, 9)
    card.text(4.5, 0.33, "at all times the network sees image × map: X · M", 10, weight="bold")
    return card


def printed_protocol() -> Card:
    """Draw how global attention's paper arrives at a printed number (section 4.6)."""
    card = Card(3.4)
    rng = np.random.default_rng(5)
    xs, n = np.linspace(1.75, 5.6, 120), 120
    rise = 0.5 * (1 - np.exp(-1.6 * (xs - 1.75)))
    folds = 2.2 + rise + 0.09 * rng.standard_normal((5, n))
    mean = folds.mean(0)
    test = 0.85 + rise + 0.055 * rng.standard_normal(n)
    best = np.sort(np.argsort(mean)[-30:])
    for fold in folds:
        card.line(xs, fold, color=PALE["blue"], linewidth=0.5)
    card.line(xs, mean, color=BLUE, linewidth=1.2)
    card.line(xs, test, color=GREY, linewidth=1.2)
    for k in best:
        look = {"color": ORANGE, "linewidth": 0.6, "alpha": 0.5}
        card.line([xs[k]] * 2, [test[k], mean[k]], **look)
    for curve in (mean, test):
        card.ax.plot(xs[best], curve[best], "o", color=ORANGE, markersize=3.5, zorder=5)
    card.text(0.9, 2.5, "five folds of the\ntraining images", 9, color=BLUE)
    card.text(0.9, 1.15, "test images,\nONE run", 9, color="0.3")
    card.arrow((1.7, 0.62), (5.85, 0.62))
    card.text(3.7, 0.42, "epochs", 9)
    words = "1. take the 30 epochs where the folds are best"
    card.text(3.65, 3.12, words, 9, color="#a86a00", weight="bold")
    card.arrow((5.7, 1.35), (6.3, 1.35), colour=ORANGE)
    card.box(6.3, 1.0, 2.45, 0.75, "2. print mean and deviation\nof the 30 test accuracies", size=9)
    card.arrow((7.52, 1.75), (7.52, 2.2))
    card.box(
        6.3, 2.2, 2.45, 0.7, "3. t-test against another\nmethod, with n = 30", PALE["orange"], 9
    )
    card.text(7.52, 0.55, "but 30 epochs of one run\nare not 30 runs", 10, weight="bold")
    return card


def map_score() -> Card:
    """Draw how a map is scored: AUC of the pixels inside against outside, and pointing."""
    card = Card(3.0)
    card.picture(0.25, 0.65, 1.55, eye(28, ((0.15, 0.1), (0.35, -0.2))))
    values = bump(28, 0.1, 0.05, 0.45)
    axis = (np.arange(28) + 0.5) * 2 / 28 - 1
    black = np.hypot(*np.meshgrid(axis, axis)) > 0.95
    for left in (2.0, 7.15):
        card.picture(left, 0.65, 1.55, np.where(black, np.nan, values))
    for left in (0.25, 2.0):
        card.ring(left + 0.775 + 0.12, 0.65 + 0.775, 0.36)
    card.text(1.02, 2.47, "an image, and the\nregion that matters", 9)
    card.text(2.78, 2.47, "a map; the black\ncorners do not count", 9)
    card.arrow((3.6, 1.42), (3.95, 1.42))
    x = np.linspace(0, 1, 80)
    for middle, colour, name in ((0.3, GREY, "outside"), (0.68, LESION, "inside")):
        y = np.exp(-((x - middle) ** 2) / 0.03)
        look = {"color": colour, "alpha": 0.5, "linewidth": 0}
        card.ax.fill_between(4.1 + 2.4 * x, 0.85, 0.85 + 0.95 * y, **look)
        card.text(4.1 + 2.4 * middle, 1.92, name, 9, color=colour, weight="bold")
    card.arrow((4.05, 0.85), (6.65, 0.85))
    card.text(5.32, 0.68, "value of the map", 9)
    card.text(5.32, 2.47, "AUC: how often is a pixel inside\nhigher than one outside?", 9)
    card.text(5.32, 0.33, "0.5 says nothing, 1 is perfect", 9, weight="bold")
    x, y = 7.15 + 0.775 * 1.1, 0.65 + 0.775 * 0.95
    card.ring(x, y, 0.2, "black", 1.5)
    card.ax.plot(x, y, "x", color="black", markersize=7, markeredgewidth=2, zorder=7)
    card.ring(x + 0.24, y + 0.13, 0.1, "white", 1, LESION)
    card.text(7.92, 2.47, "pointing: is the highest\npixel × on the lesion?", 9)
    card.text(7.92, 0.33, "near it, within the\ncircle, counts too", 9, weight="bold")
    return card


def grim() -> Card:
    """Draw GRIM: a printed accuracy must be a whole number of images."""
    card = Card(3.0)

    def place(value: float, low: float = 86.2, high: float = 88.8) -> float:
        return 0.6 + (value - low) / (high - low) * 7.8

    card.line([0.5, 8.5], [2.3, 2.3])
    for count in range(135, 139):
        value = 100 * count / 156
        card.line([place(value)] * 2, [2.15, 2.45], linewidth=2.5, color=BLUE)
        words = f"{count} of 156\n= {value:.2f} %"
        card.text(place(value), 2.7, words, 9, color=BLUE)
    near = 87.172, 87.212
    edges = [place(value) for value in near]
    card.square(edges[0], 2.1, edges[1] - edges[0], 0.4, PALE["orange"], "0.5", 0.9)
    for edge, x in zip(edges, (0.6, 8.4), strict=True):
        card.line([edge, x], [2.1, 1.5], color="0.5", linewidth=0.8, linestyle="--")
    card.text(4.1, 1.6, "enlarged", 9, color="0.3")
    card.line([0.5, 8.5], [1.2, 1.2])
    one = place(100 * 136 / 156, *near)
    card.line([one, one], [1.03, 1.37], linewidth=2.5, color=BLUE)
    card.text(one, 0.75, "136 of 156\n= 87.179 %", 9, color=BLUE)
    low, printed, high = (place(value, *near) for value in (87.195, 87.2, 87.205))
    card.square(low, 1.1, high - low, 0.2, PALE["orange"], "none")
    card.ax.plot(printed, 1.2, linestyle="", markersize=9, **PRINTED)
    card.text(printed, 0.75, "printed: 87.20 %, and all\nthat is rounded to it", 9)
    words = "87.20 % of 156 images are 136.03 images: impossible"
    card.text(4.5, 0.3, words, 10, weight="bold")
    return card


DIAGRAMS = (
    ppcr_module,
    residual_block,
    pixel_cnn,
    algorithm1,
    printed_protocol,
    map_score,
    two_by_two,
    grim,
)


def main(folder: Path) -> None:
    """Write every diagram to a folder."""
    for diagram in DIAGRAMS:
        with mpl.rc_context(SETTINGS):
            diagram().save(folder / f"{diagram.__name__}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
