"""Results are kept once per run, and read back as they were written."""

import json
import re
import subprocess

import pandas as pd
import pytest
import torch

from medattn.papers.results import (
    add_result,
    add_results,
    add_rows,
    result_answers,
    result_history,
    result_maps,
    result_predictions,
    result_right,
    result_runs,
    result_table,
)
from medattn.paths import ROOT, results_folder
from medattn.training import Recipe, Run, fit


def finished(asked, runs):
    """A run of a recipe, or of one with this seed, as if it was trained."""
    run = Run.of(asked if isinstance(asked, Recipe) else Recipe(attention="ppcr", seed=asked), runs)
    run.folder.mkdir(parents=True)
    result = {"commit": "0123456789ab", "accuracy": 0.8125, "n_correct": 1, "n_test": 1}
    (run.folder / "result.json").write_text(json.dumps(result))
    (run.folder / "recipe.yaml").write_text(run.recipe.to_yaml())
    (run.folder / "history.csv").write_text("epoch,val_loss\n1,0.5\n")
    (run.folder / "predictions.csv").write_text("index,label,p0,p1\n0,1,0.25,0.75\n")
    return run


def committed(run):
    """As if trained by code in a commit, whatever the state of this checkout."""
    path = run.folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "commit": "0123456789ab"}))


def test_rows_replace_those_of_the_same_run(tmp_path):
    assert result_table("stages", tmp_path).empty
    first, second = (finished(seed, tmp_path / "runs") for seed in (1, 0))
    add_rows(
        "stages",
        first,
        pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.1, 0.2]}),
        tmp_path,
    )
    add_rows(
        "stages",
        second,
        pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.3, 0.4]}),
        tmp_path,
    )
    add_rows(
        "stages",
        first,
        pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.5, 0.6]}),
        tmp_path,
    )
    table = result_table("stages", tmp_path)
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table["stage"].tolist() == ["layer1", "layer2"] * 2
    assert table["deviation"].tolist() == [0.3, 0.4, 0.5, 0.6]
    assert set(table["commit"]) == {"0123456789ab"}


def test_run_is_added_once(tmp_path):
    results = tmp_path / "results"
    assert result_runs(results).empty
    runs = [finished(seed, tmp_path / "runs") for seed in (1, 0)]
    for run in (*runs, runs[0]):  # the last one again
        add_result(run, results)
        once = (results / "runs.csv").read_bytes()
    add_result(runs[1], results)
    assert (results / "runs.csv").read_bytes() == once
    table = result_runs(results)
    assert table["seed"].tolist() == [0, 1]
    assert table["accuracy"].tolist() == [0.8125, 0.8125]
    assert set(table["commit"]) == {"0123456789ab"}
    assert Recipe.from_yaml(results / "runs" / table["run"][1] / "recipe.yaml") == runs[0].recipe
    assert result_predictions(table["run"][0], results)["p1"].tolist() == [0.75]


def test_learned_map_is_kept_before_and_after(tmp_path):
    recipe = Recipe(
        network="timm:test_resnet", weight_map="global", map_hidden=2, epochs=1, batch_size=8,
        dataset_options={"n_train": 8, "n_val": 8, "n_test": 8},
    )  # fmt: skip
    run = fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    committed(run)
    add_result(run, tmp_path)
    maps = result_maps(recipe.run_id, tmp_path)
    torch.testing.assert_close(maps["before"], run.maps[0], atol=1e-3, rtol=0)  # half precision
    torch.testing.assert_close(maps["after"], run.weight_map, atol=1e-3, rtol=0)
    row = result_runs(tmp_path).iloc[0]
    assert (row["weight_map"], row["map_hidden"]) == ("global", 2)
    assert json.loads(row["dataset_options"]) == recipe.dataset_options
    assert result_history(recipe.run_id, tmp_path)["map_mean"].between(0, 1).all()


