"""Recorded results: what long runs measured, kept with the code so that readers need not repeat them.

`data/results/runs.csv` has one row a run: recipe, scores, device, versions, commit. Beside it, for every run:
`runs/<run>/recipe.yaml`, `history.csv` and `predictions.csv` (one row a test image); for a run that learned a weight
map, `map.safetensors`: the map `before` training and `after`, as it was tested, in half precision. What a notebook
measured on a run beyond its scores has a table of its own, `data/results/<table>.csv`.
"""

import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from medattn.paths import held, results_folder, write_whole
from medattn.training.listing import every_run
from medattn.training.provenance import CHANGED
from medattn.training.recipe import Recipe
from medattn.training.runs import Run, answered_right, save_weights

RECIPE_COLUMNS = [spec.name for spec in dataclasses.fields(Recipe)]
RUN_FILES = ("recipe.yaml", "history.csv", "predictions.csv")
RESULT_COLUMNS = [
    *("accuracy", "auc", "weighted_f1", "macro_f1", "n_correct", "n_test", "n_train", "best_epoch"),
    *("seconds", "device", "threads", "torch", "python", "commit"),
]


def record_run(run: Run, results: Path | None = None) -> None:
    """Add a finished run to the recorded results; recording it again changes nothing.

    Raises ValueError for one that is not finished, was made by code that is not committed, or whose predictions are not
    those that were scored.
    """
    _recordable(run)
    folder = (results or results_folder()) / "runs" / run.recipe.run_id
    if (folder / "predictions.csv").exists() and not recorded_predictions(folder.name, results).equals(run.predictions):
        _forget_measurements(folder.name, results)
    for name in RUN_FILES:
        with write_whole(folder / name) as part:
            shutil.copyfile(run.folder / name, part)
    if run.recipe.weight_map != "none":
        maps = {"before": run.maps[0], "after": run.weight_map}
        save_weights(folder / "map.safetensors", {name: value.half() for name, value in maps.items()})
    row = {"run": run.recipe.run_id}
    row |= {name: _as_cell(getattr(run.recipe, name)) for name in RECIPE_COLUMNS}
    row |= {name: run.result.get(name) for name in RESULT_COLUMNS}
    record_rows("runs", run, pd.DataFrame([row]), results)


def _forget_measurements(run: str, results: Path | None) -> None:
    """Take what was measured on a recorded run out of the tables: it was trained anew, and is another network."""
    place = results or results_folder()
    for path in (place / "runs" / run).iterdir():
        if path.name not in (*RUN_FILES, "map.safetensors"):
            path.unlink()
    with held(place):
        for path in place.glob("*.csv"):
            table = recorded_rows(path.stem, results)
            if path.stem != "runs" and "run" in table and (table["run"] == run).any():
                with write_whole(path) as part:
                    table[table["run"] != run].to_csv(part, index=False, float_format="%.6g")


def record_named(names: Sequence[str] = (), runs: Path | None = None, results: Path | None = None) -> list[str]:
    """Record finished runs by their names, or all of them; give the names of what was recorded."""
    every = {run.folder.name: run for run in every_run(runs)}
    for name in names:
        if name not in every:
            raise ValueError(f"there is no run {name!r}; `medattn runs` lists what there is")
    chosen = [every[name] for name in names] or [run for run in every.values() if run.finished]
    for run in chosen:
        _recordable(run)  # all, before the first is recorded
    for run in chosen:
        record_run(run, results)
    return [run.recipe.run_id for run in chosen]


def _recordable(run: Run) -> None:
    name = run.recipe.run_id
    if not run.finished:
        raise ValueError(f"run {name} is not finished; fit(recipe) goes on with it")
    commit = run.result.get("commit")
    if not commit or CHANGED in commit:
        raise ValueError(
            f"run {name} was made by code that is in no commit ({commit or 'no git'}), so nobody could make it again: "
            "commit medattn/, then train it anew in another MEDATTN_RUNS"
        )
    n_right = int(run.right.sum())  # a file with fewer rows is refused on reading
    if n_right != run.result["n_correct"]:
        raise ValueError(
            f"run {name} got {run.result['n_correct']} images right, its predictions.csv says {n_right}: delete "
            f"{run.folder} to train it anew"
        )


def recorded_runs(results: Path | None = None) -> pd.DataFrame:
    """Give the recorded runs, one row each; empty where nothing was recorded yet."""
    table = recorded_rows("runs", results)
    return table if len(table) else pd.DataFrame(columns=["run", *RECIPE_COLUMNS, *RESULT_COLUMNS])


def _as_cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | tuple) else value  # options: {"task": "edema"}


