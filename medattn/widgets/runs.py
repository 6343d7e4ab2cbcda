"""Experiments of the results: each method compared with one of them on the same images."""

from functools import cache
from pathlib import Path
from typing import Any

from ipywidgets import Dropdown, VBox

from medattn import figures
from medattn.evaluation import comparison
from medattn.figures.style import quick_png
from medattn.papers.results import result_answers, result_runs
from medattn.widgets.parts import picture_and_caption, replace, restore, wide

SHARED = ["dataset", "dataset_options", "size", "network", "epochs"]  # by runs that are compared


def explore_runs(results: Path | None = None) -> VBox:
    """Choose an experiment, and the method with which all others are compared on the same images.

    This is a view of `figures.differences`. Each comparison is computed once. Raises ValueError if
    the results have no two methods on the same images.
    """
    experiments = {}
    runs = result_runs(results).query("split == 'own'")
    for (dataset, options, size, network, epochs), rows in runs.groupby(SHARED):
        if len(answers := result_answers(rows, results)) > 1:
            task = "" if options == "{}" else f" {options}"
            experiments[f"{dataset}{task}, {size} px, {network}, {epochs} epochs"] = answers
    if not experiments:
        raise ValueError("no two methods in the results can be compared: medattn results add")
    experiment = Dropdown(options=list(experiments), **wide("experiment", "44em"))
    restore("runs", {"experiment": experiment})
    reference = Dropdown(**_choice(experiments[experiment.value]), **wide("compared with", "44em"))
    controls = {"experiment": experiment, "reference": reference}
    restore("runs", controls)
    picture, caption = picture_and_caption()

    @cache
    def compared(experiment: str, reference: str) -> tuple[bytes, str]:
        table = comparison(experiments[experiment], reference)
        significant = f"{(table['holm'] < 0.05).sum()} of {table['p'].notna().sum()}"
        text = (
            f"Test accuracy and difference from {reference}, 95 % intervals over seeds and images. "
            f"After Holm's correction {significant} differences are significant."
        )
        return quick_png(figures.differences(table, reference)), text

    def draw(_change=None) -> None:
        picture.value, caption.value = compared(experiment.value, reference.value)

    def renew(_change) -> None:
        reference.unobserve(draw, "value")
        reference.options, reference.value = _choice(experiments[experiment.value]).values()
        reference.observe(draw, "value")
        draw()

    reference.observe(draw, "value")
    experiment.observe(renew, "value")
    draw()
    return replace("runs", controls, VBox([experiment, reference, picture, caption]))


def _choice(answers: dict[str, Any]) -> dict[str, Any]:
    return {"options": list(answers), "value": "none" if "none" in answers else next(iter(answers))}
