"""A run's folder: what it holds, and what it says of missing and damaged files."""

import json
import shutil

import pytest
import torch
from short_runs import FEW, SHORT

from medattn.datasets import load_dataset
from medattn.training import Recipe, Run, fit, list_runs, predict
from medattn.training.run import map_files, save_map


def test_finished_run_holds_its_files(unbroken):
    names = {path.name for path in unbroken.folder.iterdir()}
    assert names == {
        "recipe.yaml",
        "history.csv",
        "predictions.csv",
        "best.safetensors",
        "result.json",
        ".lock",
    }
    assert Recipe.from_yaml(unbroken.folder / "recipe.yaml") == SHORT
    assert unbroken.history["epoch"].tolist() == [1, 2, 3]
    assert len(unbroken.predictions) == 16
    result = unbroken.result
    # the earliest of the best
    assert result["best_epoch"] == unbroken.history["val_accuracy"].idxmax() + 1
    assert result["accuracy"] == unbroken.scores.accuracy
    assert result["device"].startswith("cpu")
    assert result["n_test"] == 16
    assert unbroken.right.dtype == bool and unbroken.right.sum() == result["n_correct"]


def test_predictions_are_of_the_best_weights(unbroken):
    network, test = unbroken.network(), unbroken.dataset().test
    again = predict(network, test.images, SHORT)
    saved = torch.tensor(unbroken.predictions[["p0", "p1", "p2"]].to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(again, saved, rtol=0, atol=1e-5)
    assert unbroken.predictions["label"].tolist() == test.labels.tolist()


def test_run_that_has_not_begun_says_so(unbroken, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no history.csv: it is not begun; fit"):
        Run.of(SHORT, tmp_path).history  # noqa: B018
    table = list_runs(unbroken.folder.parent)
    assert table["state"].tolist() == ["finished"]
    assert table["epochs"].tolist() == ["3/3"]
    assert (
        table["accuracy"][0]
        == json.loads((unbroken.folder / "result.json").read_text())["accuracy"]
    )
    assert list_runs(tmp_path).empty


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("history.csv", lambda run: run.history),
        ("predictions.csv", lambda run: run.scores),
        ("best.safetensors", lambda run: run.network()),
        ("result.json", lambda run: run.result),
    ],
)
def test_damaged_file_is_named(unbroken, tmp_path, name, read):
    for folder in ("other", unbroken.folder.name):
        shutil.copytree(unbroken.folder, tmp_path / folder)
    run = Run.of(SHORT, tmp_path)
    whole = (run.folder / name).read_bytes()
    (run.folder / name).write_bytes(whole[: len(whole) // 2] if name != "history.csv" else b"")
    with pytest.raises(ValueError, match=f"{name} is damaged .*: delete .* to train the run again"):
        read(run)
    states = list_runs(tmp_path).set_index("run")["state"]
    damaged = "damaged" if name in ("history.csv", "result.json") else "finished"
    assert states["other"] == "finished" and states[run.folder.name] == damaged
    (run.folder / name).unlink()
    if name == "predictions.csv":
        with pytest.raises(FileNotFoundError, match=r"it is finished; delete .* trains it again"):
            run.scores  # noqa: B018


def test_run_without_map_is_not_damaged(unbroken):
    for read in (lambda: unbroken.maps, lambda: unbroken.weight_map):
        with pytest.raises(ValueError, match="has weight_map='none': it learned no map"):
            read()


def test_network_is_loaded_without_download(tmp_path, monkeypatch):
    def timm_weights(*_arguments, **_options):
        raise OSError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", timm_weights)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", timm_weights)
    recipe = SHORT.replace(pretrained=True, stem="small", epochs=1)
    with pytest.raises(FileNotFoundError, match="could not be downloaded"):
        fit(recipe, "cpu", progress=False, runs=tmp_path)
    trained = fit(SHORT.replace(stem="small", epochs=1), "cpu", progress=False, runs=tmp_path)
    run = Run.of(recipe, tmp_path)
    for name in ("best.safetensors", "result.json"):
        shutil.copy(trained.folder / name, run.folder / name)
    images = trained.dataset().test.images
    assert torch.equal(
        predict(run.network(), images, recipe), predict(trained.network(), images, recipe)
    )


def test_missing_data_are_listed_as_failure(tmp_path):
    with pytest.raises(FileNotFoundError):
        fit(
            SHORT.replace(dataset="npz:nowhere.npz", dataset_options={}),
            "cpu",
            progress=False,
            runs=tmp_path,
        )
    [row] = list_runs(tmp_path).itertuples()
    assert row.state == "failed" and "nowhere.npz" in row.error


def test_map_files_are_sorted_by_epoch(tmp_path):
    for epoch in (0, 99, 999, 1000):
        save_map(tmp_path, epoch, torch.zeros(1, 1, 2, 2))
    assert [path.stem for path in map_files(tmp_path)] == ["000", "099", "999", "1000"]


def test_folders_may_be_text(unbroken):
    assert Run.of(SHORT, str(unbroken.folder.parent)).finished
    assert len(list_runs(str(unbroken.folder.parent))) == 1


def test_recipe_decides_the_data(tmp_path):
    run = fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    data = load_dataset("phantoms", 28, **FEW)
    assert torch.equal(run.dataset().train.images, data.train.images)
