"""A learned weight map over its epochs, as a region, beside the region that matters."""

from pathlib import Path

import numpy as np
import pandas as pd
from ipywidgets import HTML, FloatSlider, Image, IntSlider, VBox
from torch import Tensor

from medattn import figures
from medattn.datasets import Dataset, relevant_region
from medattn.evaluation import pixel_auc
from medattn.figures.overlay import format_value
from medattn.figures.style import quick_png
from medattn.papers.results import result_runs
from medattn.training.run import Run
from medattn.widgets.parts import picture_and_caption, replace, restore, wide

SETTINGS = {"map_hidden": "K, channels", "map_penalty": "lambda", "map_epochs": "E, cut-off epoch"}
BLACK = 25  # of 255: the corners of photographs are not brighter in the mean image
ALIKE = [  # in runs of one sweep
    *("dataset_options", "network", "pretrained", "attention", "prior", "shuffle_labels"),
    *("epochs", "n_train", "lr", "weight_decay"),
]


def explore_global_map(run: Run, results: Path | None = None) -> VBox:
    """Follow a run's weight map over its epochs, and compare its region with the one that matters.

    This is a view of `figures.map_region`, and of `figures.sensitivity` if the results have runs on
    this data set. The region that matters is the data set's own, or IDRiD's potential attention.
    Raises ValueError for a run without a weight map, and FileNotFoundError for one not begun.
    """
    if run.recipe.weight_map == "none":
        name = run.recipe.run_id
        raise ValueError(
            f"run {name} has weight_map='none', and so no map: choose 'global' or 'l1'"
        )
    maps, data = run.maps, run.dataset()
    region = relevant_region(data)
    mean_image = data.train.images.float().mean(0).round().byte()
    visible = mean_image.float().mean(0) > BLACK
    epoch = IntSlider(len(maps) - 1, max=len(maps) - 1, **wide("epoch"))
    threshold = FloatSlider(0.5, min=0, max=1, step=0.01, **wide("threshold"))
    controls = {"epoch": epoch, "threshold": threshold}
    restore("global_map", controls)
    picture, caption = picture_and_caption()

    def draw(_change=None) -> None:
        values = maps[epoch.value]
        low, high = float(values.min()), float(values.max())
        at = low + threshold.value * (high - low)
        when = f"after epoch {epoch.value}" if epoch.value else "before learning"
        picture.value = quick_png(figures.map_region(values, mean_image, at, region, f"map {when}"))
        caption.value = f"The map {when}. {_overlap(values, at, region, visible)}"

    for control in controls.values():
        control.observe(draw, "value")
    draw()
    box = VBox([epoch, threshold, picture, caption, *_sweep(data, results)])
    return replace("global_map", controls, box)


def _overlap(values: Tensor, threshold: float, region: Tensor | None, visible: Tensor) -> str:
    above = values >= threshold
    share = 100 * above.float().mean()
    text = f"It is {format_value(threshold, values)} or more at {share:.0f} % of the pixels."
    if region is None:
        return f"{text} This data set has no region to compare them with."
    both, either = (above & region).sum(), (above | region).sum()
    auc = pixel_auc(values[None], region[None], visible).item()
    return (
        f"{text} They cover {100 * both / region.sum():.0f} % of the region that matters, and "
        f"{100 * both / above.sum():.0f} % of them lie in it "
        f"({100 * region.float().mean():.0f} % of blindly chosen ones would). Overlap, "
        f"intersection over union: {both / either:.2f}. Without any threshold, a pixel of the "
        f"region is weighted above another one, black ones left out, {100 * auc:.0f} times of 100."
    )


def result_sweep(data: Dataset, results: Path | None = None) -> pd.DataFrame:
    """Return the results in which one of K, lambda and E was varied, for `figures.sensitivity`.

    They are of the largest group of like runs. Its centre is the setting with the most runs.
    """
    table = result_runs(results)
    fits = (table["dataset"] == data.name) & (table["size"] == data.size)
    fits &= (table["weight_map"] == "global") & (table["map_options"] == "{}")
    table = table[fits & (table["split"] == "own")]
    if not len(table):
        return pd.DataFrame(columns=["parameter", "setting", "accuracy"])
    table = max((rows for _, rows in table.groupby(ALIKE)), key=len)
    names = list(SETTINGS)
    centre = table.groupby(names, dropna=False).size().idxmax()
    at_centre = np.isclose(table[names].astype(float), centre, equal_nan=True)  # E may be nan
    parts = [table.iloc[:0].assign(parameter="", setting=0.0)]
    for k, name in enumerate(names):
        rows = table[np.delete(at_centre, k, axis=1).all(1)]
        if rows[name].nunique() > 1:
            accuracy = 100 * rows["accuracy"]
            parts.append(rows.assign(parameter=name, setting=rows[name], accuracy=accuracy))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _sweep(data: Dataset, results: Path | None) -> list[Image | HTML]:
    table = result_sweep(data, results)
    varied = {name: label for name, label in SETTINGS.items() if name in set(table["parameter"])}
    if not varied:
        where = f"on {data.name} at {data.size} px"
        return [HTML(f"No results {where} are of runs in which K, lambda or E was varied.")]
    picture, caption = picture_and_caption()
    picture.value = quick_png(figures.sensitivity(table, varied))
    text = f"{', '.join(varied.values())} varied one at a time; a dot is a run."
    caption.value = f"Results, test accuracy in %: {text}"
    return [picture, caption]
