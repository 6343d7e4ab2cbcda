"""What was measured: training curves, confusion, values by stage, our accuracies beside the paper's."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest
from torch import Tensor

from medattn.evaluation.statistics import mean_over_seeds, wilson
from medattn.figures.parts import MAP_COLOURS, PALETTE, WIDTH, bare, new


def by_stage(
    values: Mapping[str, Tensor], stages: Sequence[str], label: str, reference: Mapping[str, float] | None = None
) -> Figure:
    """Compare quantities over the stages: a marker with its value a stage, a colour and a marker a quantity.

    A quantity is (stages,), or (stages, n) of one number an image or a seed: the mean is shown with its 95 % interval
    over them (nan left out), Student's, or Wilson's for a share, whose numbers are all 0 or 1. `reference` names
    horizontal lines, such as chance.
    """
    figure, axes = new(1, 1, 3.3)
    place = axes[0, 0]
    tables = {name: np.asarray(each, dtype=float).reshape(len(stages), -1) for name, each in values.items()}
    largest = max(np.nanmax(np.abs(np.nanmean(numbers, 1))) for numbers in tables.values())
    digits = max(2, 1 - int(np.floor(np.log10(largest or 1))))  # two that tell something
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}  # no line strikes a number through
    for k, (name, numbers) in enumerate(tables.items()):
        mean = np.nanmean(numbers, 1)
        low, high = _intervals(numbers) if numbers.shape[1] > 1 else (mean, mean)
        reach = None if numbers.shape[1] == 1 else np.maximum([mean - low, high - mean], 0)  # not -1e-17
        x = np.arange(len(stages)) + (k - (len(values) - 1) / 2) * 0.8 / len(values)
        place.errorbar(x, mean, reach, fmt="osD^v*"[k % 6], color=PALETTE[k], label=name, capsize=3, markersize=6)
        for at, number, up in zip(x, mean, np.where(np.isfinite(high), high, mean), strict=True):
            said = f"{number:.{digits}f}"
            small = 9 if len(values) < 4 else 8
            place.annotate(
                said, (at, up), (0, 4), textcoords="offset points", ha="center", fontsize=small, bbox=behind, zorder=1
            )
    for style, (name, number) in zip(("--", ":", "-."), (reference or {}).items(), strict=False):
        place.axhline(number, color="black", linewidth=1, linestyle=style, label=name, zorder=0)
    place.set_xticks(range(len(stages)), stages)
    place.set_xlim(-0.5, len(stages) - 0.5)
    place.margins(y=0.15)
    place.set_ylabel(label)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def _intervals(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the lower and the upper ends of the 95 % intervals of the means of rows: (stages, n) -> two of (stages,)."""
    rows = [row[np.isfinite(row)] for row in numbers]
    if np.isin(np.concatenate(rows), (0, 1)).all():
        ends = [wilson(int(row.sum()), len(row)) if len(row) else (np.nan, np.nan) for row in rows]
    else:
        means = [mean_over_seeds(row) if len(row) else None for row in rows]
        ends = [(mean.low, mean.high) if mean else (np.nan, np.nan) for mean in means]
    low, high = np.array(ends).T
    return low, high


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy by epoch, one colour a run; training dashed, validation solid."""
    figure, axes = new(1, 2, 3.2)
    for place, what, label in ((axes[0, 0], "loss", "cross-entropy"), (axes[0, 1], "accuracy", "accuracy")):
        for colour, (name, history) in zip(cycle(PALETTE), histories.items(), strict=False):
            place.plot(history["epoch"], history[f"train_{what}"], color=colour, linestyle="--", linewidth=1)
            place.plot(history["epoch"], history[f"val_{what}"], color=colour, label=name)
        place.set_xlabel("epoch (dashed: training, solid: validation)")
        place.set_ylabel(label)
        place.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def training_so_far(
    history: pd.DataFrame, epochs: int, picture: Tensor | None = None, label: str = "", size: tuple[int, int] = (9, 2.6)
) -> Figure:
    """Loss, accuracy and learning rate of a run that is not at its end, on axes that show all its `epochs`.

    `history` has the columns of `Run.history`, and may be empty. `picture` (H, W) is drawn beside them with its range.
    """
    n = 3 + (picture is not None)
    figure = Figure(figsize=size)  # laid out by hand: drawn while a training wants the processor
    width = 0.94 / n
    places = [figure.add_axes((0.06 + k * width, 0.2, width - 0.07, 0.66)) for k in range(n)]
    marker = "." if len(history) <= 20 else ""  # many would hide which line is dashed
    for place, what in zip(places[:2], ("loss", "accuracy"), strict=True):
        for part, style, name in (("train", "--", "training"), ("val", "-", "validation")):
            place.plot(history["epoch"], history[f"{part}_{what}"], style, color=PALETTE[0], marker=marker, label=name)
    places[2].step(history["epoch"], history["lr"], where="mid", color=PALETTE[1], marker=marker)
    for place, title in zip(places, ("loss", "accuracy", "learning rate"), strict=False):
        place.set_title(title, fontsize=11)
        place.set_xlim(0, epochs + 0.5)
        place.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        place.yaxis.set_major_locator(MaxNLocator(4))
        place.spines[["top", "right"]].set_visible(False)
        place.set_xlabel("epoch", fontsize=9)
        place.tick_params(labelsize=9)
    places[2].set_ylim(0, 1.15 * history["lr"].max() if len(history) else 1)
    places[2].yaxis.set_major_formatter("{x:g}")
    places[0].legend(frameon=False, fontsize=9)
    if picture is not None:
        array = np.asarray(picture, dtype=float)
        places[3].imshow(array, cmap=MAP_COLOURS)
        bare(places[3])
        places[3].set_title(label, fontsize=11)
        places[3].set_xlabel(f"{array.min():.2g} to {array.max():.2g}", fontsize=9)
    return figure


def confusion_matrix(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts of images: rows are labels, columns predictions."""
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2.6), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(confusion, annot=True, fmt="d", cmap="Blues", cbar=False, square=True, ax=axes)
    axes.set_xticklabels(classes, rotation=30)
    axes.set_yticklabels(classes, rotation=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    return figure


def beside_the_paper(table: pd.DataFrame) -> Figure:
    """Recorded accuracies, a marker a run, beside the paper's printed figure; a panel a data set.

    `table` has a row per printed or recorded accuracy in 0..100: dataset, method, accuracy, source ("paper" for what is
    printed, else the name of a kind of run, three at most).
    """
    datasets, methods, sources = (list(dict.fromkeys(table[name])) for name in ("dataset", "method", "source"))
    kinds = [source for source in sources if source != "paper"]
    if len(kinds) > 3:
        raise ValueError(f"{len(kinds)} kinds of runs, {', '.join(kinds)}: three at most can be told apart")
    looks = {"paper": ("D", PALETTE[1])} | dict(zip(kinds, zip("os^", PALETTE[::2], strict=False), strict=False))
    figure, axes = new(1, len(datasets), 1.4 + 0.55 * len(methods), sharey=True)
    for place, dataset in zip(axes[0], datasets, strict=True):
        for k, (source, (marker, colour)) in enumerate(looks.items()):
            rows = table[(table["dataset"] == dataset) & (table["source"] == source)]
            shift = 0.28 * (k - (len(looks) - 1) / 2)
            height = [methods.index(method) + shift for method in rows["method"]]
            place.scatter(rows["accuracy"], height, marker=marker, color=colour, label=source, alpha=0.8, zorder=3)
        place.set_yticks(range(len(methods)), methods)
        place.set_ylim(len(methods) - 0.5, -0.5)
        place.set_xlabel("test accuracy, %")
        place.set_title(dataset)
        place.grid(axis="x", alpha=0.3)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(looks), frameon=False)
    return figure


