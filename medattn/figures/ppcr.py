"""PPCR's figures (1 to 4, and what they leave out), one function each, from recorded arrays to a matplotlib figure.

Paper: Zhang et al., "PPCR", 2023, Figs. 1, 2a, 3, 4.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from medattn.attention.ppcr import PYRAMID_AXES
from medattn.figures.parts import MAP_COLOURS, PALETTE, SIGNED_COLOURS, WIDTH, bare, new, outline, show_image


def context_names(scales: Sequence[int] = (1, 2, 4)) -> list[str]:
    """Name the D contexts by their group: "1/1", "1/2", "2/2", "1/4", ..."""
    return [f"{group + 1}/{scale}" for scale in scales for group in range(scale)]


def method_maps(
    images: Tensor,
    maps: Mapping[str, Tensor],
    masks: Tensor | None = None,
    titles: Sequence[str] | None = None,
    label: str = "attention weight",
) -> Figure:
    """Fig. 1: images (N, C, H, W) and, beside each, the map (N, H, W) of every method on one colour scale.

    A row an image, a column a method; the mask's outline lies on the image and on every map.
    """
    low = min(float(values.min()) for values in maps.values())
    high = max(float(values.max()) for values in maps.values())
    columns = 1 + len(maps)
    figure, axes = new(len(images), columns, len(images) * WIDTH / (columns + 0.6) * 1.04)
    for k, row in enumerate(axes):
        show_image(row[0], images[k])
        mask = None if masks is None else masks[k]
        outline(row[0], mask)
        row[0].set_ylabel("" if titles is None else titles[k])
        for place, (method, values) in zip(row[1:], maps.items(), strict=True):
            shown = place.imshow(np.asarray(values[k]), cmap=MAP_COLOURS, vmin=low, vmax=high)
            bare(place)
            outline(place, mask)
            if k == 0:
                place.set_title(method)
    axes[0, 0].set_title("image")
    figure.colorbar(shown, ax=axes, shrink=min(1.0, 2 / len(images) + 0.3), label=label)
    return figure


def stage_maps(
    image: Tensor, maps: Mapping[str, Tensor], values: Mapping[str, Tensor], mask: Tensor | None = None
) -> Figure:
    """Fig. 3: the maps (H, W) of one image at three stages, over the distribution of the weights at each stage.

    `values` holds all attention weights of a stage, of any shape, and gives the histograms.
    """
    columns = 1 + len(maps)
    figure, axes = new(2, columns, WIDTH / columns * 1.95)
    show_image(axes[0, 0], image)
    outline(axes[0, 0], mask)
    axes[0, 0].set_title("image")
    axes[1, 0].set_axis_off()
    low = min(float(m.min()) for m in maps.values())
    high = max(float(m.max()) for m in maps.values())
    edges = np.linspace(min(float(v.min()) for v in values.values()), max(float(v.max()) for v in values.values()), 41)
    for k, (stage, stage_map) in enumerate(maps.items(), start=1):
        shown = axes[0, k].imshow(np.asarray(stage_map), cmap=MAP_COLOURS, vmin=low, vmax=high)
        bare(axes[0, k])
        outline(axes[0, k], mask)
        axes[0, k].set_title(stage)
        flat = np.asarray(values[stage]).ravel()
        if k > 1:
            axes[1, k].sharey(axes[1, 1])  # before drawing, so that the tallest of all fits
        axes[1, k].hist(flat, bins=edges, weights=np.full(flat.size, 100 / flat.size), color=PALETTE[0])
        axes[1, k].axvline(0.5, color="black", linewidth=0.8, linestyle=":")
        axes[1, k].locator_params(axis="x", nbins=3)  # weights close to 0.5 have long labels
        axes[1, k].set_xlabel("attention weight")
    axes[1, 1].set_ylabel("% of pixels")
    figure.colorbar(shown, ax=axes[0], label="attention weight")
    return figure


def context_distributions(before: Tensor, after: Tensor, scales: Sequence[int] = (1, 2, 4)) -> Figure:
    """Fig. 4a: the distribution of every context (N, D, h, w) over pixels and images, before PN and after it."""
    figure, axes = new(1, 2, 3.3)
    for place, values, title in (
        (axes[0, 0], before, "before pixel normalisation"),
        (axes[0, 1], after, "after pixel normalisation"),
    ):
        _boxes(place, np.moveaxis(np.asarray(values), 1, 0).reshape(values.shape[1], -1), context_names(scales))
        place.set_title(title)
        place.set_xlabel("context (group / number of groups)")
    axes[0, 0].set_ylabel("context value T")
    axes[0, 1].set_ylabel("normalised context value")
    return figure


def weight_distributions(weights: Mapping[str, Tensor], scales: Sequence[int] = (1, 2, 4)) -> Figure:
    """Fig. 4b: the distribution of W (D, h, w) over pixel positions, for every context, at each stage."""
    figure, axes = new(1, len(weights), 3.3, sharey=True)
    for place, (stage, values) in zip(axes[0], weights.items(), strict=True):
        _boxes(place, np.asarray(values).reshape(values.shape[0], -1), context_names(scales))
        place.set_title(stage)
        place.set_xlabel("context")
    axes[0, 0].set_ylabel("weight W")
    return figure


def _boxes(axes: Axes, values: np.ndarray, names: Sequence[str]) -> None:
    # boxes: quartiles; whiskers: 1 to 99 % of the pixels
    parts = axes.boxplot(list(values), tick_labels=list(names), whis=(1, 99), showfliers=False, patch_artist=True)
    for k, box in enumerate(parts["boxes"]):
        box.set_facecolor(PALETTE[0] if k == 0 else PALETTE[1] if k < 3 else PALETTE[2])
        box.set_alpha(0.75)
    for line in parts["medians"]:
        line.set_color("black")
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":")


def contexts_of_image(
    contexts: Tensor, scales: Sequence[int] = (1, 2, 4), signed: bool = False, label: str | None = None
) -> Figure:
    """Fig. 2a: the contexts (D, h, w) of one image as a pyramid of pictures, a row per scale, on one colour scale.

    Every picture stands over the finer groups that it is the mean of. The weights W (D, h, w) are shown likewise, with
    a `label` of their own.
    """
    values = np.asarray(contexts)
    bound = float(np.abs(values).max())
    options = {"cmap": SIGNED_COLOURS, "vmin": -bound, "vmax": bound} if signed else {"cmap": MAP_COLOURS}
    if not signed:
        options |= {"vmin": float(values.min()), "vmax": float(values.max())}
    cell = (WIDTH - 1.3) / max(scales)  # inches; layout by hand, as pictures span cells
    side, row_height = 0.8 * cell, 0.8 * cell + 0.3
    height = len(scales) * row_height
    figure = Figure(figsize=(WIDTH, height))
    pictures = iter(zip(values, context_names(scales), strict=True))
    for row, scale in enumerate(scales):
        for group in range(scale):
            picture, name = next(pictures)
            middle = (group + 0.5) / scale * (WIDTH - 1.3)
            left, bottom = (middle - side / 2) / WIDTH, 1 - ((row + 1) * row_height - 0.03) / height
            axes = figure.add_axes((left, bottom, side / WIDTH, side / height))
            shown = axes.imshow(picture, **options)
            bare(axes)
            axes.set_title(name, fontsize=10, pad=3)
    label = label or ("normalised context value" if signed else "context value")
    figure.colorbar(shown, cax=figure.add_axes((1 - 1.1 / WIDTH, 0.1, 0.2 / WIDTH, 0.8)), label=label)
    return figure


def pixel_walk(
    before: Tensor,
    after: Tensor,
    weights: Tensor,
    scales: Sequence[int] = (1, 2, 4),
    image: Tensor | None = None,
    place: tuple[float, float] = (0, 0),
    limits: Sequence[float] | None = None,
) -> Figure:
    """One pixel through PPCR: its D contexts, normalised, times W, summed and squashed to its gate. Inputs are (D,).

    With an `image` (C, H, W), a first panel marks the pixel on it at `place`, its (row, column) in image pixels.
    Zero is in the middle of every panel; its ends are the four `limits`, or else its own largest value.
    """
    first = int(image is not None)
    figure, axes = new(1, 4 + first, 2.9)
    if image is not None:
        show_image(axes[0, 0], image)
        axes[0, 0].plot(*place[::-1], "+", color="black", markersize=22, markeredgewidth=4)
        axes[0, 0].plot(*place[::-1], "+", color="white", markersize=20, markeredgewidth=1.5)
        axes[0, 0].set_title("the pixel", fontsize=11)
    colours = [PALETTE[0] if s == 1 else PALETTE[1] if s == 2 else PALETTE[2] for s in scales for _ in range(s)]
    for panel, title in zip(axes[0, first:], ("contexts T", "normalised", "weights W", "W × normalised"), strict=True):
        panel.barh(context_names(scales), 0, color=colours)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.invert_yaxis()
        panel.set_title(title, fontsize=11)
    axes[0, first].set_ylabel("context (group / groups)")
    set_pixel_walk(figure, before, after, weights, limits)
    return figure


def set_pixel_walk(
    figure: Figure, before: Tensor, after: Tensor, weights: Tensor, limits: Sequence[float] | None = None
) -> None:
    """Give the bars of a figure by `pixel_walk` the values of another pixel, (D,) each."""
    product = weights * after
    z = product.sum()
    panels = figure.axes[-4:]
    for k, (panel, values) in enumerate(zip(panels, (before, after, weights, product), strict=True)):
        bound = float(values.abs().max()) * 1.05 if limits is None else float(limits[k])
        bound = bound or 1.0  # all are zero
        for bar, value in zip(panel.patches, values.tolist(), strict=True):
            bar.set_width(value)
        panel.set_xlim(-bound, bound)
        half = float(f"{bound / 2:.1g}")
        panel.set_xticks([-half, 0, half], [f"{-half:g}", "0", f"{half:g}"])
    panels[-1].set_xlabel(f"sum Z = {z:+.2f}\ngate G = {torch.sigmoid(z):.2f}")


def context_sphere(after: Tensor, gate: Tensor, weights: Tensor | None = None) -> Figure:
    """Pixels as points on a sphere: the normalised contexts (7, n) of scales (1, 2, 4), coloured by their gate (n,).

    The three axes are the differences that pixel normalisation lets through. `weights` (7,) is drawn as an arrow.
    """
    points = (PYRAMID_AXES @ after.double()).numpy()
    figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    round_, up = np.meshgrid(np.linspace(0, 2 * np.pi, 17), np.linspace(0, np.pi, 9))
    sphere = 7**0.5 * np.stack([np.cos(round_) * np.sin(up), np.sin(round_) * np.sin(up), np.cos(up)])
    for k, azimuth in enumerate((-35, 145)):
        axes = figure.add_subplot(1, 2, k + 1, projection="3d", computed_zorder=False)
        axes.plot_wireframe(*sphere, color="0.85", linewidth=0.5, zorder=1)
        turn, lift = np.radians([azimuth, 15])
        towards = np.array([np.cos(turn) * np.cos(lift), np.sin(turn) * np.cos(lift), np.sin(lift)])  # the reader
        near = towards @ points > 0  # the far side would shine through
        options = {"cmap": MAP_COLOURS, "vmin": 0, "vmax": 1, "s": 12, "depthshade": False, "zorder": 2}
        shown = axes.scatter(*points[:, near], c=np.asarray(gate)[near], **options)
        if weights is not None:
            arrow = (PYRAMID_AXES @ weights.double()).numpy()
            arrow *= 7**0.5 * 1.35 / np.linalg.norm(arrow)
            axes.quiver(0, 0, 0, *arrow, color="black", arrow_length_ratio=0.12, zorder=3 if towards @ arrow > 0 else 0)
        axes.view_init(15, azimuth)
        axes.grid(False)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.pane.set_visible(False)
        axes.patch.set_visible(False)  # it would cover its neighbour's label
        axes.set_box_aspect((1, 1, 1), zoom=0.95)
        axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), zticks=(-2, 0, 2))
        axes.set_xlabel("half 1 − half 2", fontsize=9)
        axes.set_ylabel("quarter 1 − 2", fontsize=9)
        axes.set_zlabel("quarter 3 − 4", fontsize=9)
        axes.set_title("from one side" if k == 0 else "from the other", fontsize=11)
    figure.colorbar(shown, ax=figure.axes, shrink=0.7, label="gate G")
    return figure
