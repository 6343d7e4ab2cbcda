"""What was measured: values by stage, confusion, and our accuracies beside the paper's."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medattn.evaluation.statistics import mean_over_seeds, wilson
from medattn.figures.images import Maps
from medattn.figures.style import WIDTH, look, name_rows, new_figure, styled


@styled()
def by_stage(
    values: Maps, stages: Sequence[str], label: str, reference: Mapping[str, float] | None = None
) -> Figure:
    """Draw quantities by stage: one marker with its value per stage, one look per quantity.

    A quantity is (stages,), or (stages, n) with one number per image or seed. Then the marker is
    their mean (nan left out), with its 95 % interval: Wilson's for a share, whose numbers are all 0
    or 1, and otherwise Student's. `reference` names horizontal lines, such as chance.
    """
    figure, [[ax]] = new_figure(1, 1, 3.3)
    n, arrays = len(values), [np.asarray(numbers, dtype=float) for numbers in values.values()]
    rows_of = [array.reshape(len(stages), -1) for array in arrays]
    means = [np.nanmean(rows, 1) for rows in rows_of]
    digits = 1 - int(np.floor(np.log10(np.nanmax(np.abs(means)) or 1)))  # two significant ones
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    text = {"fontsize": 9 if n < 4 else 8, "ha": "center", "bbox": box, "zorder": 1}
    for k, (name, rows, mean) in enumerate(zip(values, rows_of, means, strict=True)):
        label_of, colour, marker = look(name, k)
        x = np.arange(len(stages)) + (k - (n - 1) / 2) * 0.8 / n
        share = bool(np.isin(rows[np.isfinite(rows)], (0, 1)).all())
        low, high = np.transpose([_interval_of_mean(row, share) for row in rows])
        bars = None if rows.shape[1] == 1 else np.maximum([mean - low, high - mean], 0)
        style = {"color": colour, "marker": marker, "linestyle": "", "capsize": 3}
        ax.errorbar(x, mean, bars, label=label_of, **style)
        for at, top, value in zip(x, np.where(np.isfinite(high), high, mean), mean, strict=True):
            shift = {"xytext": (0, 4), "textcoords": "offset points"}
            ax.annotate(f"{value:.{max(2, digits)}f}", (at, top), **shift, **text)
    for line, (name, value) in zip(("--", ":", "-."), (reference or {}).items(), strict=False):
        ax.axhline(value, color="black", linewidth=1, linestyle=line, label=name, zorder=0)
    ax.set_xticks(range(len(stages)), stages)
    ax.set(xlim=(-0.5, len(stages) - 0.5), ylabel=label)
    ax.margins(y=0.15)
    figure.legend(loc="outside right center")
    return figure


def _interval_of_mean(numbers: np.ndarray, share: bool) -> tuple[float, float]:
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < 2:
        return np.nan, np.nan
    mean = mean_over_seeds(numbers)
    return wilson(int(numbers.sum()), len(numbers)) if share else (mean.low, mean.high)


@styled()
def confusion_matrix(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw counts of images: rows are labels, columns are predictions."""
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2.6), layout="constrained")
    ax = figure.subplots()
    sns.heatmap(confusion, annot=True, fmt="d", cmap="Blues", cbar=False, square=True, ax=ax)
    ax.set_xticklabels(classes, rotation=30)
    ax.set_yticklabels(classes, rotation=0)
    ax.set(xlabel="predicted", ylabel="label")
    return figure


def _draw_interval(ax: Axes, y: float, low: float, value: float, high: float, method: str) -> None:
    _, colour, marker = look(method)
    ax.plot([low, high], [y, y], "-", color=colour, linewidth=1.5)
    ax.plot(value, y, marker, color=colour)


@styled()
def differences(table: pd.DataFrame, against: str) -> Figure:
    """Draw a table of `evaluation.comparison`: accuracies, and differences from `against`."""
    table = table.sort_values("accuracy", kind="stable")
    figure, [[left, right]] = new_figure(1, 2, 1.3 + 0.34 * len(table), sharey=True)
    for y, row in enumerate(table.to_dict("records")):
        method = row["method"]
        _draw_interval(left, y, row["low"], row["accuracy"], row["high"], method)
        low, high = row["difference_low"], row["difference_high"]
        _draw_interval(right, y, low, row["difference"], high, method)
    right.axvline(0, color="black", linewidth=0.8)
    counts = zip(table["method"].map(lambda name: look(name).label), table["seeds"], strict=True)
    name_rows(left, [f"{method} ({n} seed{'s' if n > 1 else ''})" for method, n in counts])
    left.invert_yaxis()
    left.set_xlabel("test accuracy, %")
    right.set_xlabel(f"minus that of {look(against).label}, percentage points")
    right.grid(axis="x")
    return figure
