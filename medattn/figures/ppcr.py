"""The figures of PPCR: Figs. 1 to 4 of the paper (Zhang et al. 2023), and what they leave out."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from medattn.attention.ppcr import PYRAMID_AXES
from medattn.figures.images import Maps, show_image, show_map, value_range
from medattn.figures.style import PALETTE, SIGNED_COLOURS, WIDTH, new_figure, styled

SCALES = (1, 2, 4)  # the paper's


def context_names(scales: Sequence[int] = SCALES) -> list[str]:
    """Return the names of the D contexts, by their group: "1/1", "1/2", "2/2", "1/4", ..."""
    return [f"{group + 1}/{scale}" for scale in scales for group in range(scale)]


@styled()
def method_maps(
    images: Tensor,
    maps: Maps,
    masks: Tensor | None = None,
    titles: Sequence[str] | None = None,
    label: str = "attention weight",
) -> Figure:
    """Draw images (N, C, H, W) and, in one column per method, maps (N, H, W) (Fig. 1).

    All maps have one colour scale. The outlines are the masks (N, H, W).
    """
    n, columns, limits = len(images), 1 + len(maps), value_range(maps.values())
    figure, axes = new_figure(n, columns, n * WIDTH / (columns + 0.6) * 1.04)
    for k, row in enumerate(axes):
        mask = None if masks is None else masks[k]
        show_image(row[0], images[k], mask)
        row[0].set_ylabel("" if titles is None else titles[k])
        for ax, values in zip(row[1:], maps.values(), strict=True):
            shown = show_map(ax, values[k], limits, mask)
    for ax, title in zip(axes[0], ("image", *maps), strict=True):
        ax.set_title(title)
    figure.colorbar(shown, ax=axes, shrink=min(1.0, 2 / n + 0.3), label=label)
    return figure


@styled()
def stage_maps(image: Tensor, maps: Maps, values: Maps, mask: Tensor | None = None) -> Figure:
    """Draw the maps (H, W) of one image by stage, over the weights' distributions (Fig. 3).

    `values` holds all attention weights of each stage, of any shape, for the histograms.
    """
    columns = 1 + len(maps)
    figure, axes = new_figure(2, columns, WIDTH / columns * 1.95)
    show_image(axes[0, 0], image, mask)
    axes[0, 0].set_title("image")
    axes[1, 0].set_axis_off()
    limits, bins = value_range(maps.values()), np.linspace(*value_range(values.values()), 41)
    for (stage, stage_map), above, below in zip(maps.items(), *axes[:, 1:], strict=True):
        shown = show_map(above, stage_map, limits, mask)
        above.set_title(stage)
        if below is not axes[1, 1]:
            below.sharey(axes[1, 1])  # before drawing, so that the tallest of all fits
        flat = np.asarray(values[stage]).ravel()
        below.hist(flat, bins=bins, weights=np.full(flat.size, 100 / flat.size))
        below.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
        below.locator_params(axis="x", nbins=3)  # weights close to 0.5 have long labels
        below.set_xlabel("attention weight")
    axes[1, 1].set_ylabel("% of pixels")
    figure.colorbar(shown, ax=axes[0], label="attention weight")
    return figure


@styled()
def context_distributions(before: Tensor, after: Tensor, scales: Sequence[int] = SCALES) -> Figure:
    """Draw each context's distribution in (N, D, h, w), before and after PN (Fig. 4a)."""
    figure, [[left, right]] = new_figure(1, 2, 3.3)
    _boxes(left, before.transpose(0, 1), scales)
    _boxes(right, after.transpose(0, 1), scales)
    label = "context (group / number of groups)"
    left.set(title="before pixel normalisation", xlabel=label, ylabel="context value T")
    right.set(title="after pixel normalisation", xlabel=label, ylabel="normalised context value")
    return figure


@styled()
def weight_distributions(weights: Maps, scales: Sequence[int] = SCALES) -> Figure:
    """Draw each context's distribution of W (D, h, w) over positions, by stage (Fig. 4b)."""
    figure, [axes] = new_figure(1, len(weights), 3.3, sharey=True)
    for ax, (stage, values) in zip(axes, weights.items(), strict=True):
        _boxes(ax, values, scales)
        ax.set(title=stage, xlabel="context")
    axes[0].set_ylabel("weight W")
    return figure


def _boxes(ax: Axes, values: Tensor, scales: Sequence[int]) -> None:
    """Draw one box per context of `values` (D, ...): quartiles, and whiskers from 1 to 99 %."""
    rows, names = list(np.asarray(values.flatten(1))), context_names(scales)
    boxes = ax.boxplot(rows, tick_labels=names, whis=(1, 99), showfliers=False, patch_artist=True)
    for k, box in enumerate(boxes["boxes"]):
        box.set(facecolor=PALETTE[0 if k == 0 else 1 if k < 3 else 2], alpha=0.75)
    for line in boxes["medians"]:
        line.set_color("black")
    ax.axhline(0, color="black", linewidth=0.8, linestyle=":")


