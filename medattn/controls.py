"""Views to handle, one line each; every one is a view of a plain function, which a notebook calls first.

Needs ipywidgets; nothing else of the package imports this file.
"""

from pathlib import Path

from ipywidgets import HTML, Dropdown, Image, Layout, VBox

from medattn import figures
from medattn.evaluation import comparison
from medattn.training.recorded import recorded_answers, recorded_runs

SHARED = ["dataset", "dataset_options", "size", "network", "epochs"]  # by runs that are compared


def explore_runs(results: Path | None = None) -> VBox:
    """Choose a recorded experiment, and the method with which all its others are compared on the same images.

    A view of `figures.comparison`. Raises ValueError where no two methods were recorded on the same images.
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
    wide = {"layout": Layout(width="44em"), "style": {"description_width": "9em"}}
    experiment = Dropdown(description="experiment", options=experiments, **wide)
    reference = Dropdown(description="compared with", **_choice(experiment.value), **wide)
    picture, caption = Image(format="png"), HTML()

    def draw(_change=None) -> None:
        table = comparison(experiment.value, reference.value)
        picture.value = figures.png(figures.comparison(table, reference.value))
        apart = (table["holm"] < 0.05).sum()
        caption.value = (
            f"Test accuracy and difference from {reference.value}, 95 % intervals over seeds and images. After Holm's "
            f"correction {apart} of {table['p'].notna().sum()} differences are significant."
        )

    def renew(_change) -> None:
        reference.unobserve(draw, "value")
        reference.options, reference.value = _choice(experiment.value).values()
        reference.observe(draw, "value")
        draw()

    reference.observe(draw, "value")
    experiment.observe(renew, "value")
    draw()
    return VBox([experiment, reference, picture, caption])


def _choice(answers: dict) -> dict:
    return {"options": list(answers), "value": "none" if "none" in answers else next(iter(answers))}
