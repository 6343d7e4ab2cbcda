"""The folder of all runs: which there are, their states, and the time that is left.

`medattn runs` and a sweep's table are `list_runs`.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from medattn.paths import runs_folder, write_whole
from medattn.training.recipe import Recipe
from medattn.training.runs import Run

COLUMNS = [
    *("run", "dataset", "size", "network", "attention", "weight_map", "seed"),
    *("epochs", "state", "minutes_left", "accuracy", "auc", "error"),
]


def queue(recipes: Iterable[Recipe], runs: Path | None = None) -> None:
    """Write the recipes of runs that are not begun, so that `list_runs` shows what waits."""
    for recipe in recipes:
        path = Run.of(recipe, runs).folder / "recipe.yaml"
        if not path.exists():
            with write_whole(path) as part:
                part.write_text(recipe.to_yaml())


def every_run(runs: Path | None = None) -> list[Run]:
    """Give the runs there are, each in the folder where it is; ValueError names a recipe of another form."""
    found = []
    for path in sorted((runs or runs_folder()).glob("*/recipe.yaml")):
        try:
            found.append(Run(Recipe.from_yaml(path), path.parent))
        except ValueError as error:
            raise ValueError(f"{path}: {error}; move its folder away, or mend the recipe") from error
    return found


def list_runs(runs: Path | None = None, recipes: Iterable[Recipe] | None = None) -> pd.DataFrame:
    """List the runs there are, or those of some recipes: what they train, state, minutes left, scores or error.

    The minutes left are those of an epoch of the run itself, or else of the like runs (data set, size, network), times
    the epochs left.
    """
    every = every_run(runs) if recipes is None else [Run.of(recipe, runs) for recipe in recipes]
    rows = [
        {
            "run": run.folder.name,
            "dataset": run.recipe.dataset,
            "size": run.recipe.size,
            "network": run.recipe.network,
            "attention": run.recipe.attention,
            "weight_map": run.recipe.weight_map,
            "seed": run.recipe.seed,
            "epochs": f"{run.epochs_done}/{run.recipe.epochs}",
            "state": run.state,
            "minutes_left": run.seconds_an_epoch / 60,
            "accuracy": run.result["accuracy"] if run.finished else None,
            "auc": run.result["auc"] if run.finished else None,
            "error": run.failure,
        }
        for run in every
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    alike = table.groupby(["dataset", "size", "network"])["minutes_left"].transform("median")
    epochs_left = [run.recipe.epochs - run.epochs_done for run in every]
    table["minutes_left"] = (table["minutes_left"].fillna(alike) * epochs_left).round(1)
    return table
