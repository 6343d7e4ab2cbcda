"""The figures of global spatial attention, and of what we add to it, from arrays to a matplotlib figure.

Paper: Xu et al. 2020, Figs. 1 to 7. As there, a map is scaled to its own range and darker is larger; the range is said
in numbers beside it, because the paper's figures hide it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from medattn.figures.parts import MAP_COLOURS, PALETTE, WIDTH, bare, new, outline, show_image

PAPER_COLOURS = "Greys"  # darker is larger


def weight_map(
    axes: Axes,
    values: Tensor,
    region: Tensor | None = None,
    label: str = "",
    limits: tuple[float, float] | None = None,
    over: Tensor | None = None,
) -> None:
    """Draw a map (H, W) with the outline of a region (H, W) and, under it, its smallest and largest value.

    White to black are `limits`; without them the map's own range, as in the paper. `over` an image (C, H, W) the map
    is a shade, darkest where it is smallest: what it lets through stays to be seen.
    """
    array = np.asarray(values, dtype=float)
    low, high = limits or (array.min(), array.max())
    high = max(high, low + 1e-12)
    smallest, largest = (f"{value:.2f}" for value in (array.min(), array.max()))
    if over is None:
        axes.imshow(array, cmap=PAPER_COLOURS, vmin=low, vmax=high)
        said = f"{smallest} to {largest}" if limits else f"white {smallest}, black {largest}"
    else:
        show_image(axes, over)
        shade = np.clip((high - array) / (high - low), 0, 1)
        axes.imshow(np.zeros_like(array), cmap="gray", vmin=0, vmax=1, alpha=0.8 * shade)
        said = f"dark {smallest}, clear {largest}"
    bare(axes)
    for spine in axes.spines.values():  # white maps end somewhere, too
        spine.set(visible=True, color="0.7")
    outline(axes, region)
    axes.set_title(label, fontsize=11)
    axes.set_xlabel(said, fontsize=9)


def structure(sets: Mapping[str, Tensor]) -> Figure:
    """What "structured" means: for each set of images (N, C, H, W), three of them, their mean, the spread per pixel."""
    figure, axes = new(len(sets), 5, len(sets) * WIDTH / 5 * 1.15)
    spreads = {name: np.asarray(images.float().std(0).mean(0)) for name, images in sets.items()}
    highest = max(spread.max() for spread in spreads.values())
    for row, (name, images) in zip(axes, sets.items(), strict=True):
        for place, image in zip(row[:3], images, strict=False):
            show_image(place, image)
        show_image(row[3], images.float().mean(0).round().byte())
        shown = row[4].imshow(spreads[name], cmap=MAP_COLOURS, vmin=0, vmax=highest)
        bare(row[4])
        row[0].set_ylabel(name)
    axes[0, 1].set_title("three images")
    axes[0, 3].set_title("mean of all")
    axes[0, 4].set_title("deviation per pixel")
    figure.colorbar(shown, ax=axes[:, 4], label="of 255", shrink=0.8)
    return figure


def pixel_profiles(images: Tensor, places: Mapping[str, tuple[int, int]]) -> Figure:
    """Definition 3: pixels, by name and (row, column), and the values (of the mean channel) all images have there."""
    figure, axes = new(1, 2, 3.2, width_ratios=(1, 2.2))
    show_image(axes[0, 0], images[0])
    values = np.asarray(images.float().mean(1))
    for k, (name, (row, column)) in enumerate(places.items()):
        marker = "os^D"[k % 4]
        axes[0, 0].plot(column, row, marker, color=PALETTE[k], markeredgecolor="white", markersize=10)
        axes[0, 1].plot(values[:, row, column], marker, color=PALETTE[k], markersize=4, alpha=0.7, label=name)
    axes[0, 1].set(xlabel="image", ylabel="value of the pixel, of 255", ylim=(0, 255))
    axes[0, 1].spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(places), frameon=False, markerscale=1.5)
    return figure


def weighing(images: Tensor, values: Tensor) -> Figure:
    """Fig. 2: the same map (H, W) multiplies every image (N, C, H, W); a column an image, and the products below."""
    n = len(images)
    figure, axes = new(2, n + 1, 2 * WIDTH / (n + 1) * 1.1)
    for k in range(n):
        show_image(axes[0, k], images[k])
        show_image(axes[1, k], (images[k].float() * values / values.max()).round().byte())
    weight_map(axes[0, n], values, label="one map M")
    axes[1, n].set_axis_off()
    axes[0, 0].set_ylabel("images X")
    axes[1, 0].set_ylabel("X · M")
    return figure


def pixel_cnn_diagram(n_features: int, hidden: int, size: int, kernel: int = 3) -> Figure:
    """Fig. 3: the pixel CNN as boxes, with the shape of what goes from one to the next."""
    figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
    axes = figure.subplots()
    boxes = (
        ("all images", f"1 × {n_features:,} × {size} × {size}", 5),
        (f"conv {kernel} × {kernel}, ReLU", f"1 × {hidden} × {size} × {size}", 3),
        ("conv 1 × 1, sigmoid", f"1 × 1 × {size} × {size}", 1),
    )
    for k, (name, shape, sheets) in enumerate(boxes):
        x = 3 * k
        for depth in range(sheets):
            shift = 0.07 * depth
            corner = (x - shift, 0.1 + shift)
            box = Rectangle(corner, 1.0, 0.8, facecolor=PALETTE[k], edgecolor="black", zorder=6 - depth)
            axes.add_patch(box)
        axes.text(x + 0.5, -0.05, shape, ha="center", va="top", fontsize=10)
        if k:
            axes.add_patch(FancyArrowPatch((x - 1.85, 0.5), (x - 0.4, 0.5), arrowstyle="-|>", mutation_scale=16))
            axes.text(x - 1.12, 0.6, name, ha="center", va="bottom", fontsize=10)
    axes.text(0.5, 1.3, "every pixel is described by\nall channels of all images", ha="center", fontsize=10)
    axes.text(6.5, 0.97, "the weight map M", ha="center", va="bottom", fontsize=10)
    axes.set(xlim=(-0.6, 7.8), ylim=(-0.35, 1.75))
    axes.set_axis_off()
    return figure


def learned_maps(
    maps: Mapping[str, Tensor],
    mean_image: Tensor | None = None,
    region: Tensor | None = None,
    columns: int = 5,
    limits: tuple[float, float] | None = None,
    overlay: bool = False,
) -> Figure:
    """Figs. 4 to 6: maps (H, W) by name, as the paper draws them, after the mean image (C, H, W) of the set.

    The outline is the region that matters (H, W), the paper's "potential attention". With `limits` all maps share one
    scale; with `overlay` they shade the mean image, darkest where they are smallest.
    """
    first = int(mean_image is not None)
    rows = -(-(len(maps) + first) // columns)
    columns = min(columns, len(maps) + first)
    figure, axes = new(rows, columns, rows * WIDTH / max(columns, 4) * 1.2)
    places = list(axes.flat)
    if mean_image is not None:
        show_image(places[0], mean_image)
        outline(places[0], region)
        places[0].set_title("mean image", fontsize=11)
    for place, (name, values) in zip(places[first:], maps.items(), strict=False):
        weight_map(place, values, region, name, limits, mean_image if overlay else None)
    for place in places[first + len(maps) :]:
        place.set_axis_off()
    return figure


def over_epochs(values: Mapping[str, np.ndarray], label: str, reference: Mapping[str, float] | None = None) -> Figure:
    """Values (epochs,) or (seeds, epochs) from epoch 0 on, by name: thin lines are seeds, the thick one their mean."""
    figure, axes = new(1, 1, 3.2)
    place = axes[0, 0]
    for k, (name, each) in enumerate(values.items()):
        rows = np.atleast_2d(np.asarray(each, dtype=float))
        for row in rows if len(rows) > 1 else ():
            place.plot(row, color=PALETTE[k], linewidth=0.8, alpha=0.5)
        place.plot(rows.mean(0), color=PALETTE[k], linewidth=2.2, linestyle=("-", "--", "-.", ":")[k % 4], label=name)
    for style, (name, number) in zip((":", "--"), (reference or {}).items(), strict=False):
        place.axhline(number, color="black", linewidth=1, linestyle=style, label=name, zorder=0)
    place.set(xlabel="epoch (0: before learning)", ylabel=label)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def printed_protocol(validation: np.ndarray, tested: np.ndarray, chosen: np.ndarray) -> Figure:
    """Section 4.6: accuracy by epoch in cross-validation, and on the test images; the epochs that are averaged.

    `validation` and `tested` (epochs,) in 0..1; `chosen` counts epochs from 1.
    """
    figure, axes = new(1, 1, 3.2)
    place, epochs = axes[0, 0], np.arange(1, len(validation) + 1)
    place.plot(epochs, 100 * validation, color=PALETTE[0], label="cross-validation, mean of the folds")
    place.plot(epochs, 100 * tested, color=PALETTE[1], linestyle="--", label="test images, one run on all")
    at = np.asarray(chosen) - 1
    place.plot(chosen, 100 * validation[at], "o", color=PALETTE[0], label="the chosen epochs")
    place.plot(chosen, 100 * tested[at], "D", color=PALETTE[1], label="what is averaged and printed")
    place.set(xlabel="epoch", ylabel="accuracy, %")
    for axis in (place.xaxis, place.yaxis):
        axis.get_major_locator().set_params(integer=True)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def sensitivity(table: pd.DataFrame, parameters: Mapping[str, str], value: str = "accuracy") -> Figure:
    """Fig. 7: a panel for each parameter (column of `table`, by its label), a dot a run, a line through the means.

    `table` has a row a run: "parameter" (which one was varied), its "setting" and the `value` in 0..100.
    """
    figure, axes = new(1, len(parameters), 3.0, sharey=True)
    for place, (name, label) in zip(axes[0], parameters.items(), strict=True):
        rows = table[table["parameter"] == name]
        settings = sorted(rows["setting"].unique())
        at = rows["setting"].map(settings.index)
        place.plot(at, rows[value], "o", color=PALETTE[0], alpha=0.6)
        place.plot(range(len(settings)), rows.groupby("setting")[value].mean()[settings], color=PALETTE[1], marker="D")
        place.set_xticks(range(len(settings)), [f"{setting:g}" for setting in settings])
        place.set_xlabel(label)
        place.margins(x=0.15)
        place.grid(axis="y", alpha=0.3)
        place.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("test accuracy, %")
    return figure


def printed_table(table: pd.DataFrame) -> Figure:
    """Table 2: a panel for each data set, a row for each network, a marker for each method with its printed deviation.

    `table` as `published("global_table2")` gives it.
    """
    datasets, networks = list(dict.fromkeys(table["dataset"])), list(dict.fromkeys(table["network"]))
    figure, axes = new(1, len(datasets), 0.9 + 0.42 * len(networks), sharey=True)
    for place, dataset in zip(axes[0], datasets, strict=True):
        for k, method in enumerate(dict.fromkeys(table["method"])):
            rows = table[(table["dataset"] == dataset) & (table["method"] == method)]
            y = [networks.index(network) + 0.22 * (k - 1) for network in rows["network"]]
            style = {"fmt": "osD"[k], "color": PALETTE[k], "markersize": 5, "elinewidth": 1, "label": method}
            place.errorbar(rows["accuracy"], y, xerr=rows["std"].fillna(0), **style)
        place.set_title(dataset, fontsize=10)
        place.set_xlabel("accuracy, %")
        place.grid(axis="x", alpha=0.3)
    axes[0, 0].set_yticks(range(len(networks)), networks)
    axes[0, 0].set_ylim(len(networks) - 0.4, -0.6)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def lines(table: pd.DataFrame, x: str, y: str, by: str, log: Sequence[str] = ("x", "y")) -> Figure:
    """Columns `x` against `y` of a table, a line for each value of column `by`; `log` names the logarithmic axes."""
    figure, axes = new(1, 1, 3.2)
    place = axes[0, 0]
    for k, (name, rows) in enumerate(table.groupby(by, sort=False)):
        style = {"marker": "osD^v"[k % 5], "linestyle": ("-", "--", "-.", ":")[k % 4], "color": PALETTE[k]}
        place.plot(rows[x], rows[y], label=name, **style)
    place.set(xlabel=x, ylabel=y, **{f"{axis}scale": "log" for axis in log})
    if "x" in log and table[x].nunique() <= 8:  # each value said, where there is room
        place.set_xticks(ticks := sorted(table[x].unique()), [f"{tick:g}" for tick in ticks])
        place.xaxis.minorticks_off()
    place.grid(alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure
