"""Curves: what changes over the epochs of a training, over a setting, or over perturbed pixels."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from medattn.figures.images import show_map
from medattn.figures.style import PALETTE, WIDTH, new_figure, styled


@styled()
def training_so_far(
    history: pd.DataFrame, epochs: int, picture: Tensor | None = None, label: str = ""
) -> Figure:
    """Draw loss, accuracy and learning rate of an unfinished run, on axes for all its `epochs`.

    `history` is `Run.history`, and may be empty. A `picture` (H, W) is drawn beside them.
    """
    titles = ["loss", "accuracy", "learning rate"] + ([] if picture is None else [label])
    figure = Figure(figsize=(WIDTH, 2.6))  # laid out by hand: training needs the processor
    margins = {"left": 0.06, "right": 0.97, "bottom": 0.2, "top": 0.86, "wspace": 0.4}
    axes = figure.subplots(1, len(titles), gridspec_kw=margins)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
    marker = "." if len(history) <= 20 else ""  # many would hide which line is dashed
    style = {"color": PALETTE[0], "marker": marker}
    for ax, column in zip(axes, ("loss", "accuracy"), strict=False):
        ax.plot(history["epoch"], history[f"train_{column}"], "--", label="training", **style)
        ax.plot(history["epoch"], history[f"val_{column}"], "-", label="validation", **style)
    style["color"] = PALETTE[1]
    axes[2].step(history["epoch"], history["lr"], "-", where="mid", **style)
    for ax in axes[:3]:
        ax.set_xlim(0, epochs + 0.5)
        ax.locator_params(nbins=4)
        ax.locator_params("x", integer=True)
        ax.set_xlabel("epoch", fontsize=9)
        ax.tick_params(labelsize=9)
    axes[2].set_ylim(0, 1.15 * history["lr"].max() if len(history) else 1)
    axes[2].yaxis.set_major_formatter("{x:g}")
    axes[0].legend()
    if picture is not None:
        show_map(axes[3], picture)
        axes[3].set_xlabel(f"{picture.min():.2g} to {picture.max():.2g}", fontsize=9)
    return figure


@styled()
def line_plot(table: pd.DataFrame, x: str, y: str, by: str, log: Sequence[str] = "xy") -> Figure:
    """Draw column `y` over `x`, one line per value of `by`; `log` names the logarithmic axes."""
    figure, [[ax]] = new_figure(1, 1, 3.2)
    for name, rows in table.groupby(by, sort=False):
        ax.plot(rows[x], rows[y], label=name)
    ax.set(xlabel=x, ylabel=y, **{f"{axis}scale": "log" for axis in log})
    ticks = sorted(table[x].unique())
    if "x" in log and len(ticks) <= 8:  # room for a label at each value
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.minorticks_off()
    ax.grid()
    figure.legend(loc="outside right center")
    return figure


@styled()
def perturbation_curves(curves: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw the means of deletion and insertion curves (N, steps + 1), and their areas, by map."""
    figure, [axes] = new_figure(1, 2, 3.4, sharey=True)
    for k, (ax, change) in enumerate(zip(axes, ("taken away", "brought back"), strict=True)):
        for name, both in curves.items():
            mean = np.asarray(both[k]).mean(0)
            share = np.linspace(0, 100, len(mean))
            ax.plot(share, mean, label=f"{name}: {mean.mean():.2f}", markersize=4)
        ax.set_xlabel(f"% of pixels {change}, the map's highest first")
        ax.legend()
    axes[0].set_ylabel("probability of the answer")
    return figure
