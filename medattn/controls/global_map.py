"""A learned weight map, epoch by epoch, as a region, beside the region that matters; and the recorded sweep."""

from pathlib import Path

import numpy as np
import pandas as pd
from ipywidgets import HTML, FloatSlider, Image, IntSlider, VBox
from torch import Tensor

from medattn import figures
from medattn.controls.parts import image_of_its_size, recall, replace, wide
from medattn.datasets import Dataset, potential_attention
from medattn.evaluation import pixel_auc
from medattn.training.recorded import recorded_runs
from medattn.training.runs import Run

SETTINGS = {"map_hidden": "K, channels", "map_penalty": "lambda", "map_epochs": "E, cut-off epoch"}
BLACK = 25  # of 255: what the mean image does not exceed in the corners of photographs
ALIKE = [  # in runs of one sweep
    *("dataset_options", "network", "pretrained", "attention", "prior", "shuffle_labels"),
    *("epochs", "n_train", "lr", "weight_decay"),
]


def explore_global_map(run: Run, results: Path | None = None) -> VBox:
    """Follow a run's weight map over its epochs, make a region of it, and compare that with the region that matters.

    A view of `figures.map_region` and, where runs on this data set were recorded, of `figures.sensitivity`. The
    threshold is a share of the way from the map's smallest to its largest value. The region that matters is the data
    set's own, or IDRiD's potential attention. Raises ValueError for a run without a weight map, FileNotFoundError for
    one that has not begun, and what the data set raises.
    """
    if run.recipe.weight_map == "none":
        raise ValueError(f"run {run.recipe.run_id} has weight_map='none', and so no map: weight_map='global' or 'l1'")
    maps, data = run.maps, run.dataset()
    region = potential_attention(run.recipe.size) if data.name == "idrid" else data.region
    mean_image = data.train.images.float().mean(0).round().byte()
    view = mean_image.float().mean(0) > BLACK
    epoch = IntSlider(len(maps) - 1, max=len(maps) - 1, **wide("epoch"))
    threshold = FloatSlider(0.5, min=0, max=1, step=0.01, **wide("threshold"))
    recall("global_map", {"epoch": epoch, "threshold": threshold})
    picture, caption = image_of_its_size(), HTML()

    def draw(_change=None) -> None:
        values = maps[epoch.value]
        low, high = float(values.min()), float(values.max())
        at = low + threshold.value * (high - low)
        when = f"after epoch {epoch.value}" if epoch.value else "before learning"
        picture.value = figures.quick_png(figures.map_region(values, mean_image, at, region, f"map {when}"))
        caption.value = f"The map {when}. {_overlap(values, at, region, view)}"

    for control in (epoch, threshold):
        control.observe(draw, "value")
    draw()
    return replace("global_map", VBox([epoch, threshold, picture, caption, *_sweep(data, results)]))


def _overlap(values: Tensor, threshold: float, region: Tensor | None, view: Tensor) -> str:
    above = values >= threshold
    said = f"It is {figures.apart(threshold, values)} or more at {100 * above.float().mean():.0f} % of the pixels."
    if region is None:
        return f"{said} This data set has no region to compare them with."
    both, either, share = (above & region).sum(), (above | region).sum(), 100 * region.float().mean()
    auc = pixel_auc(values[None], region[None], view).item()
    return (
        f"{said} They cover {100 * both / region.sum():.0f} % of the region that matters, and "
        f"{100 * both / above.sum():.0f} % of them lie in it ({share:.0f} % of blindly chosen ones would). Overlap, "
        f"intersection over union: {both / either:.2f}. Without any threshold, a pixel of the region is weighted above "
        f"another one, black ones left out, {100 * auc:.0f} times of 100."
    )


def recorded_sweep(data: Dataset, results: Path | None = None) -> pd.DataFrame:
    """Give the recorded runs of a data set in which one of K, lambda and E was varied, for `figures.sensitivity`.

    The rows are those of the largest group of like runs. Its centre is the setting with most runs.
    """
    table = recorded_runs(results)
    table = table[(table["dataset"] == data.name) & (table["weight_map"] == "global") & (table["map_options"] == "{}")]
    table = table[(table["split"] == "own") & (table["size"] == data.size)]
    if not len(table):
        return pd.DataFrame(columns=["parameter", "setting", "accuracy"])
    table = max((rows for _, rows in table.groupby(ALIKE)), key=len)
    centre = dict(zip(SETTINGS, table.groupby(list(SETTINGS), dropna=False).size().idxmax(), strict=True))
    parts = []
    for name in SETTINGS:
        alike = [np.isclose(table[n], centre[n], equal_nan=True) for n in SETTINGS if n != name]  # E may be None
        rows = table[np.logical_and.reduce(alike)]
        if rows[name].nunique() > 1:
            parts.append(rows.assign(parameter=name, setting=rows[name], accuracy=100 * rows["accuracy"]))
    return pd.concat(parts, ignore_index=True) if parts else table.iloc[:0].assign(parameter="", setting=0.0)


def _sweep(data: Dataset, results: Path | None) -> list[Image | HTML]:
    table = recorded_sweep(data, results)
    varied = {name: label for name, label in SETTINGS.items() if name in set(table["parameter"])}
    if not varied:
        return [HTML(f"No runs are recorded on {data.name} at {data.size} px in which K, lambda or E was varied.")]
    said = f"Recorded runs, test accuracy in %: {', '.join(varied.values())} varied one at a time; a dot is a run."
    picture = image_of_its_size()
    picture.value = figures.png(figures.sensitivity(table, varied))
    return [picture, HTML(said)]