def test_unfinished_and_missing_runs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not finished; fit"):
        add_result(Run.of(Recipe(), tmp_path), tmp_path)
    with pytest.raises(ValueError, match=r"'nothing' has no predictions\.csv in the results"):
        result_predictions("nothing", tmp_path)


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        ("index,label,p0,p1\n", r"predictions.csv is damaged \(0 rows for 1 test images\)"),
        (
            "index,label,p0,p1\n0,1,0.75,0.25\n",
            r"got 1 images right, but its predictions\.csv has 0: delete",
        ),
    ],
)
def test_predictions_must_be_those_that_were_scored(tmp_path, predictions, said):
    run = finished(0, tmp_path / "runs")
    (run.folder / "predictions.csv").write_text(predictions)
    with pytest.raises(ValueError, match=said):
        add_results([], tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "commit", [None, "0123456789ab+changes", "0123456789ab+changes, 123456789abc"]
)
def test_code_in_no_commit_is_refused(tmp_path, commit):
    good, bad = (finished(seed, tmp_path / "runs") for seed in (0, 1))
    (bad.folder / "result.json").write_text(json.dumps({"commit": commit, "accuracy": 0.5}))
    with pytest.raises(ValueError, match="made by code that is in no commit"):
        add_results([], tmp_path / "runs", tmp_path / "results")
    assert result_runs(tmp_path / "results").empty  # none of them
    assert add_results([good.recipe.run_id], tmp_path / "runs", tmp_path / "results") == [
        good.recipe.run_id
    ]
    with pytest.raises(ValueError, match="there is no run 'nothing'"):
        add_results(["nothing"], tmp_path / "runs", tmp_path / "results")


def test_answers_are_by_seed(tmp_path):
    for seed in (1, 0):
        add_result(finished(seed, tmp_path / "runs"), tmp_path / "results")
    table = result_runs(tmp_path / "results")
    assert {
        seed: right.tolist() for seed, right in result_right(table, tmp_path / "results").items()
    } == {
        0: [True],
        1: [True],
    }
    with pytest.raises(ValueError, match="the same seed"):
        result_right(pd.concat([table, table]), tmp_path / "results")


def test_methods_are_named_by_their_differences():
    breast = result_runs().query(
        "dataset == 'breastmnist' and network == 'resnet18' and epochs == 30 and seed == 0"
    )
    names = set(result_answers(breast))
    assert {"none", "ppcr", "ea", 'ppcr {"scales": [1]}', 'ppcr {"norm": "none"}'} <= names
    drawn = result_runs().query("dataset == 'phantoms' and split == 'own' and epochs == 16")
    assert {"none", "l1 map_hidden=32 map_penalty=1"} <= set(result_answers(drawn))
    assert list(result_answers(breast[:1])) == ["none"]
    with pytest.raises(ValueError, match="the query matches none of result_runs"):
        result_answers(drawn[:0])


def test_priors_of_each_seed_are_one_method(tmp_path):
    recipes = []
    for seed in (0, 1):
        plain = Recipe(attention="ppcr", seed=seed)
        first = Recipe(weight_map="global", seed=seed).run_id
        other = Recipe(weight_map="global", size=56, seed=seed).run_id
        recipes += [
            plain,
            plain.replace(prior=first),
            plain.replace(prior=first, prior_use="start"),
        ]
        recipes += [plain.replace(prior=other)]
    for recipe in recipes:
        add_result(finished(recipe, tmp_path / "runs"), tmp_path / "results")
    table = result_runs(tmp_path / "results")
    assert (
        table["prior"].eq("").sum() == 2
        and len(table.query("prior == '' and prior_use == 'multiply'")) == 2
    )
    answers = result_answers(table, tmp_path / "results")
    assert {name: sorted(by_seed) for name, by_seed in answers.items()} == {
        "none": [0, 1],
        "prior=global prior_use=multiply": [0, 1],
        "prior=global prior_use=start": [0, 1],
        "prior=phantoms56-resnet18-global prior_use=multiply": [0, 1],
    }
    one_prior = table[table["prior"].str.contains("phantoms28")]
    assert set(result_answers(one_prior, tmp_path / "results")) == {
        "prior_use=multiply",
        "prior_use=start",
    }


