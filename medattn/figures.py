"""The papers' figures, one function each, from recorded arrays to a matplotlib figure.

Every function takes tensors or arrays and gives a `Figure` that belongs to nobody: nothing is shown, nothing global
changes. Images are uint8 (C, H, W), maps are floats (H, W), masks are bool (H, W).
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

WIDTH = 9.0  # inches: a laptop's notebook column
MAP_COLOURS = "viridis"  # perceptually uniform, safe for colour-blind readers, ordered in greyscale
SIGNED_COLOURS = "PuOr_r"  # for values around 0
PALETTE = sns.color_palette("colorblind")


def context_names(scales: Sequence[int] = (1, 2, 4)) -> list[str]:
    """Name the D contexts by their group: "1/1", "1/2", "2/2", "1/4", ..."""
    return [f"{group + 1}/{scale}" for scale in scales for group in range(scale)]


def _new(n_rows: int, n_columns: int, height: float, **options) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def _picture(axes: Axes, image: Tensor) -> None:
    pixels = np.asarray(image)
    grey = pixels.shape[0] == 1
    axes.imshow(pixels[0] if grey else pixels.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=255)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outline(axes: Axes, mask: Tensor | None, colour: str = "white") -> None:
    if mask is None or not np.asarray(mask).any():
        return
    fine = np.kron(np.asarray(mask, dtype=float), np.ones((4, 4)))  # the edge of the pixels, not through their centres
    h, w = np.asarray(mask).shape
    padded = np.pad(fine, 1)
    x = (np.arange(padded.shape[1]) - 0.5) / 4 - 0.5
    y = (np.arange(padded.shape[0]) - 0.5) / 4 - 0.5
    axes.contour(x, y, padded, levels=[0.5], colors="black", linewidths=2.2)
    axes.contour(x, y, padded, levels=[0.5], colors=colour, linewidths=1.1)
    axes.set_xlim(-0.5, w - 0.5)
    axes.set_ylim(h - 0.5, -0.5)


def image_grid(images: Tensor, titles: Sequence[str], masks: Tensor | None = None, columns: int = 6) -> Figure:
    """Show images (N, C, H, W) with a title each, and the outline of their masks (N, H, W) where there are any."""
    rows = -(-len(images) // columns)
    figure, axes = _new(rows, columns, rows * WIDTH / columns * 1.12)
    for k, place in enumerate(axes.flat):
        if k >= len(images):
            place.set_axis_off()
            continue
        _picture(place, images[k])
        _outline(place, None if masks is None else masks[k])
        place.set_title(titles[k], fontsize=10)
    return figure


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
    figure, axes = _new(len(images), columns, len(images) * WIDTH / (columns + 0.6) * 1.04)
    for k, row in enumerate(axes):
        _picture(row[0], images[k])
        mask = None if masks is None else masks[k]
        _outline(row[0], mask)
        row[0].set_ylabel("" if titles is None else titles[k])
        for place, (method, values) in zip(row[1:], maps.items(), strict=True):
            shown = place.imshow(np.asarray(values[k]), cmap=MAP_COLOURS, vmin=low, vmax=high)
            _bare(place)
            _outline(place, mask)
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
    figure, axes = _new(2, columns, WIDTH / columns * 1.95)
    _picture(axes[0, 0], image)
    _outline(axes[0, 0], mask)
    axes[0, 0].set_title("image")
    axes[1, 0].set_axis_off()
    low = min(float(m.min()) for m in maps.values())
    high = max(float(m.max()) for m in maps.values())
    edges = np.linspace(min(float(v.min()) for v in values.values()), max(float(v.max()) for v in values.values()), 41)
    for k, (stage, stage_map) in enumerate(maps.items(), start=1):
        shown = axes[0, k].imshow(np.asarray(stage_map), cmap=MAP_COLOURS, vmin=low, vmax=high)
        _bare(axes[0, k])
        _outline(axes[0, k], mask)
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
    figure, axes = _new(1, 2, 3.3)
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
    figure, axes = _new(1, len(weights), 3.3, sharey=True)
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
            _bare(axes)
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
) -> Figure:
    """One pixel through PPCR: its D contexts, normalised, times W, summed and squashed to its gate. Inputs are (D,).

    With an `image` (C, H, W), a first panel marks the pixel on it at `place`, its (row, column) in image pixels.
    """
    product = weights * after
    z = float(product.sum())
    names = context_names(scales)
    first = int(image is not None)
    figure, axes = _new(1, 4 + first, 2.9)
    if image is not None:
        _picture(axes[0, 0], image)
        axes[0, 0].plot(*place[::-1], "+", color="black", markersize=22, markeredgewidth=4)
        axes[0, 0].plot(*place[::-1], "+", color="white", markersize=20, markeredgewidth=1.5)
        axes[0, 0].set_title("the pixel", fontsize=11)
    steps = ((before, "contexts T"), (after, "normalised"), (weights, "weights W"), (product, "W × normalised"))
    for place_, (values, title) in zip(axes[0, first:], steps, strict=True):
        colours = [PALETTE[0] if s == 1 else PALETTE[1] if s == 2 else PALETTE[2] for s in scales for _ in range(s)]
        place_.barh(names, np.asarray(values), color=colours)
        place_.axvline(0, color="black", linewidth=0.8)
        place_.invert_yaxis()
        place_.set_title(title, fontsize=11)
    axes[0, first].set_ylabel("context (group / groups)")
    gate = float(torch.sigmoid(torch.tensor(z)))
    axes[0, -1].set_xlabel(f"sum Z = {z:+.2f}\ngate G = {gate:.2f}")
    return figure


# half against half, and quarter against quarter within each half: an orthonormal basis of what PN lets through
PYRAMID_AXES = torch.tensor([[0, 1, -1, 1, 1, -1, -1], [0, 0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 0, 1, -1]])
PYRAMID_AXES = PYRAMID_AXES / PYRAMID_AXES.double().norm(dim=1, keepdim=True)


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


def by_stage(
    values: Mapping[str, Tensor], stages: Sequence[str], label: str, reference: Mapping[str, float] | None = None
) -> Figure:
    """Compare quantities over the stages: a marker with its value a stage, a colour and a marker a quantity.

    A quantity is (stages,), or (stages, n) of one number an image: the mean is shown with its 95 % interval over
    images (nan left out). `reference` names horizontal lines, such as chance.
    """
    figure, axes = _new(1, 1, 3.3)
    place = axes[0, 0]
    for k, (name, each) in enumerate(values.items()):
        numbers = np.asarray(each, dtype=float).reshape(len(stages), -1)
        mean, count = np.nanmean(numbers, 1), np.isfinite(numbers).sum(1)
        # 1.96 standard errors; none for a single number
        error = 1.96 * np.nanstd(numbers, 1, ddof=1) / count**0.5 if numbers.shape[1] > 1 else None
        x = np.arange(len(stages)) + (k - (len(values) - 1) / 2) * 0.8 / len(values)
        place.errorbar(x, mean, error, fmt="osD^v*"[k % 6], color=PALETTE[k], label=name, capsize=3, markersize=6)
        for at, number, up in zip(x, mean, mean if error is None else mean + error, strict=True):
            place.annotate(f"{number:.2g}", (at, up), (0, 4), textcoords="offset points", ha="center", fontsize=9)
    for style, (name, number) in zip(("--", ":", "-."), (reference or {}).items(), strict=False):
        place.axhline(number, color="black", linewidth=1, linestyle=style, label=name, zorder=0)
    place.set_xticks(range(len(stages)), stages)
    place.set_xlim(-0.5, len(stages) - 0.5)
    place.margins(y=0.15)
    place.set_ylabel(label)
    place.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy by epoch, one colour a run; training dashed, validation solid."""
    figure, axes = _new(1, 2, 3.2)
    for place, what, label in ((axes[0, 0], "loss", "cross-entropy"), (axes[0, 1], "accuracy", "accuracy")):
        for colour, (name, history) in zip(PALETTE, histories.items(), strict=False):
            place.plot(history["epoch"], history[f"train_{what}"], color=colour, linestyle="--", linewidth=1)
            place.plot(history["epoch"], history[f"val_{what}"], color=colour, label=name)
        place.set_xlabel("epoch (dashed: training, solid: validation)")
        place.set_ylabel(label)
        place.spines[["top", "right"]].set_visible(False)
    axes[0, 1].legend(frameon=False)
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
    """Recorded accuracies, a dot a seed, beside the paper's printed figure.

    `table` has a row per printed or recorded accuracy in 0..100: dataset, method, accuracy, source ("paper", "ours").
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    methods = list(dict.fromkeys(table["method"]))
    figure, axes = _new(1, len(datasets), 1.4 + 0.55 * len(methods), sharey=True)
    for place, dataset in zip(axes[0], datasets, strict=True):
        for source, marker, colour, shift in (
            ("paper", "D", PALETTE[1], -0.14),
            ("ours", "o", PALETTE[0], 0.14),
        ):
            rows = table[(table["dataset"] == dataset) & (table["source"] == source)]
            height = [methods.index(method) + shift for method in rows["method"]]
            place.scatter(rows["accuracy"], height, marker=marker, color=colour, label=source, alpha=0.8, zorder=3)
        place.set_yticks(range(len(methods)), methods)
        place.set_ylim(len(methods) - 0.5, -0.5)
        place.set_xlabel("test accuracy, %")
        place.set_title(dataset)
        place.grid(axis="x", alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def png(figure: Figure, dpi: int = 80) -> bytes:
    """Render a figure, the same bytes for the same figure."""
    buffer = BytesIO()
    with mpl.rc_context({"font.size": 11}):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()
