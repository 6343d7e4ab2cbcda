"""Figures of speed: rounds timed in turn, ratios side by side, and a roofline."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medattn.figures.style import PALETTE, new_figure, styled


@styled()
def rounds(seconds: pd.DataFrame) -> Figure:
    """Draw the times of two sides, the columns of `seconds`, and the ratio of second to first."""
    figure, ((above,), (below,)) = new_figure(2, 1, 4.0, sharex=True)
    n, (first, second) = seconds.index + 1, seconds.columns
    for name, values in seconds.items():
        above.plot(n, 1000 * values, linestyle="-", label=name)
    above.set_ylabel("milliseconds")
    above.legend()
    ratio = seconds[second] / seconds[first]
    low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
    below.axhspan(low, high, color="0.88", label=f"quartiles: {low:.2f} to {high:.2f}")
    below.axhline(middle, color=PALETTE[3], label=f"median: {middle:.2f}")
    below.axhline(1, color="black", linewidth=0.8, linestyle=":")
    below.plot(n, ratio, "o", color="black", markersize=4)
    below.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    below.set(xlabel="round", ylabel=f"{second} / {first}")
    return figure


@styled()
def grouped_ratios(rows: pd.DataFrame, label: str) -> Figure:
    """Draw ratios to a base, which is 1, with their quartiles: a group per setting, a bar per side.

    Columns of `rows`: `setting`, `side`, `ratio`, `low`, `high`.
    """
    figure, ((ax,),) = new_figure(1, 1, 3.6)
    settings, sides = rows["setting"].unique(), rows["side"].unique()
    x, width = np.arange(len(settings)), 0.8 / len(sides)
    for k, side in enumerate(sides):
        bars = rows[rows["side"] == side].set_index("setting").loc[settings]
        ratio, options = bars["ratio"], {"color": PALETTE[k], "ecolor": "0.3", "label": side}
        spread = [ratio - bars["low"], bars["high"] - ratio]
        ax.bar(x + (k - (len(sides) - 1) / 2) * width, ratio, width * 0.92, yerr=spread, **options)
    ax.axhline(1, color="black", linewidth=1)
    ax.set_xticks(x, settings)
    ax.set_ylabel(label)
    ax.legend()
    return figure


@styled()
def roofline(points: pd.DataFrame, bytes_per_second: float, flops: float) -> Figure:
    """Draw the speed of each point by its operations per byte, under the limits of the machine.

    Columns of `points`: `name`, `operations`, `bytes` (the fewest it must move), `seconds`.
    """
    figure, ((ax,),) = new_figure(1, 1, 4.2)
    intensity, speed = (points["operations"] / points[by] for by in ("bytes", "seconds"))
    x = np.geomspace(intensity.min() / 3, intensity.max() * 3, 200)
    limit = np.minimum(x * bytes_per_second, flops) / 1e9
    ax.plot(x, limit, color="black", marker="", linestyle="-", label="the machine")
    shares = speed / np.minimum(intensity * bytes_per_second, flops)
    ax.set_prop_cycle(None)
    for name, at, per_second, share in zip(points["name"], intensity, speed, shares, strict=True):
        ax.plot(at, per_second / 1e9, linestyle="", markersize=8, label=f"{name}: {share:.0%}")
    ax.set(xscale="log", yscale="log", ylabel="10$^9$ operations per second")
    ax.set_xlabel("operations per byte that must be moved")
    beside = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    ax.legend(title="share of the possible", **beside)
    return figure