def test_priors_of_other_settings_are_other_methods(tmp_path):
    for seed, penalty in ((0, 0.001), (1, 0.1)):
        learned = Recipe(weight_map="global", map_penalty=penalty, seed=seed)
        of_it = Recipe(attention="ppcr", seed=seed, prior=learned.run_id)
        add_result(finished(of_it, tmp_path / "runs"), tmp_path / "results")
        cells = {
            name: getattr(learned, name)
            for name in ("dataset", "weight_map", "map_penalty", "seed")
        }
        row = pd.DataFrame([cells])
        add_rows("runs", finished(learned, tmp_path / "runs"), row, tmp_path / "results")
    of_them = result_runs(tmp_path / "results").query("attention == 'ppcr'")
    assert sorted(
        len(by_seed) for by_seed in result_answers(of_them, tmp_path / "results").values()
    ) == [1, 1]


def test_new_training_removes_measurements(tmp_path):
    results = tmp_path / "results"
    runs = [finished(seed, tmp_path / "runs") for seed in (0, 1)]
    for run in runs:
        add_result(run, results)
        add_rows("stages", run, pd.DataFrame({"stage": ["layer1"], "deviation": [0.1]}), results)
        (results / "runs" / run.recipe.run_id / "lesions.safetensors").touch()
    add_result(runs[0], results)  # the same again
    assert result_table("stages", results)["seed"].tolist() == [0, 1]
    (runs[0].folder / "predictions.csv").write_text("index,label,p0,p1\n0,1,0.125,0.875\n")
    add_result(runs[0], results)
    assert result_table("stages", results)["seed"].tolist() == [1]
    assert [path.parent.name for path in results.glob("runs/*/lesions.safetensors")] == [
        runs[1].recipe.run_id
    ]
    assert result_runs(results)["seed"].tolist() == [0, 1]


def test_commits_of_all_runs_exist():
    """Only the commits that data/results/README.md names are lost."""

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )

    named = set()
    for path in results_folder().glob("*.csv"):
        for cell in pd.read_csv(path)["commit"].dropna().unique():
            named.update(cell.split(", "))
    lost = {
        commit for commit in named if git("merge-base", "--is-ancestor", commit, "HEAD").returncode
    }
    if lost == named or git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("this is not a complete clone of the repository")
    [told] = re.findall(
        r"^Lost: (.*?)\.$", (results_folder() / "README.md").read_text(), re.MULTILINE
    )
    assert lost == set(re.findall(r"`([0-9a-f]{12})`", told))


def test_results_keep_the_documented_schema():
    """The README of the results names every column, and the files of every run agree."""
    folder = results_folder()
    said = re.findall(r"^\| `(\w+)` \|", (folder / "README.md").read_text(), re.MULTILINE)
    tables = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    assert {name for table in tables.values() for name in table} == set(said)
    runs = tables["runs"]
    assert runs["run"].is_unique
    assert set(runs["run"]) == {path.name for path in (folder / "runs").iterdir()}
    assert (
        runs["commit"].str.fullmatch("[0-9a-f]{12}(, [0-9a-f]{12})*").all()
    )  # one went on at another commit
    for row in runs.itertuples():
        recipe = Recipe.from_yaml(folder / "runs" / row.run / "recipe.yaml")
        assert recipe.run_id == row.run and (recipe.seed, recipe.dataset) == (row.seed, row.dataset)
        right = result_right(runs[runs["run"] == row.run])[row.seed]
        assert (right.sum(), len(right)) == (row.n_correct, row.n_test)
        history = result_history(row.run)
        assert history["epoch"].tolist() == list(range(1, recipe.epochs + 1))
        assert row.best_epoch in history["epoch"].tolist()
        assert (recipe.weight_map != "none") == (
            folder / "runs" / row.run / "map.safetensors"
        ).exists()
        if recipe.weight_map != "none":
            assert result_maps(row.run)["after"].shape == (recipe.size, recipe.size)
        assert (
            pd.isna(row.prior) or result_maps(row.prior)["after"].ndim == 2
        )  # or nobody could make it again
    for name, table in tables.items():
        if name not in ("ppcr_maps", "speed"):  # of earlier runs; of no run
            assert set(table["run"]) <= set(runs["run"]), name
