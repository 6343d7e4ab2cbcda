"""The figures of global spatial attention (Xu et al. 2020, Figs. 1 to 7), and of what we add to it.

A map is scaled to its own range, which stands below it. Brighter is larger; in the paper it is
darker.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from medattn.figures.images import Limits, Maps, outline, show_image, show_map, value_range
from medattn.figures.style import WIDTH, new_figure, styled


def _one_map(
    ax: Axes, values: Tensor, title: str, limits: Limits | None = None, image: Tensor | None = None
) -> None:
    """Draw a map (H, W), and its range below it.

    The colours go from one of the `limits` to the other, or else over the map's own range, as in
    the paper. Over an `image` (C, H, W), the map is a shade, darkest where the map is smallest.
    """
    smallest, largest = value_range([values])
    low, high = limits or (smallest, largest)
    high = max(high, low + 1e-12)
    if image is None:
        show_map(ax, values, (low, high))
        words = ("", " to ")
    else:
        show_image(ax, image)
        shade = np.clip((high - np.asarray(values)) / (high - low), 0, 1)
        ax.imshow(np.zeros_like(shade), cmap="gray", vmin=0, vmax=1, alpha=0.8 * shade)
        words = ("dark ", ", clear ")
    ax.spines[:].set(visible=True, color="0.7")  # the border of a white map
    ax.set_title(title)
    ax.set_xlabel(f"{words[0]}{smallest:.2f}{words[1]}{largest:.2f}", fontsize=9)


@styled()
def pixel_statistics(sets: Maps) -> Figure:
    """Draw three images of each set (N, C, H, W), and mean and deviation of all, per pixel."""
    figure, axes = new_figure(len(sets), 5, len(sets) * WIDTH / 5 * 1.15)
    deviations = [images.float().std(0).mean(0) for images in sets.values()]
    limits = (0, value_range(deviations)[1])
    for row, (name, images), deviation in zip(axes, sets.items(), deviations, strict=True):
        for ax, image in zip(row[:3], images, strict=False):
            show_image(ax, image)
        show_image(row[3], images.float().mean(0).round().byte())
        shown = show_map(row[4], deviation, limits)
        row[0].set_ylabel(name)
    for column, title in ((1, "three images"), (3, "mean of all"), (4, "deviation per pixel")):
        axes[0, column].set_title(title)
    figure.colorbar(shown, ax=axes[:, 4], label="of 255", shrink=0.8)
    return figure


@styled()
def pixel_profiles(images: Tensor, places: Mapping[str, tuple[int, int]]) -> Figure:
    """Draw the values of images (N, C, H, W) at pixels, (row, column) by name (Definition 3)."""
    figure, [[left, right]] = new_figure(1, 2, 3.2, width_ratios=(1, 2.2))
    show_image(left, images[0])
    values = np.asarray(images.float().mean(1))
    for name, (row, column) in places.items():
        left.plot(column, row, linestyle="", markeredgecolor="white", markersize=10)
        right.plot(values[:, row, column], linestyle="", markersize=4, alpha=0.7, label=name)
    right.set(xlabel="image", ylabel="value of the pixel, of 255", ylim=(0, 255))
    figure.legend(loc="outside lower center", ncols=len(places), markerscale=1.5)
    return figure


@styled()
def weighted_images(images: Tensor, values: Tensor) -> Figure:
    """Draw images (N, C, H, W), one map (H, W), and below each image its product (Fig. 2)."""
    n = len(images)
    figure, axes = new_figure(2, n + 1, 2 * WIDTH / (n + 1) * 1.1)
    for k, image in enumerate(images):
        show_image(axes[0, k], image)
        show_image(axes[1, k], (image.float() * values / values.max()).round().byte())
    _one_map(axes[0, n], values, "one map M")
    axes[1, n].set_axis_off()
    axes[0, 0].set_ylabel("images X")
    axes[1, 0].set_ylabel("X · M")
    return figure


@styled()
def learned_maps(
    maps: Maps,
    mean_image: Tensor | None = None,
    region: Tensor | None = None,
    columns: int = 5,
    limits: Limits | None = None,
    overlay: bool = False,
) -> Figure:
    """Draw maps (H, W) by name, after the mean image (C, H, W) of the set (Figs. 4 to 6).

    The outline is the region that matters (H, W). All maps share one scale with `limits`. They
    shade the mean image with `overlay`, darkest where they are smallest.
    """
    first = int(mean_image is not None)
    n = first + len(maps)
    rows, columns = -(-n // columns), min(columns, n)
    figure, axes = new_figure(rows, columns, rows * WIDTH / max(columns, 4) * 1.2)
    if mean_image is not None:
        show_image(axes[0, 0], mean_image, region)
        axes[0, 0].set_title("mean image")
    for ax, (name, values) in zip(axes.flat[first:], maps.items(), strict=False):
        _one_map(ax, values, name, limits, mean_image if overlay else None)
        outline(ax, region)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return figure


@styled()
def sensitivity(table: pd.DataFrame, parameters: Mapping[str, str]) -> Figure:
    """Draw one panel per parameter: one dot per run, and a line through the means (Fig. 7).

    `parameters` holds the panels' labels by name. `table` has one row per run: parameter (the one
    that was varied), setting, and accuracy in 0..100.
    """
    figure, [axes] = new_figure(1, len(parameters), 3.0, sharey=True)
    for ax, (name, label) in zip(axes, parameters.items(), strict=True):
        rows = table[table["parameter"] == name]
        means = rows.groupby("setting")["accuracy"].mean()  # sorted by setting
        ax.plot(means.index.get_indexer(rows["setting"]), rows["accuracy"], "o", alpha=0.6)
        ax.plot(range(len(means)), means, "D-")
        ax.set_xticks(range(len(means)), [f"{setting:g}" for setting in means.index])
        ax.set_xlabel(label)
        ax.margins(x=0.15)
        ax.grid(axis="y")
    axes[0].set_ylabel("test accuracy, %")
    return figure