@styled()
def contexts_of_image(
    contexts: Tensor, scales: Sequence[int] = SCALES, signed: bool = False, label: str | None = None
) -> Figure:
    """Draw the contexts (D, h, w) of one image as a pyramid, one row per scale (Fig. 2a).

    Each picture stands over the finer groups that it is the mean of. The weights W (D, h, w) can
    be shown in the same way, with a `label` of their own.
    """
    bound = float(contexts.abs().max())
    limits = (-bound, bound) if signed else value_range([contexts])
    colours = SIGNED_COLOURS if signed else None
    side, columns = 0.8 * (WIDTH - 1.3) / max(scales), math.lcm(*scales)  # inches; of the grid
    height = len(scales) * (side + 0.3)
    figure = Figure(figsize=(WIDTH, height))
    margins = {"left": 0, "right": 1 - 1.3 / WIDTH, "bottom": 0.03 / height, "hspace": 0.3 / side}
    grid = figure.add_gridspec(len(scales), columns, top=1 - 0.27 / height, wspace=0, **margins)
    pictures = iter(zip(contexts, context_names(scales), strict=True))
    for row, scale in enumerate(scales):
        for start in range(0, columns, columns // scale):
            picture, name = next(pictures)
            ax = figure.add_subplot(grid[row, start : start + columns // scale])
            shown = show_map(ax, picture, limits, colours=colours)
            ax.set_title(name, fontsize=10, pad=3)
    label = label or ("normalised context value" if signed else "context value")
    bar = figure.add_axes((1 - 1.1 / WIDTH, 0.1, 0.2 / WIDTH, 0.8))
    figure.colorbar(shown, cax=bar, label=label)
    return figure


@styled()
def pixel_walk(
    before: Tensor,
    after: Tensor,
    weights: Tensor,
    scales: Sequence[int] = SCALES,
    image: Tensor | None = None,
    place: tuple[float, float] = (0, 0),
    limits: Sequence[float] | None = None,
) -> Figure:
    """Draw one pixel's way through PPCR, from its D contexts to its gate. Inputs are (D,).

    With an `image` (C, H, W), a first panel marks the pixel at `place`, (row, column) in image
    pixels. The four others go from -limit to limit, or to their own largest value.
    """
    first = int(image is not None)
    figure, [axes] = new_figure(1, 4 + first, 2.9)
    if image is not None:
        show_image(axes[0], image)
        axes[0].plot(*place[::-1], "+", color="black", markersize=22, markeredgewidth=4)
        axes[0].plot(*place[::-1], "+", color="white", markersize=20, markeredgewidth=1.5)
        axes[0].set_title("the pixel")
    colours = [PALETTE[min(scale, 3) - 1] for scale in scales for _ in range(scale)]
    titles = ("contexts T", "normalised", "weights W", "W × normalised")
    for ax, title in zip(axes[first:], titles, strict=True):
        ax.barh(context_names(scales), 0, color=colours)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.invert_yaxis()
        ax.set_title(title)
    axes[first].set_ylabel("context (group / groups)")
    set_pixel_walk(figure, (before, after, weights), limits)
    return figure


@styled()
def set_pixel_walk(
    figure: Figure, pixel: Sequence[Tensor], limits: Sequence[float] | None = None
) -> None:
    """Set the bars of a figure by `pixel_walk` to another pixel's (before, after, weights)."""
    values = torch.stack([*pixel, pixel[1] * pixel[2]])
    bounds = (1.05 * values.abs().amax(1)).tolist() if limits is None else limits
    for ax, widths, bound in zip(figure.axes[-4:], values.tolist(), bounds, strict=True):
        for bar, width in zip(ax.containers[0], widths, strict=True):
            bar.set_width(width)
        bound = bound or 1.0  # all are zero
        half = float(f"{bound / 2:.1g}")
        ax.set_xlim(-bound, bound)
        ax.set_xticks([-half, 0, half], [f"{-half:g}", "0", f"{half:g}"])
    z = values[3].sum()
    ax.set_xlabel(f"sum Z = {z:+.2f}\ngate G = {torch.sigmoid(z):.2f}")


@styled()
def context_sphere(after: Tensor, gate: Tensor, weights: Tensor | None = None) -> Figure:
    """Draw pixels on a sphere by their normalised contexts (7, n) of scales (1, 2, 4).

    The axes are the differences that PN keeps. Colours are gates; the arrow is `weights` (7,).
    """
    points = (PYRAMID_AXES @ after.double()).numpy()
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 17), np.linspace(0, np.pi, 9))
    sphere = np.stack([np.cos(around) * np.sin(up), np.sin(around) * np.sin(up), np.cos(up)])
    for k, (azimuth, title) in enumerate(((-35, "from one side"), (145, "from the other"))):
        ax = figure.add_subplot(1, 2, k + 1, projection="3d", computed_zorder=False)
        ax.plot_wireframe(*7**0.5 * sphere, color="0.85", linewidth=0.5, zorder=1)
        turn, lift = np.radians([azimuth, 15])
        reader = np.array([np.cos(turn) * np.cos(lift), np.sin(turn) * np.cos(lift), np.sin(lift)])
        near = reader @ points > 0  # the far side would shine through
        look = {"vmin": 0, "vmax": 1, "s": 12, "depthshade": False, "zorder": 2}
        shown = ax.scatter(*points[:, near], c=np.asarray(gate)[near], **look)
        if weights is not None:
            arrow = (PYRAMID_AXES @ weights.double()).numpy()
            arrow *= 7**0.5 * 1.35 / np.linalg.norm(arrow)
            depth = 3 if reader @ arrow > 0 else 0
            ax.quiver(0, 0, 0, *arrow, color="black", arrow_length_ratio=0.12, zorder=depth)
        ax.view_init(15, azimuth)
        ax.grid(False)
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.pane.set_visible(False)
            axis.label.set_fontsize(9)
        ax.patch.set_visible(False)  # it would cover its neighbour's label
        ax.set_box_aspect((1, 1, 1), zoom=0.95)
        ax.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), zticks=(-2, 0, 2), title=title)
        ax.set(xlabel="half 1 − half 2", ylabel="quarter 1 − 2", zlabel="quarter 3 − 4")
    figure.colorbar(shown, ax=figure.axes, shrink=0.7, label="gate G")
    return figure
