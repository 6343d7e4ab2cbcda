"""The scorecard as a picture: what the papers claim, and what was measured, in points of accuracy."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medattn.figures.parts import PALETTE, new


def claimed_and_measured(table: pd.DataFrame) -> Figure:
    """Draw each printed difference (diamond) over our own (dot) with its 95 % interval (bar), a row a claim.

    `table` has the columns group, label, claimed, difference, low, high (points of accuracy, a plus is what the paper
    claims), n_seeds and like: whether our runs are as the paper's. Where not, the dot is hollow.
    """
    groups = [rows for _, rows in table.groupby("group", sort=False)]
    table, heights, names, height = pd.concat(groups), [], [], 0.0
    for rows in groups:
        heights += [height + 1 + k for k in range(len(rows))]
        height += len(rows) + 1.2
    figure, axes = new(1, 1, 1.1 + 0.24 * height)
    place = axes[0, 0]
    place.axvline(0, color="black", linewidth=1)
    for at, row in zip(heights, table.itertuples(), strict=True):
        place.plot([row.low, row.high], [at, at], color=PALETTE[0], linewidth=2, alpha=1 if row.like else 0.6)
        place.plot(row.difference, at, "o", color=PALETTE[0], markerfacecolor=PALETTE[0] if row.like else "white")
        place.plot(row.claimed, at, "D", color=PALETTE[1], markeredgecolor="black", markersize=6, zorder=3)
        names.append(f"{row.label}  ({row.n_seeds})")
    across = place.get_yaxis_transform()
    for group in table["group"].unique():
        at = heights[list(table["group"]).index(group)] - 0.85
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        place.text(0.005, at, group, transform=across, fontsize=10, weight="bold", va="center", bbox=behind)
    place.set_yticks(heights, names, fontsize=9)
    place.set_ylim(height - 0.3, -0.6)
    place.grid(axis="x", alpha=0.3)
    place.set_xlabel("difference in test accuracy, points; right of 0 is what the paper claims")
    place.spines[["top", "right", "left"]].set_visible(False)
    dot = {"color": PALETTE[0], "marker": "o", "linewidth": 2}
    shown = [
        Line2D([], [], color=PALETTE[1], marker="D", markeredgecolor="black", linewidth=0, label="printed"),
        Line2D([], [], **dot, label="ours, 95 % interval"),
        Line2D([], [], **dot, markerfacecolor="white", alpha=0.6, label="ours, other data, network or schedule"),
    ]
    figure.legend(handles=shown, loc="outside upper center", ncols=3, frameon=False)
    return figure