def comparison(table: pd.DataFrame, against: str) -> Figure:
    """Draw `evaluation.comparison`: accuracies on the left, differences from `against` on the right, 95 % intervals."""
    rows = table.sort_values("accuracy", kind="stable").reset_index(drop=True)
    figure, axes = new(1, 2, 1.3 + 0.34 * len(rows), sharey=True)
    for place, value, low, high in (
        (axes[0, 0], "accuracy", "low", "high"),
        (axes[0, 1], "difference", "difference_low", "difference_high"),
    ):
        for height, row in rows.iterrows():
            colour, marker = (PALETTE[3], "D") if row["method"].lower() == against.lower() else (PALETTE[0], "o")
            place.plot([row[low], row[high]], [height, height], color=colour, linewidth=1.5)
            place.plot(row[value], height, marker, color=colour)
        place.grid(axis="x", alpha=0.3)
    axes[0, 1].axvline(0, color="black", linewidth=0.8)
    names = [f"{row.method} ({row.seeds} seed{'s' if row.seeds > 1 else ''})" for row in rows.itertuples()]
    axes[0, 0].set_yticks(range(len(rows)), names)
    axes[0, 0].set_ylim(-0.6, len(rows) - 0.4)
    axes[0, 0].set_xlabel("test accuracy, %")
    axes[0, 1].set_xlabel(f"minus that of {against} (orange), percentage points")
    return figure


