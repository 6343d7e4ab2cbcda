"""Results of long runs, committed in data/results so that readers need not repeat them.

`runs.csv` has one row per run. `runs/<run>/` holds its `RUN_FILES` and, for a learned weight map,
`map.safetensors`: the map before training and as tested, in half precision. Other measurements on
runs have tables of their own. In all functions, `results` is the folder; None is data/results.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from medattn.paths import locked, results_folder, write_whole
from medattn.training.provenance import CHANGED
from medattn.training.recipe import Recipe
from medattn.training.run import Run, answered_right, every_run, save_weights

BySeed = dict[int, np.ndarray]

RECIPE_COLUMNS = [spec.name for spec in fields(Recipe)]
_SETTINGS = [name for name in RECIPE_COLUMNS if name != "seed"]
RUN_FILES = ("recipe.yaml", "history.csv", "predictions.csv")
RESULT_COLUMNS = [
    *("accuracy", "auc", "weighted_f1", "macro_f1", "n_correct", "n_test", "n_train", "best_epoch"),
    *("seconds", "device", "threads", "torch", "python", "commit"),
]


def add_result(run: Run, results: Path | None = None) -> None:
    """Add a run to the results; if it was trained anew, remove what was measured on it before.

    Raises ValueError if it is not finished, its code is in no commit, or its predictions are not
    those that were scored.
    """
    _check_run(run)
    name = run.recipe.run_id
    folder = (results or results_folder()) / "runs" / name
    known = (folder / "predictions.csv").exists()
    if known and not result_predictions(name, results).equals(run.predictions):
        _remove_measurements(name, results)
    for file in RUN_FILES:
        with write_whole(folder / file) as part:
            shutil.copyfile(run.folder / file, part)
    if run.recipe.weight_map != "none":
        maps = {"before": run.maps[0].half(), "after": run.weight_map.half()}
        save_weights(folder / "map.safetensors", maps)
    row: dict[str, Any] = {"run": name}
    for column, value in vars(run.recipe).items():  # options as JSON: {"task": "edema"}
        row[column] = json.dumps(value) if isinstance(value, dict | tuple) else value
    row |= {column: run.result.get(column) for column in RESULT_COLUMNS}
    add_rows("runs", run, pd.DataFrame([row]), results)


def _check_run(run: Run) -> None:
    name = run.recipe.run_id
    if not run.finished:
        raise ValueError(f"run {name} is not finished; fit(recipe) continues it")
    commit = run.result.get("commit")
    if not commit or CHANGED in commit:
        raise ValueError(
            f"run {name} was made by code that is in no commit ({commit or 'no git'}): commit "
            "medattn/, then train it in another MEDATTN_RUNS"
        )
    n_scored, n_right = run.result["n_correct"], int(run.right.sum())
    if n_right != n_scored:
        differ = f"run {name} got {n_scored} images right, but its predictions.csv has {n_right}"
        raise ValueError(f"{differ}: delete {run.folder} to train it anew")


def _remove_measurements(run: str, results: Path | None) -> None:
    folder = results or results_folder()
    for path in (folder / "runs" / run).iterdir():
        if path.name not in (*RUN_FILES, "map.safetensors"):
            path.unlink()
    with locked(folder):
        for path in folder.glob("*.csv"):
            table = result_table(path.stem, results)
            if path.stem != "runs" and "run" in table and (table["run"] == run).any():
                _write_table(path, table[table["run"] != run])


def add_results(
    names: Sequence[str] = (), runs: Path | None = None, results: Path | None = None
) -> list[str]:
    """Add finished runs by name, or all of them; return the names of those added."""
    every = {run.folder.name: run for run in every_run(runs)}
    for name in names:
        if name not in every:
            raise ValueError(f"there is no run {name!r}; `medattn runs` lists all runs")
    chosen = [every[name] for name in names] or [run for run in every.values() if run.finished]
    for run in chosen:
        _check_run(run)  # every run, before the first is added
    for run in chosen:
        add_result(run, results)
    return [run.recipe.run_id for run in chosen]


def add_rows(table: str, run: Run, rows: pd.DataFrame, results: Path | None = None) -> None:
    """Write measurements on a run to a table, in place of the run's former rows."""
    folder, recipe = results or results_folder(), run.recipe
    rows = rows.assign(run=recipe.run_id, dataset=recipe.dataset, seed=recipe.seed)
    rows["commit"] = run.result.get("commit")
    with locked(folder):  # two writers at once both keep their rows
        before = result_table(table, results)
        others = before[before["run"] != recipe.run_id] if len(before) else before
        rows = pd.concat([others, rows]).sort_values(["dataset", "seed", "run"], kind="stable")
        _write_table(folder / f"{table}.csv", rows)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with write_whole(path) as part:
        table.to_csv(part, index=False, float_format="%.6g")


