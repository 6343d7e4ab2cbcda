"""Draw the README's picture from recorded results: `python docs/diagrams/hero.py [file]`.

It shows a drawn retina, a learned map of each kind, and what the papers print beside what we
measured.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from medattn.datasets.phantoms import draw, region
from medattn.figures import png
from medattn.figures.images import outline, show_image, show_map
from medattn.figures.style import PRINTED, look, styled
from medattn.papers.results import result_maps, result_runs
from medattn.papers.scorecard import claims, measure_claim

SIZE = (9.0, 3.2)  # inches
LEAST = 3  # seeds, of a difference that is shown; a run as long as the paper's is always shown
SETTING = "epochs == 16 and map_hidden == 32 and (weight_map == 'l1' or map_epochs == 8)"


class Row(NamedTuple):
    """A printed difference and ours, in points of accuracy."""

    label: str
    claimed: float
    value: float
    low: float
    high: float


def learned_map(kind: str) -> Tensor:
    """Return the map, "global" or "l1", of seed 0 of notebook 11's runs on phantoms."""
    runs = result_runs().query("dataset == 'phantoms' and attention == 'none' and size == 28")
    runs = runs.query("weight_map == @kind and n_train == 600 and split == 'own' and seed == 0")
    runs = runs.query(f"{SETTING} and map_penalty in (0.001, 1)")
    (run,) = runs["run"]
    return result_maps(run)["after"]


def rows() -> list[Row]:
    """Return every claimed gain of the papers' two methods that we measured, our largest first."""
    found = {}
    for claim in claims():
        result = measure_claim(claim)
        if not (result and result.claimed is not None and result.paired is not None):
            continue
        enough = result.n_seeds >= LEAST or not result.unlike
        if enough and result.what.startswith(("PPCR over", "pixel CNN over")):
            ours = result.paired
            numbers = (result.claimed, ours.difference, ours.low, ours.high)
            found[result.what] = Row(result.what, *numbers)
    return sorted(found.values(), key=lambda row: -row.value)


def draw_rows(ax: Axes) -> None:
    """Draw printed differences as diamonds and ours as dots with their intervals."""
    ax.axvline(0, color="black", linewidth=0.8)
    shown = rows()
    colours = {kind: look(kind).colour for kind in ("ppcr", "global")}
    for y, row in enumerate(shown):
        colour = colours["ppcr" if row.label.startswith("PPCR") else "global"]
        ax.plot([row.low, row.high], [y, y], "-", marker="", color=colour, linewidth=2)
        ax.plot(row.value, y, "o", color=colour, markersize=5)
        ax.plot(row.claimed, y, linestyle="", **{**PRINTED, "markersize": 5})
    ax.set_yticks(range(len(shown)), [row.label for row in shown], fontsize=8)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="x", labelsize=8)
    words = (
        "gain in test accuracy, points (BreastMNIST, or as named)\n"
        "our runs are shorter or smaller, but for that of 150 epochs"
    )
    ax.set_xlabel(words, fontsize=8, loc="right")
    handles = [
        Line2D([], [], linestyle="", label="printed", **{**PRINTED, "markersize": 5}),
        Line2D([], [], marker="o", markersize=5, color="0.3", label="ours, 95 % interval"),
    ]
    spot = {"loc": "lower center", "bbox_to_anchor": (0.4, 1), "ncols": 2}
    ax.legend(handles=handles, fontsize=8, borderaxespad=0, **spot)


@styled()
def hero() -> Figure:
    """Return the picture."""
    figure = Figure(figsize=SIZE, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3.1))
    split, circle = draw(12, 112, "test"), region(28)
    chosen = int(split.masks.sum((1, 2)).argmax())
    panels = left.subplots(2, 2).flat
    show_image(panels[0], split.images[chosen], split.masks[chosen])
    panels[0].set_title("a drawn retina,\nlesions outlined", fontsize=9)
    mean = draw(120).images.float().mean(0).round().byte()
    show_image(panels[1], mean, circle)
    panels[1].set_title("where lesions\nmatter", fontsize=9)
    kinds = {"global": "a map as printed\nmisses it", "l1": "free weights\nfind it"}
    for ax, (kind, title) in zip((panels[2], panels[3]), kinds.items(), strict=True):
        show_map(ax, learned_map(kind))
        outline(ax, circle)
        ax.set_title(title, fontsize=9)
    right.suptitle("what two papers print, and what we measured", fontsize=10)
    draw_rows(right.add_subplot())
    return figure


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("hero.png")
    target.write_bytes(png(hero()))
