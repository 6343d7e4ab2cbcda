"""Figures of speed: measured ratios beside what was to be reached, and a roofline."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medattn.figures.parts import PALETTE, new

REACHED, MISSED, TO_REACH = PALETTE[0], PALETTE[1], "black"


def rounds(seconds: pd.DataFrame) -> Figure:
    """Draw what two sides took in each round, and the ratio of the second to the first: its median and its quartiles.

    Columns of `seconds`: the two sides.
    """
    figure, axes = new(2, 1, 4.0, sharex=True)
    (above,), (below,) = axes
    for k, (name, values) in enumerate(seconds.items()):
        above.plot(seconds.index + 1, 1000 * values, "os"[k % 2] + "-", color=PALETTE[k], label=name)
    first, second = seconds.columns
    ratio = seconds[second] / seconds[first]
    low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
    below.axhspan(low, high, color="0.88", label=f"quartiles: {low:.2f} to {high:.2f}")
    below.axhline(middle, color=PALETTE[3], label=f"median: {middle:.2f}")
    below.axhline(1, color="black", linewidth=0.8, linestyle=":")
    below.plot(seconds.index + 1, ratio, "o", color="black", markersize=4)
    below.legend(frameon=False, fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    above.set_ylabel("milliseconds")
    above.legend(frameon=False, fontsize=9)
    below.set_ylabel(f"{second} / {first}")
    below.set_xlabel("round")
    return figure


def grouped_ratios(rows: pd.DataFrame, label: str) -> Figure:
    """Draw ratios side by side, a group for each setting and a bar for each side, with their quartiles; base: 1.

    Columns of `rows`: `setting`, `side`, `ratio`, `low`, `high`.
    """
    figure, ((axes,),) = new(1, 1, 3.6)
    settings, sides = rows["setting"].unique(), rows["side"].unique()
    width = 0.8 / len(sides)
    for k, side in enumerate(sides):
        one = rows[rows["side"] == side].set_index("setting").loc[settings]
        x = np.arange(len(settings)) + (k - (len(sides) - 1) / 2) * width
        spread = np.array([one["ratio"] - one["low"], one["high"] - one["ratio"]])
        axes.bar(x, one["ratio"], width * 0.92, yerr=spread, color=PALETTE[k], ecolor="0.3", label=side)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks(np.arange(len(settings)), [setting.partition(" of ")[0] for setting in settings])
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=9)
    return figure


def against_reach(rows: pd.DataFrame) -> Figure:
    """Draw each ratio in units of the reach it was held to, with its quartiles, on a log axis: left of 1 it got there.

    Columns of `rows`: `name`, `ratio`, `low`, `high`, `reach`, `at_least` (bool: more is better). Reached and missed
    differ in colour and in shape.
    """
    figure, ((axes,),) = new(1, 1, 1.0 + 0.29 * len(rows))
    y = np.arange(len(rows))[::-1]
    far = rows[["low", "ratio", "high"]].div(rows["reach"], axis=0)
    far = far.where(~rows["at_least"], 1 / far)
    axes.axvline(1, color=TO_REACH, linewidth=1)
    axes.hlines(y, far["low"], far["high"], color="grey", linewidth=2)
    for met, colour, marker, label in ((True, REACHED, "o", "reached"), (False, MISSED, "s", "not reached")):
        which = (far["ratio"] <= 1) == met
        axes.plot(far["ratio"][which], y[which], marker, color=colour, label=label)
    axes.set_xscale("log")
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10) if far["low"].min() / 2 < t < far["high"].max() * 2]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    bounds = np.where(rows["at_least"], "at least", "at most")
    shown = zip(rows["name"], rows["ratio"], bounds, rows["reach"], strict=True)
    axes.set_yticks(y, [f"{name}: {ratio:.2f} ({bound} {reach:g})" for name, ratio, bound, reach in shown])
    axes.set_xlabel("times what was asked")
    axes.legend(fontsize=9, frameon=False)
    return figure


def roofline(points: pd.DataFrame, bytes_a_second: float, operations_a_second: float) -> Figure:
    """Draw how many operations a second each point makes, by its operations a byte, under what the machine can do.

    Columns of `points`: `name`, `operations`, `bytes` (the fewest it must move), `seconds`.
    """
    figure, ((axes,),) = new(1, 1, 4.2)
    intensity = points["operations"] / points["bytes"]
    speed = points["operations"] / points["seconds"]
    x = np.geomspace(intensity.min() / 3, intensity.max() * 3, 200)
    axes.plot(x, np.minimum(x * bytes_a_second, operations_a_second) / 1e9, color="black", label="the machine")
    for k, (name, where, reached) in enumerate(zip(points["name"], intensity, speed, strict=True)):
        possible = min(where * bytes_a_second, operations_a_second)
        axes.plot(
            where,
            reached / 1e9,
            "osD^vPX<>"[k % 9],
            color=PALETTE[k],
            markersize=8,
            label=f"{name}: {reached / possible:.0%}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations for each byte that must be moved")
    axes.set_ylabel("10$^9$ operations a second")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title="share of the possible")
    return figure
