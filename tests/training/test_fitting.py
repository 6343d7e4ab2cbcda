"""Training: it learns, it is reproducible, and nothing is lost when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partialmethod

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from short_runs import MAPPED, OWN_NETWORK, SHORT, numbers
from torch import nn

from medattn.papers.protocol import as_printed, protocol_recipes
from medattn.training import DivergedError, Recipe, Run, best_device, epoch, fit, fitting, predict
from medattn.training import run as run_module


def test_finished_run_is_not_repeated(unbroken):
    before = {path.name: path.stat().st_mtime_ns for path in unbroken.folder.iterdir()}
    again = fit(SHORT, "cpu", progress=False, runs=unbroken.folder.parent)
    assert {path.name: path.stat().st_mtime_ns for path in again.folder.iterdir()} == before


def test_same_recipe_gives_same_bits(unbroken, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert numbers(again) == numbers(unbroken)
    other = fit(SHORT.replace(seed=1, epochs=1), "cpu", progress=False, runs=tmp_path)
    assert other.history["train_loss"][0] != unbroken.history["train_loss"][0]


def test_killed_run_ends_at_same_numbers(unbroken, tmp_path):
    """Check a run that `kill -9` ends after its first epoch, and that then resumes."""
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3]))\n"
        "from medattn.training import Recipe, fit\n"
        "fit(Recipe.from_yaml(sys.argv[1]), 'cpu', progress=False, runs=sys.argv[2])"
    )
    run = Run.of(SHORT, tmp_path)
    arguments = [SHORT.to_yaml(), str(tmp_path), str(torch.get_num_threads())]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    deadline = time.monotonic() + 600
    while (
        not (run.folder / "history.csv").exists()
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not run.finished
    assert 1 <= len(run.history) < 3
    assert numbers(fit(SHORT, "cpu", progress=False, runs=tmp_path)) == numbers(unbroken)


@pytest.mark.parametrize(
    ("writer", "call"), [("save_weights", 1), *(("write_whole", n) for n in (1, 2, 5, 6))]
)
def test_run_stopped_in_writing_ends_the_same(unbroken, tmp_path, monkeypatch, writer, call):
    """Check that a run stopped at any file resumes, with nothing half-written or done twice."""
    calls, original = [], getattr(run_module, writer)

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_module, writer, stops)
        fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert len(calls) == call
    run = Run.of(SHORT, tmp_path)
    listed = run.history if run.seconds else None
    fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert numbers(run) == numbers(unbroken)
    if listed is not None:  # none of these was trained again: their seconds are the same
        pd.testing.assert_frame_equal(run.history.head(len(listed)), listed)
    assert [path.name for path in run.folder.iterdir() if path.name.startswith(".")] == [".lock"]


def test_algorithm_1_freezes_the_map(mapped):
    maps, history = mapped.maps, mapped.history
    assert maps.shape == (1 + 2, 28, 28)  # before training, and after the epochs 1 to E
    assert (maps[1] - maps[0]).abs().max() > 0 and (maps[2] - maps[1]).abs().max() > 0
    assert history["map_mean"].notna().tolist() == [True, True, False]
    assert history["map_mean"][1] == pytest.approx(
        float((maps[1].mean() + maps[2].mean()) / 2), abs=0.1
    )
    weights = load_file(mapped.folder / "best.safetensors")
    assert {name for name in weights if not name.startswith("image_cnn.")} == {"source.map"}
    assert any(torch.equal(weights["source.map"][0, 0], one) for one in maps[1:])
    network = mapped.network()
    assert network.frozen
    again = predict(network, mapped.dataset().test.images, MAPPED)
    saved = torch.tensor(mapped.predictions[["p0", "p1", "p2"]].to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(again, saved, rtol=0, atol=1e-5)


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_run_stopped_near_cut_off_ends_the_same(mapped, tmp_path, monkeypatch, epochs_before):
    original, done = fitting.keep, []

    def stops(*arguments):
        original(*arguments)
        done.append(1)
        if len(done) == epochs_before:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fitting, "keep", stops)
        fit(MAPPED, "cpu", progress=False, runs=tmp_path)
    run = fit(MAPPED, "cpu", progress=False, runs=tmp_path)
    assert numbers(run) == numbers(mapped)
    assert torch.equal(run.maps, mapped.maps)


def test_frozen_map_is_read_back(mapped, tmp_path, monkeypatch):
    longer = MAPPED.replace(epochs=4)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        original, done = fitting.keep, []

        def stops(*arguments):
            original(*arguments)
            done.append(1)
            if len(done) == 3:  # one epoch after the cut-off
                raise KeyboardInterrupt

        patched.setattr(fitting, "keep", stops)
        fit(longer, "cpu", progress=False, runs=tmp_path)
    state = torch.load(Run.of(longer, tmp_path).folder / "resume.pt", weights_only=True)
    assert len(state["optimizer"]["param_groups"]) == 1
    assert torch.equal(state["network"]["source.map"][0, 0], mapped.maps[2])
    run = fit(longer, "cpu", progress=False, runs=tmp_path)
    assert run.history["train_loss"].tolist()[:3] == mapped.history["train_loss"].tolist()
    assert len(run.maps) == 3


def test_split_all_tests_every_epoch(tmp_path):
    recipe = MAPPED.replace(split="all", select="last", test_every_epoch=True)
    run = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert run.result["n_train"] == 40 + 16
    assert run.history["val_accuracy"].isna().all()
    assert run.history["test_accuracy"].iloc[-1] == run.result["accuracy"]
    assert run.result["best_epoch"] == 3


def test_printed_protocol_averages_chosen_epochs(
    tmp_path,
):
    recipe = MAPPED.replace(epochs=4)
    result = as_printed(recipe, n_epochs=2, folds=2, device="cpu", progress=False, runs=tmp_path)
    *parts, whole = [Run.of(one, tmp_path) for one in protocol_recipes(recipe, 2)]
    curve = sum(part.history["val_accuracy"] for part in parts) / 2
    assert result.epochs.tolist() == sorted(
        (curve.sort_values(ascending=False, kind="stable").index[:2] + 1).tolist()
    )
    tested = whole.history["test_accuracy"][result.epochs - 1]
    assert result.mean == pytest.approx(tested.mean())
    assert str(result) == f"{100 * tested.mean():.2f}({100 * tested.std():.2f})"
    assert [len(run.dataset().train) for run in (*parts, whole)] == [28, 28, 56]
    with pytest.raises(ValueError, match="n_epochs=5 must be 2 to epochs=4"):
        as_printed(recipe, n_epochs=5)


def test_infinite_loss_keeps_last_good_state(tmp_path, monkeypatch):
    original = epoch.learning_rate
    monkeypatch.setattr(
        epoch, "learning_rate", lambda r, e: original(r, e) if e < 2 else float("inf")
    )
    recipe = SHORT.replace(optimizer="sgd")
    with pytest.raises(
        DivergedError,
        match=r"in epoch 2, step \d of 3: .*smaller lr than 0.001; .*after epoch 1 is kept",
    ):
        fit(recipe, "cpu", progress=False, runs=tmp_path)
    monkeypatch.undo()
    state = torch.load(Run.of(recipe, tmp_path).folder / "resume.pt", weights_only=True)
    assert len(state["history"]) == 1
    assert all(
        value.isfinite().all() for value in state["network"].values() if value.is_floating_point()
    )
    assert fit(
        recipe, "cpu", progress=False, runs=tmp_path
    ).finished  # the cause mended, it goes on


def test_nan_score_is_never_best(tmp_path, monkeypatch):
    losses = iter([float("nan"), 0.5, 0.25])
    monkeypatch.setattr(
        fitting,
        "validate",
        lambda *_: {"val_loss": next(losses), "val_accuracy": 0.5, "val_auc": 0.5},
    )
    assert (
        fit(SHORT.replace(select="loss"), "cpu", progress=False, runs=tmp_path).result["best_epoch"]
        == 3
    )


def test_result_names_every_commit(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fitting, "code", lambda: "0123456789ab+changes")
        patched.setattr(fitting, "_test", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    monkeypatch.setattr(fitting, "code", lambda: "123456789abc")
    run = fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    assert run.result["commit"] == "0123456789ab+changes, 123456789abc"
    assert run.result["epochs"] == len(run.history) == 1


def test_selection_needs_validation_images(tmp_path, monkeypatch):
    data = Run.of(SHORT, tmp_path).dataset()
    without = replace(data, val=data.val.take(torch.arange(0)))
    monkeypatch.setattr(Run, "dataset", lambda _run: without)
    with pytest.raises(
        ValueError, match=r"phantoms has no validation images .*: use select='last'"
    ):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_selection_by_auc_needs_two_classes(tmp_path, monkeypatch):
    data = Run.of(SHORT, tmp_path).dataset()
    one = replace(data, val=data.val.take((data.val.labels == 0).nonzero().flatten()))
    monkeypatch.setattr(Run, "dataset", lambda _run: one)
    with pytest.raises(ValueError, match="validation images of phantoms have one class, so no AUC"):
        fit(SHORT.replace(select="auc"), "cpu", progress=False, runs=tmp_path)


def test_single_image_batch_is_refused(tmp_path):
    n = len(Run.of(SHORT, tmp_path).dataset().train)
    recipe = SHORT.replace(attention="none", network="mobilenet_v3_small", batch_size=n - 1)
    with pytest.raises(
        ValueError, match=rf"one image at a time .*batch_size={n - 1}, .* one of {n} images alone"
    ):
        fit(recipe, "cpu", progress=False, runs=tmp_path)


def test_single_image_batch_trains_without_batch_norm(tmp_path, monkeypatch):
    """Check both: a network without batch norm, and one whose maps have several pixels."""
    (tmp_path / "my_network.py").write_text(OWN_NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    n = len(Run.of(SHORT, tmp_path).dataset().train)
    own = SHORT.replace(epochs=1, batch_size=n - 1, network="my_network:build", attention="none")
    for recipe in (own, own.replace(network="resnet18"), own.replace(accumulate=n - 1)):
        assert fit(recipe, "cpu", progress=False, runs=tmp_path).finished


@pytest.mark.parametrize(
    ("weight_map", "options"),
    [("global", "kernel=3, layers=1, last_kernel=1, dense=False"), ("l1", "are none")],
)
def test_unknown_map_option_is_refused(tmp_path, weight_map, options):
    with pytest.raises(
        ValueError, match=rf"does not take map_options .*'ker': 3.*; its options .*{options}"
    ):
        fit(
            SHORT.replace(weight_map=weight_map, map_options={"ker": 3}),
            "cpu",
            progress=False,
            runs=tmp_path,
        )


@pytest.mark.parametrize(
    ("there", "best"), [((True, False), "cuda"), ((False, True), "mps"), ((False, False), "cpu")]
)
def test_best_device_is_the_fastest(monkeypatch, there, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there[0])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there[1])
    assert best_device() == torch.device(best)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"channels_last": False}, {"accumulate": 2}, {"select": "auc"},
     {"normalise": "imagenet"},
     {"attention": "none", "weight_map": "l1", "map_penalty": 1.0},
     {"weight_map": "global", "map_options": {"basis": "principal"}, "precision": "bf16",
      "optimizer": "sgd"},
     {"network": "timm:resnet10t", "compile": True, "precision": "bf16", "weight_map": "global",
      "map_epochs": 1},
     {"network": "googlenet", "attention_where": ["inception5b"], "size": 64, "batch_size": 8}],
)  # fmt: skip
def test_every_way_of_training_finishes(tmp_path, monkeypatch, changes):
    # the graphs, without kernels: to build those of a whole network takes minutes
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    recipe = SHORT.replace(
        epochs=1, dataset_options={"n_train": 16, "n_val": 8, "n_test": 8}, **changes
    )
    run = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert run.finished
    assert run.history["train_loss"].notna().all()


def test_run_does_not_resume_with_other_data(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fitting, "_test", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    folder = Run.of(SHORT.replace(epochs=1), tmp_path).folder
    original = Run.dataset

    def one_image_changed(run):
        data = original(run)
        data.train.images[0, 0, 0, 0] += 1
        return data

    with (
        monkeypatch.context() as patched,
        pytest.raises(ValueError, match="phantoms differ from those with which"),
    ):
        patched.setattr(Run, "dataset", one_image_changed)
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    (folder / "resume.pt").write_bytes((folder / "resume.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"resume\.pt is damaged"):
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)


def test_own_network_and_own_images_are_trained(tmp_path, monkeypatch):
    (tmp_path / "my_network.py").write_text(OWN_NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "scans"
    for i in range(20):
        file = folder / f"{'ab'[i % 2]}/{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 10 * i).save(file)
    own = {
        "dataset": f"folder:{folder}",
        "dataset_options": {},
        "network": "my_network:build",
        "attention_where": ("0",),
    }
    run = fit(SHORT.replace(**own, epochs=1), "cpu", progress=False, runs=tmp_path / "runs")
    predictions = run.predictions
    assert list(predictions)[:3] == ["index", "file", "label"] and len(predictions) == 4
    assert ["ab".index(file[0]) for file in predictions["file"]] == predictions["label"].tolist()
    brightness = run.dataset().test.images[:, 0, 0, 0].tolist()
    assert [10 * int(file[2:4]) for file in predictions["file"]] == brightness
    assert "my_network-build" in run.folder.name


def test_finished_run_is_refused_for_other_images(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path))

    def write(value):
        images = np.full((6, 28, 28), value, dtype=np.uint8)
        labels = np.tile([0, 1], 3)
        arrays = {f"{split}_{what}": a for split in ("train", "val", "test") for what, a in
                  (("images", images), ("labels", labels))}  # fmt: skip
        np.savez(tmp_path / "own.npz", **arrays)

    recipe = SHORT.replace(dataset="npz:own.npz", dataset_options={}, attention="none", epochs=1)
    write(1)
    run = fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    assert fit(recipe, "cpu", progress=False, runs=tmp_path / "runs").result == run.result
    write(2)
    with pytest.raises(
        ValueError, match=r"npz:own\.npz differ from those with which .* began: restore them"
    ):
        fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    (tmp_path / "own.npz").unlink()  # gone: the run is still what it was
    assert fit(recipe, "cpu", progress=False, runs=tmp_path / "runs").result == run.result


def test_unreadable_recipe_is_named(tmp_path):
    folder = Run.of(SHORT, tmp_path).folder
    folder.mkdir()
    (folder / "recipe.yaml").write_text("foo: 1\n")
    with pytest.raises(
        ValueError, match=r"recipe\.yaml: a recipe has no field 'foo'.*move its folder away"
    ):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_only_long_runs_compile_attention(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(fitting, "compile_attention", compiled.append)
    fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    assert not compiled
    monkeypatch.setattr(fitting, "COMPILED_FROM", 6)  # 2 epochs of 3 steps
    fit(SHORT.replace(epochs=2), "cpu", progress=False, runs=tmp_path)
    assert len(compiled) == 1


def test_tiny_set_is_learnt_by_heart(tmp_path):
    options = {"n_train": 24, "n_val": 8, "n_test": 8}
    recipe = Recipe(
        dataset_options=options,
        network="timm:test_resnet",
        attention="ppcr",
        optimizer="adam",
        lr=1e-2,
        epochs=20,
        batch_size=8,
        weight_decay=0.0,
    )
    run = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert run.history["train_accuracy"].iloc[-1] > 0.9
    assert isinstance(run.history, pd.DataFrame)


def test_progress_bar_writes_seldom(tmp_path, capfd):
    """Check the rate: nbval reads a cell's messages at its end, and ZeroMQ keeps only 1,000."""
    began = time.monotonic()
    fit(SHORT, "cpu", runs=tmp_path)
    written = capfd.readouterr().err.count("\r")
    # the first, the last, and one every 2 s
    assert 1 <= written <= 3 + (time.monotonic() - began) / 2