def accuracy_by_cost(accuracy: pd.Series, macs: pd.Series, n_test: int) -> Figure:
    """Draw accuracies in % of `n_test` images with their exact 95 % intervals, a row a method, the dearest on top.

    Both are by (network, method), "none" being the plain network; a panel a network. Each row says the method's cost
    as a multiple of the plain network's.
    """
    networks = list(dict.fromkeys(accuracy.index.get_level_values(0)))
    figure, axes = new(1, len(networks), 3.6, sharex=True)
    for place, network in zip(axes[0], networks, strict=True):
        costs = macs.loc[network].sort_values(kind="stable")
        for height, method in enumerate(costs.index):
            right = round(accuracy[network, method] * n_test / 100)
            low, high = binomtest(right, n_test).proportion_ci()
            colour, marker = (PALETTE[3], "D") if method == "PPCR" else (PALETTE[0], "o")
            place.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=1.5)
            place.plot(100 * right / n_test, height, marker, color=colour)
        names = [
            f"{'plain' if method == 'none' else method}  x{costs[method] / costs['none']:.2f}" for method in costs.index
        ]
        place.set_yticks(range(len(costs)), names)
        place.set_title(network)
        place.set_xlabel(f"accuracy on {n_test} images, %")
    return figure


def scores_by_stage(table: pd.DataFrame, label: str, reference: Mapping[str, float]) -> Figure:
    """Draw a score by method (rows) and stage (marker), with 95 % intervals; `reference` names vertical lines.

    `table` has the columns method, stage, value, low and high, a row a marker.
    """
    methods, stages = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["stage"]))
    figure, axes = new(1, 1, 1.2 + 0.5 * len(methods))
    place = axes[0, 0]
    nth = table.groupby("method").cumcount() - (table.groupby("method")["stage"].transform("size") - 1) / 2
    heights = table["method"].map(methods.index) + 0.17 * nth
    for k, stage in enumerate(stages):
        rows = table[table["stage"] == stage]
        height = heights[rows.index]
        reach = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        style = {"fmt": "osD^v*"[k % 6], "color": PALETTE[k], "markersize": 5, "elinewidth": 1.2}
        place.errorbar(rows["value"], height, xerr=reach, label=stage, **style)
    for style, (name, number) in zip(("--", ":", "-."), reference.items(), strict=False):
        place.axvline(number, color="black", linewidth=1, linestyle=style, label=name, zorder=0)
    place.set_yticks(range(len(methods)), methods)
    place.set_ylim(len(methods) - 0.5, -0.5)
    place.set_xlabel(label)
    place.grid(axis="x", alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def perturbation_curves(curves: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Deletion and insertion, (N, steps + 1) each, by the map that orders the pixels: means over images, a panel each.

    The legend says the mean height of a curve, its area.
    """
    figure, axes = new(1, 2, 3.4, sharey=True)
    for panel, (place, what) in enumerate(zip(axes[0], ("taken away", "brought back"), strict=True)):
        for k, (name, both) in enumerate(curves.items()):
            mean = np.asarray(both[panel]).mean(0)
            style = {"linestyle": ("-", "--", "-.", ":")[k % 4], "color": PALETTE[k], "marker": "osD^"[k % 4]}
            place.plot(np.linspace(0, 100, len(mean)), mean, label=f"{name}: {mean.mean():.2f}", markersize=4, **style)
        place.set_xlabel(f"% of pixels {what}, the map's highest first")
        place.spines[["top", "right"]].set_visible(False)
        place.legend(frameon=False, fontsize=9)
    axes[0, 0].set_ylabel("probability of the answer")
    return figure
