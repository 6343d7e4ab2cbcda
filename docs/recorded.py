"""The recorded runs as Markdown: a heading, what all runs share, and a table for every data set and task."""

import json

import pandas as pd

from medattn.paths import results_folder

FOLDER = "../data/results/runs"  # seen from results.md


def tables() -> str:
    """Give the Markdown of all of `data/results/runs.csv`."""
    runs = pd.read_csv(results_folder() / "runs.csv")
    return "\n\n".join(_section(group) for _, group in runs.groupby(["dataset", "dataset_options"]))


def _section(runs: pd.DataFrame) -> str:
    recipe = runs.loc[:, "size":"precision"].map(_text)
    maps = [name for name in recipe if name.startswith("map_")]
    recipe.loc[runs["weight_map"] == "none", maps] = ""
    differ = [name for name in recipe if recipe[name].nunique() > 1]
    shared = [f"{name} {recipe[name].iloc[0]}" for name in recipe if name not in differ and recipe[name].iloc[0]]
    options = _text(runs["dataset_options"].iloc[0])
    table = recipe[differ].rename(columns=lambda name: name.replace("_", " "))
    table["right"] = [f"{row.n_correct} / {row.n_test}" for row in runs.itertuples()]
    table["accuracy, %"] = [f"{value:.1%}"[:-1] for value in runs["accuracy"]]
    for name in ("auc", "weighted_f1", "macro_f1"):
        table[name.replace("_", " ")] = runs[name].map("{:.3f}".format)
    table["epoch tested"] = runs["best_epoch"]
    table["run"] = [
        f"[recipe]({FOLDER}/{run}/recipe.yaml) [history]({FOLDER}/{run}/history.csv) "
        f"[predictions]({FOLDER}/{run}/predictions.csv)"
        for run in runs["run"]
    ]
    title = f"## {runs['dataset'].iloc[0]}{f' ({options})' if options else ''}"
    count = f"{len(runs)} runs, all with" if len(runs) > 1 else "One run"
    return f"{title}\n\n{count}: {', '.join(shared)}.\n\n{_markdown(table)}"


def _text(value: object) -> str:
    if isinstance(value, str) and value.startswith("{"):  # options, JSON
        return ", ".join(f"{name} {json.dumps(option)}".replace('"', "") for name, option in json.loads(value).items())
    return "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["```{table}", ":class: recorded", "", *lines, "```"])
