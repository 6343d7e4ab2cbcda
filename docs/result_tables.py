"""Results and claims as Markdown tables: the runs of every data set and task, and the scorecard."""

import json

import pandas as pd

from medattn.papers import scorecard
from medattn.paths import results_folder

FOLDER = "../data/results/runs"  # seen from results.md


def markdown() -> str:
    """Return all of data/results/runs.csv as Markdown."""
    runs = pd.read_csv(results_folder() / "runs.csv")
    return "\n\n".join(_section(group) for _, group in runs.groupby(["dataset", "dataset_options"]))


def claims() -> str:
    """Return the whole scorecard as a Markdown table, with links seen from claims.md."""
    rows = scorecard.claims()
    measured = {claim.id: scorecard.measure_claim(claim) for claim in rows}
    return scorecard.markdown(rows, measured).replace("](", "](../notebooks/")


def _section(runs: pd.DataFrame) -> str:
    recipe = runs.loc[:, "size":"precision"].map(_text)
    map_fields = [name for name in recipe if name.startswith("map_")]
    recipe.loc[runs["weight_map"] == "none", map_fields] = ""
    differing = [name for name in recipe if recipe[name].nunique() > 1]
    first = recipe.iloc[0].drop(differing)
    shared = [f"{name} {value}" for name, value in first.items() if value]
    table = recipe[differing].rename(columns=lambda name: name.replace("_", " "))
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
    options = _text(runs["dataset_options"].iloc[0])
    title = f"## {runs['dataset'].iloc[0]}{f' ({options})' if options else ''}"
    count = f"{len(runs)} runs, all with" if len(runs) > 1 else "One run"
    return f"{title}\n\n{count}: {', '.join(shared)}.\n\n{_table(table)}"


def _text(value: object) -> str:
    if isinstance(value, str) and value.startswith("{"):  # options, JSON
        options = json.loads(value).items()
        return ", ".join(
            f"{name} {json.dumps(option)}".replace('"', "") for name, option in options
        )
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(table: pd.DataFrame) -> str:
    rows = [list(table), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["```{table}", ":class: results", "", *lines, "```"])