def record_rows(table: str, run: Run, rows: pd.DataFrame, results: Path | None = None) -> None:
    """Put what was measured on a run into a recorded table, in place of the rows that it has there."""
    named = rows.assign(run=run.recipe.run_id, dataset=run.recipe.dataset, seed=run.recipe.seed)
    named["commit"] = run.result.get("commit")
    with held(results or results_folder()):  # two that record at once both keep their rows
        before = recorded_rows(table, results)
        others = before[before["run"] != run.recipe.run_id] if len(before) else None
        together = (pd.concat([others, named]) if others is not None else named).sort_values(
            ["dataset", "seed", "run"], kind="stable"
        )
        with write_whole((results or results_folder()) / f"{table}.csv") as part:
            together.to_csv(part, index=False, float_format="%.6g")


def recorded_rows(table: str, results: Path | None = None) -> pd.DataFrame:
    """Give a recorded table; empty where nothing was recorded yet."""
    path = (results or results_folder()) / f"{table}.csv"
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path, dtype={"prior": str}).fillna({"prior": ""})  # no prior is no missing value


def recorded_predictions(run: str, results: Path | None = None) -> pd.DataFrame:
    """Give a recorded run's test predictions: one row an image, with index, label and one probability a class."""
    return pd.read_csv(_recorded_file(run, "predictions.csv", results))


def right_answers(run: str, results: Path | None = None) -> np.ndarray:
    """Say which test images a recorded run got right: (N,) bool, in the order of their index."""
    return answered_right(recorded_predictions(run, results).sort_values("index"))


def recorded_right(runs: pd.DataFrame, results: Path | None = None) -> dict[int, np.ndarray]:
    """Say which test images recorded runs of one method, a row a seed, got right: (N,) bool by seed."""
    if runs["seed"].duplicated().any():
        raise ValueError(f"several of these runs have the same seed: {', '.join(runs['run'])}")
    return {row.seed: right_answers(row.run, results) for row in runs.sort_values("seed").itertuples()}


def recorded_answers(runs: pd.DataFrame, results: Path | None = None) -> dict[str, dict[int, np.ndarray]]:
    """Say which test images several methods got right, by method and seed, for `evaluation.comparison`.

    A method is named by the fields in which these runs differ: "none", "ppcr {"scales": [1]}", "global map_hidden=64".
    A prior is named without its seed, so that runs which take the map of their own seed are one method.
    """
    if not len(runs):
        raise ValueError("there are no runs to compare: the query fits none of recorded_runs()")
    runs = runs.assign(prior=_of_any_seed(runs, results))
    fields = [name for name in RECIPE_COLUMNS if name != "seed"]
    differ = [name for name in fields if runs[name].nunique(dropna=False) > 1]
    methods = pd.Series([_named(row) for row in runs[differ].to_dict("records")], index=runs.index)
    return {name: recorded_right(rows, results) for name, rows in runs.groupby(methods, sort=False)}


def _of_any_seed(runs: pd.DataFrame, results: Path | None) -> list[str]:
    """Name each run's prior in short: "global", where only the map and the seed are new beside the run itself.

    Recorded priors that differ in more than their seed keep their whole names.
    """
    short = []
    for row in runs.to_dict("records"):
        alike = re.sub(r"[^\w.-]+", "-", f"{row['dataset']}{row['size']}-{row['network']}-")
        short.append(re.sub(r"-s\d+-\w{8}$", "", row["prior"].removeprefix(alike)))
    fields = [name for name in RECIPE_COLUMNS if name != "seed"]
    settings = {row["run"]: str([row[name] for name in fields]) for row in recorded_runs(results).to_dict("records")}
    of_prior = {prior: settings.get(prior, "") for prior in runs["prior"]}
    kinds: dict[str, set[str]] = {}
    for name, prior in zip(short, runs["prior"], strict=True):
        kinds.setdefault(name, set()).add(of_prior[prior])
    return [name if len(kinds[name]) == 1 else prior for name, prior in zip(short, runs["prior"], strict=True)]


def _named(fields: dict[str, Any]) -> str:
    words = []
    for name, value in fields.items():
        without_map = fields.get("weight_map") == "none" and name.startswith("map_")
        without_prior = fields.get("prior") == "" and name == "prior_use"
        if pd.isna(value) or value in ("{}", "none", "") or without_map or without_prior:
            continue
        bare = name in ("attention", "weight_map") or name.endswith("_options")
        words.append(f"{value}" if bare else f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return " ".join(words) or "none"


def recorded_history(run: str, results: Path | None = None) -> pd.DataFrame:
    """Give a recorded run's history: one row an epoch."""
    return pd.read_csv(_recorded_file(run, "history.csv", results))


def recorded_maps(run: str, results: Path | None = None) -> dict[str, Tensor]:
    """Give a recorded run's weight map "before" training and "after", as it was tested: (H, W) each."""
    return {name: value.float() for name, value in load_file(_recorded_file(run, "map.safetensors", results)).items()}


def _recorded_file(run: str, name: str, results: Path | None) -> Path:
    path = (results or results_folder()) / "runs" / run / name
    if not path.exists():
        raise ValueError(f"run {run!r} has no recorded {name}; recorded_runs()['run'] names the runs that are recorded")
    return path
