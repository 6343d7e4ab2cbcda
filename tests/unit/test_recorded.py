"""What long runs measured is kept once a run, and read back as it was written."""

import json

import pandas as pd
import pytest
import torch

from medattn.paths import results_folder
from medattn.training import Recipe, Run, fit
from medattn.training.recorded import (
    record_rows,
    record_run,
    recorded_history,
    recorded_maps,
    recorded_predictions,
    recorded_rows,
    recorded_runs,
)


def finished(seed, runs):
    run = Run.of(Recipe(attention="ppcr", seed=seed), runs)
    run.folder.mkdir(parents=True)
    (run.folder / "result.json").write_text(json.dumps({"commit": "0123456789ab", "accuracy": 0.8125}))
    (run.folder / "recipe.yaml").write_text(run.recipe.to_yaml())
    (run.folder / "history.csv").write_text("epoch,val_loss\n1,0.5\n")
    (run.folder / "predictions.csv").write_text("index,label,p0,p1\n0,1,0.25,0.75\n")
    return run


def test_rows_of_a_run_replace_those_it_had_and_leave_the_others(tmp_path):
    assert recorded_rows("stages", tmp_path).empty
    first, second = (finished(seed, tmp_path / "runs") for seed in (1, 0))
    record_rows("stages", first, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.1, 0.2]}), tmp_path)
    record_rows("stages", second, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.3, 0.4]}), tmp_path)
    record_rows("stages", first, pd.DataFrame({"stage": ["layer1", "layer2"], "deviation": [0.5, 0.6]}), tmp_path)
    table = recorded_rows("stages", tmp_path)
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table["stage"].tolist() == ["layer1", "layer2"] * 2
    assert table["deviation"].tolist() == [0.3, 0.4, 0.5, 0.6]
    assert set(table["commit"]) == {"0123456789ab"}


def test_a_run_is_recorded_once_with_its_recipe_and_every_prediction(tmp_path):
    results = tmp_path / "results"
    assert recorded_runs(results).empty
    runs = [finished(seed, tmp_path / "runs") for seed in (1, 0)]
    for run in (*runs, runs[0]):  # the last one again
        record_run(run, results)
        once = (results / "runs.csv").read_bytes()
    record_run(runs[1], results)
    assert (results / "runs.csv").read_bytes() == once
    table = recorded_runs(results)
    assert table["seed"].tolist() == [0, 1]
    assert table["accuracy"].tolist() == [0.8125, 0.8125]
    assert set(table["commit"]) == {"0123456789ab"}
    assert Recipe.from_yaml(results / "runs" / table["run"][1] / "recipe.yaml") == runs[0].recipe
    assert recorded_predictions(table["run"][0], results)["p1"].tolist() == [0.75]


def test_a_learned_map_is_recorded_before_and_after(tmp_path):
    recipe = Recipe(
        network="timm:test_resnet", weight_map="global", map_hidden=2, epochs=1, batch_size=8,
        dataset_options={"n_train": 8, "n_val": 8, "n_test": 8},
    )  # fmt: skip
    run = fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    record_run(run, tmp_path)
    maps = recorded_maps(recipe.run_id, tmp_path)
    torch.testing.assert_close(maps["before"], run.maps[0], atol=1e-3, rtol=0)  # half precision
    torch.testing.assert_close(maps["after"], run.weight_map, atol=1e-3, rtol=0)
    row = recorded_runs(tmp_path).iloc[0]
    assert (row["weight_map"], row["map_hidden"]) == ("global", 2)
    assert json.loads(row["dataset_options"]) == recipe.dataset_options
    assert recorded_history(recipe.run_id, tmp_path)["map_mean"].between(0, 1).all()


def test_every_recorded_run_has_its_files_and_its_recipe_again():
    """What is committed in data/results can be read back: one folder a row, named by the recipe in it."""
    table = recorded_runs()
    assert len(table) and not table["run"].duplicated().any()
    assert set(table["run"]) == {folder.name for folder in (results_folder() / "runs").iterdir()}
    for row in table.itertuples():
        recipe = Recipe.from_yaml(results_folder() / "runs" / row.run / "recipe.yaml")
        assert recipe.run_id == row.run
        predictions = recorded_predictions(row.run)
        right = predictions.filter(regex="^p").to_numpy().argmax(1) == predictions["label"]
        assert (int(right.sum()), len(right)) == (row.n_correct, row.n_test)
        assert len(recorded_history(row.run)) == row.epochs
        if row.weight_map != "none":
            assert recorded_maps(row.run)["after"].shape == (recipe.size, recipe.size)


def test_what_is_not_finished_or_not_recorded_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not finished; fit"):
        record_run(Run.of(Recipe(), tmp_path), tmp_path)
    with pytest.raises(ValueError, match="'nothing' has no recorded predictions"):
        recorded_predictions("nothing", tmp_path)