def result_table(table: str, results: Path | None = None) -> pd.DataFrame:
    """Return a table of results, or an empty one if it does not exist."""
    path = (results or results_folder()) / f"{table}.csv"
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path, dtype={"prior": str}).fillna({"prior": ""})  # "" is no prior


def result_runs(results: Path | None = None) -> pd.DataFrame:
    """Return all runs with their recipes and scores; fields that came later have their defaults."""
    table = result_table("runs", results)
    known = {k: v for k, v in vars(Recipe()).items() if isinstance(v, int | float | str)}
    return table.reindex(columns=["run", *RECIPE_COLUMNS, *RESULT_COLUMNS]).fillna(known)


def result_predictions(run: str, results: Path | None = None) -> pd.DataFrame:
    """Return a run's test predictions: one row per image, with index, label and probabilities."""
    return pd.read_csv(result_file(run, "predictions.csv", results))


def result_history(run: str, results: Path | None = None) -> pd.DataFrame:
    """Return a run's history: one row per epoch."""
    return pd.read_csv(result_file(run, "history.csv", results))


def result_maps(run: str, results: Path | None = None) -> dict[str, Tensor]:
    """Return a run's weight map "before" training and "after", as tested: (H, W) each."""
    maps = load_file(result_file(run, "map.safetensors", results))
    return {name: weight_map.float() for name, weight_map in maps.items()}


def result_file(run: str, name: str, results: Path | None = None) -> Path:
    """Return the path of a run's file in the results; raise ValueError if it does not exist."""
    path = (results or results_folder()) / "runs" / run / name
    if not path.exists():
        raise ValueError(f"run {run!r} has no {name} in the results; see result_runs()['run']")
    return path


def right_of_run(run: str, results: Path | None = None) -> np.ndarray:
    """Return which test images a run got right: (N,) bool, in the order of their index."""
    return answered_right(result_predictions(run, results).sort_values("index"))


def result_right(runs: pd.DataFrame, results: Path | None = None) -> BySeed:
    """Return which test images one method got right, by seed: (N,) bool; `runs` has one per seed.

    Raises ValueError if two runs have the same seed.
    """
    if runs["seed"].duplicated().any():
        raise ValueError(f"several of these runs have the same seed: {', '.join(runs['run'])}")
    by_seed = runs.sort_values("seed").set_index("seed")["run"]
    return {seed: right_of_run(run, results) for seed, run in by_seed.items()}


def result_answers(runs: pd.DataFrame, results: Path | None = None) -> dict[str, BySeed]:
    """Return which test images each method got right, by method and seed: (N,) bool.

    A method is named by the fields in which these runs differ, apart from the seed: "none",
    'ppcr {"scales": [1]}', "global map_hidden=64". Raises ValueError for an empty `runs`.
    """
    if not len(runs):
        raise ValueError("there are no runs to compare: the query matches none of result_runs()")
    runs = runs.reset_index(drop=True)
    runs["prior"] = _priors_without_seeds(runs, results)
    differing = [name for name in _SETTINGS if runs[name].nunique(dropna=False) > 1]
    methods = pd.Series([_method(row) for row in runs[differing].to_dict("records")])
    return {name: result_right(rows, results) for name, rows in runs.groupby(methods, sort=False)}


def _priors_without_seeds(runs: pd.DataFrame, results: Path | None) -> pd.Series:
    """Shorten the names of priors to what is new beside the run, unless that is ambiguous."""
    short = runs["prior"].str.replace(r"-s\d+-\w{8}$", "", regex=True)
    for row in runs[["dataset", "size", "network"]].itertuples():
        like_run = re.sub(r"[^\w.-]+", "-", f"{row.dataset}{row.size}-{row.network}-")
        short[row.Index] = short[row.Index].removeprefix(like_run)
    table = result_runs(results)
    settings = dict(zip(table["run"], map(str, table[_SETTINGS].to_numpy().tolist()), strict=True))
    n_settings = runs["prior"].map(settings).fillna("").groupby(short).transform("nunique")
    return runs["prior"].where(n_settings > 1, short)


def _method(fields: dict[str, Any]) -> str:
    ignored = {"prior_use"} if fields.get("prior") == "" else set()
    if fields.get("weight_map") == "none":
        ignored |= {name for name in fields if name.startswith("map_")}
    parts = []
    for name, value in fields.items():
        if name not in ignored and not pd.isna(value) and value not in ("{}", "none", ""):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            bare = name in ("attention", "weight_map") or name.endswith("_options")
            parts.append(text if bare else f"{name}={text}")
    return " ".join(parts) or "none"
