"""What the papers print, checked: fitting cells, possible F1, and claims beside measurements."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medattn.figures.style import PALETTE, PRINTED, name_rows, new_figure, styled


@styled()
def fits_by_size(
    counted: Mapping[str, pd.DataFrame], marked: Mapping[str, int], label: str
) -> Figure:
    """Draw how many printed cells fit each number of images, and how many by luck (dashed).

    `counted` holds tables of `papers.audit.fits` by title, and `marked` a number to mark in each.
    """
    n_rows = -(-len(counted) // 2)
    figure, axes = new_figure(n_rows, 2, 0.5 + 1.8 * n_rows, sharey=True)
    highest = max(frame["cells"].max() for frame in counted.values())
    for ax, (name, frame) in zip(axes.flat, counted.items(), strict=False):
        ax.vlines(frame.index, 0, frame["cells"], color="0.6", linewidth=0.8)
        ax.plot(frame["by_luck"], "--", color="black", linewidth=1)
        n = marked.get(name)
        if n in frame.index:
            height = frame.loc[n, "cells"]
            ax.vlines(n, 0, height, color=PALETTE[3], linewidth=2.2)
            ax.text(n, height, f"{n}", ha="center", va="bottom")
        ax.set(title=name, ylim=(0, 1.2 * highest), xlim=(frame.index.min(), frame.index.max()))
        ax.locator_params("y", nbins=4, integer=True)
    for ax in axes.flat[len(counted) :]:
        ax.set_axis_off()
    figure.supxlabel(label)
    figure.supylabel("cells that fit")
    return figure


@styled()
def f1_allowed(rows: pd.DataFrame) -> Figure:
    """Draw the F1 that accuracy and class counts allow, and the printed F1, by row.

    `rows` is a table of `papers.audit_f1.two_classes`. Bars are possible F1 from lowest to highest.
    A red diamond is a printed F1 that no confusion matrix has.
    """
    figure, [[ax]] = new_figure(1, 1, 0.8 + 0.24 * len(rows))
    y = np.arange(len(rows))
    low, high, printed = rows[["lowest", "highest", "f1"]].to_numpy(dtype=float).T
    ax.barh(y, high - low, left=low, height=0.55, color="0.85", label="possible")
    possible = rows["matrices"].to_numpy() > 0
    for shown, face, label in (
        (possible, "white", "printed, possible"),
        (~possible, PALETTE[3], "printed, not possible"),
    ):
        look = PRINTED | {"markerfacecolor": face, "markersize": 7, "linestyle": ""}
        ax.plot(printed[shown], y[shown], label=label, **look)
    name_rows(ax, rows.index)
    ax.set_xlim(min(low.min(), printed.min()) - 1, max(high.max(), printed.max()) + 1)
    ax.set_xlabel("weighted F1, %")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
