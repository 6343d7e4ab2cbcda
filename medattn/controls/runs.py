"""Recorded experiments, each method compared with one of them on the same images."""

from functools import cache
from pathlib import Path

from ipywidgets import HTML, Dropdown, VBox

from medattn import figures
from medattn.controls.parts import image_of_its_size, recall, replace, wide
from medattn.evaluation import comparison
from medattn.training.recorded import recorded_answers, recorded_runs

SHARED = ["dataset", "dataset_options", "size", "network", "epochs"]  # by runs that are compared


def explore_runs(results: Path | None = None) -> VBox:
    """Choose a recorded experiment, and the method with which all its others are compared on the same images.

    A view of `figures.comparison`. What was compared once is kept. Raises ValueError where no two methods were
    recorded on the same images.
    """
    experiments = {}
    for (dataset, options, size, network, epochs), rows in (
        recorded_runs(results).query("split == 'own'").groupby(SHARED)
    ):
        if len(answers := recorded_answers(rows, results)) > 1:
            task = "" if options == "{}" else f" {options}"
            experiments[f"{dataset}{task}, {size} px, {network}, {epochs} epochs"] = answers
    if not experiments:
        raise ValueError("no two recorded methods can be compared; record some: medattn runs record")
    experiment = Dropdown(options=list(experiments), **wide("experiment", "44em"))
    recall("runs", {"experiment": experiment})
    reference = Dropdown(**_choice(experiments[experiment.value]), **wide("compared with", "44em"))
    recall("runs", {"reference": reference})
    picture, caption = image_of_its_size(), HTML()

    @cache
    def compared(experiment: str, reference: str) -> tuple[bytes, str]:
        table = comparison(experiments[experiment], reference)
        apart = (table["holm"] < 0.05).sum()
        said = (
            f"Test accuracy and difference from {reference}, 95 % intervals over seeds and images. After Holm's "
            f"correction {apart} of {table['p'].notna().sum()} differences are significant."
        )
        return figures.png(figures.comparison(table, reference)), said

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
    return replace("runs", VBox([experiment, reference, picture, caption]))


def _choice(answers: dict) -> dict:
    return {"options": list(answers), "value": "none" if "none" in answers else next(iter(answers))}
