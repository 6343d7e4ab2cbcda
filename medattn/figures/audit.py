"""Figures of an audit: how many printed cells each number of test images fits, and which F1 two classes allow."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medattn.figures.parts import PALETTE, new


def fits_by_size(counted: Mapping[str, pd.DataFrame], marked: Mapping[str, int], label: str) -> Figure:
    """Draw the number of cells that fit over the number of images, a panel a column of figures.

    `counted` holds frames as `evaluation.audit.fits` gives them; `marked` says which n of a panel is named. Dashed: how
    many cells fit by luck, on average.
    """
    n_rows = -(-len(counted) // 2)
    figure, axes = new(n_rows, 2, 0.5 + 1.8 * n_rows, sharey=True)
    highest = max(frame["cells"].max() for frame in counted.values())
    for place, (name, frame) in zip(axes.flat, counted.items(), strict=False):
        at = marked.get(name)
        place.vlines(frame.index, 0, frame["cells"], color="0.6", linewidth=0.8)
        place.plot(frame.index, frame["by_luck"], color="black", linewidth=1, linestyle="--")
        if at in frame.index:
            height = frame.loc[at, "cells"]
            place.vlines(at, 0, height, color=PALETTE[3], linewidth=2.2)
            place.annotate(f"{at}", (at, height), (0, 2), textcoords="offset points", ha="center", va="bottom")
        place.set(title=name, ylim=(0, 1.2 * highest))
        place.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        place.set_xlim(frame.index.min(), frame.index.max())
        place.spines[["top", "right"]].set_visible(False)
    for place in axes.flat[len(counted) :]:
        place.set_axis_off()
    figure.supxlabel(label, fontsize=11)
    figure.supylabel("cells that fit", fontsize=11)
    return figure


def f1_allowed(rows: pd.DataFrame) -> Figure:
    """Draw the F1 that accuracy and class counts allow, and the F1 that is printed, a line a row.

    `rows` are as `evaluation.audit.two_classes` gives them, named by their index. Bars: from the lowest to the highest
    F1 possible. A circle is a printed F1 that one confusion matrix or more has, a cross one that none has.
    """
    figure, axes = new(1, 1, 0.8 + 0.24 * len(rows))
    place, height = axes[0, 0], np.arange(len(rows))
    lowest, highest, printed = (rows[name].astype(float).to_numpy() for name in ("lowest", "highest", "f1"))
    place.barh(height, highest - lowest, left=lowest, height=0.55, color="0.85", label="possible")
    for has, marker, colour, label in (
        (rows["matrices"].to_numpy() > 0, "o", PALETTE[0], "printed, possible"),
        (rows["matrices"].to_numpy() == 0, "X", PALETTE[3], "printed, not possible"),
    ):
        place.scatter(printed[has], height[has], marker=marker, color=colour, s=45, label=label, zorder=3)
    place.set_yticks(height, rows.index)
    place.set_ylim(len(rows) - 0.5, -0.5)
    place.set_xlim(min(lowest.min(), printed.min()) - 1, max(highest.max(), printed.max()) + 1)
    place.set_xlabel("weighted F1, %")
    place.grid(axis="x", alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
