"""The folder of all runs: which there are, their states, and the time that is left.

`medattn runs` and a sweep's table are `list_runs`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
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
    return [read_run(path) for path in sorted(Path(runs or runs_folder()).glob("*/recipe.yaml"))]


def read_run(path: Path) -> Run:
    """Give the run of a folder by its recipe.yaml; ValueError names a recipe of another form."""
    try:
        return Run(Recipe.from_yaml(path), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; move its folder away, or mend the recipe") from error


def list_runs(runs: Path | None = None, recipes: Iterable[Recipe] | None = None) -> pd.DataFrame:
    """List the runs there are, or those of some recipes: what they train, state, minutes left, scores or error.

    The minutes left are those of an epoch of the run itself, or else of the like runs (data set, size, network), times
    the epochs left.
    """
    every = every_run(runs) if recipes is None else [Run.of(recipe, runs) for recipe in recipes]
    rows = [{name: getattr(run.recipe, name) for name in COLUMNS[1:7]} | _progress(run) for run in every]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "epochs_left"])
    alike = table.groupby(["dataset", "size", "network"])["minutes_left"].transform("median")
    table["minutes_left"] = (table["minutes_left"].fillna(alike) * table["epochs_left"]).round(1)
    return table[COLUMNS]


def _progress(run: Run) -> dict[str, Any]:
    row = {"run": run.folder.name}
    try:
        result = run.result if run.finished else {}
        done = run.epochs_done
        row |= {"state": run.state, "minutes_left": run.seconds_an_epoch / 60, "error": run.failure}
        row |= {name: result.get(name, np.nan) for name in ("accuracy", "auc")}
    except ValueError as error:  # one damaged file hides no other run
        done, row = 0, row | {"state": "damaged", "minutes_left": np.nan, "error": str(error)}
    return row | {"epochs": f"{done}/{run.recipe.epochs}", "epochs_left": run.recipe.epochs - done}
