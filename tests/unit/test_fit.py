"""Training: it learns, it is reproducible, and nothing is lost when it is stopped."""

import json
import os
import re
import shutil
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
from torch import nn

from medattn.attention import GlobalAttention
from medattn.datasets import Split, load_dataset
from medattn.networks import OURS
from medattn.training import DivergedError, Recipe, Run, as_printed, best_device, fit, list_runs, predict
from medattn.training.fit import learning_rate
from medattn.training.protocol import protocol_recipes
from medattn.training.provenance import code, provenance

FEW = {"n_train": 40, "n_val": 16, "n_test": 16}
SHORT = Recipe(
    network="timm:test_resnet",
    dataset_options=FEW,
    attention="ppcr",
    augment="crop_flip",
    optimizer="adam",
    lr=1e-3,
    epochs=3,
    batch_size=16,
)
FIT_MODULE, STATE_MODULE = (sys.modules[f"medattn.training.{name}"] for name in ("fit", "state"))


def numbers(run):
    """Everything of a run that must not depend on when and how often it was stopped."""
    return (
        run.history.drop(columns="seconds").fillna(-1.0).to_dict(),  # a nan is equal to nothing
        run.predictions.to_dict(),
        {name: value.tolist() for name, value in load_file(run.folder / "best.safetensors").items()},
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return fit(SHORT, "cpu", progress=False, runs=tmp_path_factory.mktemp("runs"))


def test_a_finished_run_holds_all_that_was_promised(unbroken):
    names = {path.name for path in unbroken.folder.iterdir()}
    assert names == {"recipe.yaml", "history.csv", "predictions.csv", "best.safetensors", "result.json", ".lock"}
    assert Recipe.from_yaml(unbroken.folder / "recipe.yaml") == SHORT
    assert unbroken.history["epoch"].tolist() == [1, 2, 3]
    assert len(unbroken.predictions) == 16
    result = unbroken.result
    assert result["best_epoch"] == unbroken.history["val_accuracy"].idxmax() + 1  # the earliest of the best
    assert result["accuracy"] == unbroken.scores.accuracy
    assert result["device"].startswith("cpu")
    assert result["n_test"] == 16
    assert unbroken.right.dtype == bool and unbroken.right.sum() == result["n_correct"]


def test_the_saved_predictions_are_the_best_weights(unbroken):
    network, test = unbroken.network(), unbroken.dataset().test
    again = predict(network, test.images, SHORT)
    saved = torch.tensor(unbroken.predictions[["p0", "p1", "p2"]].to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(again, saved, rtol=0, atol=1e-5)
    assert unbroken.predictions["label"].tolist() == test.labels.tolist()


def test_a_finished_run_is_never_repeated(unbroken):
    before = {path.name: path.stat().st_mtime_ns for path in unbroken.folder.iterdir()}
    again = fit(SHORT, "cpu", progress=False, runs=unbroken.folder.parent)
    assert {path.name: path.stat().st_mtime_ns for path in again.folder.iterdir()} == before


def test_same_recipe_same_bits_and_the_world_keeps_its_seed(unbroken, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert numbers(again) == numbers(unbroken)
    other = fit(SHORT.replace(seed=1, epochs=1), "cpu", progress=False, runs=tmp_path)
    assert other.history["train_loss"][0] != unbroken.history["train_loss"][0]


def test_killed_in_the_middle_it_ends_at_the_same_numbers(unbroken, tmp_path):
    """kill -9 after the first finished epoch, then go on."""
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3]))\n"
        "from medattn.training import Recipe, fit\n"
        "fit(Recipe.from_yaml(sys.argv[1]), 'cpu', progress=False, runs=__import__('pathlib').Path(sys.argv[2]))"
    )
    run = Run.of(SHORT, tmp_path)
    command = [sys.executable, "-c", code, SHORT.to_yaml(), str(tmp_path), str(torch.get_num_threads())]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 600
    while not (run.folder / "history.csv").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not run.finished
    assert 1 <= len(run.history) < 3
    assert numbers(fit(SHORT, "cpu", progress=False, runs=tmp_path)) == numbers(unbroken)


@pytest.mark.parametrize(("writer", "call"), [("save_weights", 1), *(("write_whole", n) for n in (1, 2, 5, 6))])
def test_stopped_while_writing_it_ends_at_the_same_numbers(unbroken, tmp_path, monkeypatch, writer, call):
    """Stopped at the first weights, or at any file of any epoch: it goes on, nothing is half-written or done twice."""
    calls, original = [], getattr(STATE_MODULE, writer)

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(STATE_MODULE, writer, stops)
        fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert len(calls) == call
    run = Run.of(SHORT, tmp_path)
    listed = run.history if run.epochs_done else None
    fit(SHORT, "cpu", progress=False, runs=tmp_path)
    assert numbers(run) == numbers(unbroken)
    if listed is not None:  # none of these was trained again: their seconds are the same
        pd.testing.assert_frame_equal(run.history.head(len(listed)), listed)
    assert [path.name for path in run.folder.iterdir() if path.name.startswith(".")] == [".lock"]


MAPPED = SHORT.replace(
    attention="none", network="timm:test_resnet", weight_map="global", map_hidden=4, map_penalty=0.01, map_epochs=2
)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    return fit(MAPPED, "cpu", progress=False, runs=tmp_path_factory.mktemp("runs"))


def test_algorithm_1_learns_the_map_and_then_leaves_it(mapped):
    maps, history = mapped.maps, mapped.history
    assert maps.shape == (1 + 2, 28, 28)  # before training, and after the epochs 1 to E
    assert (maps[1] - maps[0]).abs().max() > 0 and (maps[2] - maps[1]).abs().max() > 0
    assert history["map_mean"].notna().tolist() == [True, True, False]
    assert history["map_mean"][1] == pytest.approx(float((maps[1].mean() + maps[2].mean()) / 2), abs=0.1)
    weights = load_file(mapped.folder / "best.safetensors")
    assert {name for name in weights if not name.startswith("image_cnn.")} == {"source.map"}
    assert any(torch.equal(weights["source.map"][0, 0], one) for one in maps[1:])
    network = mapped.network()
    assert network.frozen
    again = predict(network, mapped.dataset().test.images, MAPPED)
    saved = torch.tensor(mapped.predictions[["p0", "p1", "p2"]].to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(again, saved, rtol=0, atol=1e-5)


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_stopped_before_or_after_the_cut_off_it_ends_at_the_same_numbers(mapped, tmp_path, monkeypatch, epochs_before):
    original, done = FIT_MODULE.keep, []

    def stops(*arguments):
        original(*arguments)
        done.append(1)
        if len(done) == epochs_before:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FIT_MODULE, "keep", stops)
        fit(MAPPED, "cpu", progress=False, runs=tmp_path)
    run = fit(MAPPED, "cpu", progress=False, runs=tmp_path)
    assert numbers(run) == numbers(mapped)
    assert torch.equal(run.maps, mapped.maps)


def test_stopped_within_the_last_phase_the_map_is_read_back_and_not_learned(mapped, tmp_path, monkeypatch):
    longer = MAPPED.replace(epochs=4)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        original, done = FIT_MODULE.keep, []

        def stops(*arguments):
            original(*arguments)
            done.append(1)
            if len(done) == 3:  # one epoch after the cut-off
                raise KeyboardInterrupt

        patched.setattr(FIT_MODULE, "keep", stops)
        fit(longer, "cpu", progress=False, runs=tmp_path)
    state = torch.load(Run.of(longer, tmp_path).folder / "resume.pt", weights_only=True)
    assert len(state["optimizer"]["param_groups"]) == 1
    assert torch.equal(state["network"]["source.map"][0, 0], mapped.maps[2])
    run = fit(longer, "cpu", progress=False, runs=tmp_path)
    assert run.history["train_loss"].tolist()[:3] == mapped.history["train_loss"].tolist()
    assert len(run.maps) == 3


def test_a_batch_in_parts_learns_the_same_map():
    """The map's gradient is gathered over the parts of a batch, and the penalty counts once."""
    images, labels = torch.randint(0, 256, (12, 1, 6, 6), dtype=torch.uint8), torch.randint(0, 3, (12,))
    results = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        network = GlobalAttention(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), images, 4, (0.5,), (0.5,))
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        recipe = Recipe(
            batch_size=12, accumulate=accumulate, lr=0.1, channels_last=False, weight_map="global", map_penalty=0.5
        )
        row = FIT_MODULE.train_epoch(
            network, optimizer, Split(images, labels), recipe, 1, FIT_MODULE.tqdm(disable=True)
        )
        results.append((network.weight_map().detach(), row["train_loss"], row["map_mean"]))
    torch.testing.assert_close(results[0], results[1])

    torch.manual_seed(0)  # and it is a plain step on Eq. (1)
    network = GlobalAttention(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), images, 4, (0.5,), (0.5,))
    weight_map = network.weight_map()
    inputs = FIT_MODULE.to_float(images, "half")
    loss = nn.functional.cross_entropy(network(inputs), labels) + 0.5 * weight_map.abs().mean()
    loss.backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    torch.testing.assert_close(network.weight_map().detach(), results[0][0], atol=1e-5, rtol=1e-4)


def test_training_on_all_images_validates_nothing_and_tests_every_epoch(tmp_path):
    recipe = MAPPED.replace(split="all", select="last", test_every_epoch=True)
    run = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert run.result["n_train"] == 40 + 16
    assert run.history["val_accuracy"].isna().all()
    assert run.history["test_accuracy"].iloc[-1] == run.result["accuracy"]
    assert run.result["best_epoch"] == 3


def test_the_printed_protocol_averages_one_run_over_the_epochs_that_cross_validation_chose(tmp_path):
    recipe = MAPPED.replace(epochs=4)
    result = as_printed(recipe, n_epochs=2, folds=2, device="cpu", progress=False, runs=tmp_path)
    *parts, whole = [Run.of(one, tmp_path) for one in protocol_recipes(recipe, 2)]
    curve = sum(part.history["val_accuracy"] for part in parts) / 2
    assert result.epochs.tolist() == sorted((curve.sort_values(ascending=False, kind="stable").index[:2] + 1).tolist())
    tested = whole.history["test_accuracy"][result.epochs - 1]
    assert result.mean == pytest.approx(tested.mean())
    assert str(result) == f"{100 * tested.mean():.2f}({100 * tested.std():.2f})"
    assert [len(run.dataset().train) for run in (*parts, whole)] == [28, 28, 56]
    with pytest.raises(ValueError, match="n_epochs=5 must be 2 to epochs=4"):
        as_printed(recipe, n_epochs=5)


def test_cutting_a_batch_in_two_gives_the_same_step():
    """Without batch norm (its statistics are those of the part), the gradients are the same."""
    images, labels = torch.randint(0, 256, (12, 1, 4, 4), dtype=torch.uint8), torch.randint(0, 3, (12,))
    results = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        recipe = Recipe(batch_size=12, accumulate=accumulate, channels_last=False)
        row = FIT_MODULE.train_epoch(
            network, optimizer, Split(images, labels), recipe, 1, FIT_MODULE.tqdm(disable=True)
        )
        results.append((network[1].weight.detach().clone(), row["train_loss"]))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-6)


def test_the_schedule_divides_every_lr_step_epochs():
    recipe = Recipe(lr=0.1)
    assert [round(learning_rate(recipe, epoch), 6) for epoch in (1, 40, 41, 80, 81, 150)] == [
        0.1, 0.1, 0.01, 0.01, 0.001, 0.0001,
    ]  # fmt: skip


def test_a_loss_that_is_not_finite_stops_with_the_place_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    original = FIT_MODULE.learning_rate
    monkeypatch.setattr(FIT_MODULE, "learning_rate", lambda r, e: original(r, e) if e < 2 else float("inf"))
    recipe = SHORT.replace(optimizer="sgd")
    with pytest.raises(
        DivergedError, match=r"epoch 2, step \d of 3 is .*smaller lr than 0.001; .*after epoch 1 is kept"
    ):
        fit(recipe, "cpu", progress=False, runs=tmp_path)
    monkeypatch.undo()
    state = torch.load(Run.of(recipe, tmp_path).folder / "resume.pt", weights_only=True)
    assert len(state["history"]) == 1
    assert all(value.isfinite().all() for value in state["network"].values() if value.is_floating_point())
    assert fit(recipe, "cpu", progress=False, runs=tmp_path).finished  # the cause mended, it goes on


def test_an_epoch_whose_score_is_nan_is_never_the_best(tmp_path, monkeypatch):
    losses = iter([float("nan"), 0.5, 0.25])
    monkeypatch.setattr(
        FIT_MODULE, "validate", lambda *_: {"val_loss": next(losses), "val_accuracy": 0.5, "val_auc": 0.5}
    )
    assert fit(SHORT.replace(select="loss"), "cpu", progress=False, runs=tmp_path).result["best_epoch"] == 3


def test_every_commit_that_took_part_is_named(tmp_path, monkeypatch):
    original, commits = FIT_MODULE.provenance, iter(["0123456789ab+changes", "123456789abc"])
    monkeypatch.setattr(FIT_MODULE, "provenance", lambda device: {**original(device), "commit": next(commits)})
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FIT_MODULE, "_test", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    run = fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    assert run.result["commit"] == "0123456789ab+changes, 123456789abc"
    assert run.result["epochs"] == len(run.history) == 1


@pytest.fixture
def asked_anew():
    code.cache_clear()
    yield
    code.cache_clear()


def test_where_there_is_no_git_the_commit_is_not_known(monkeypatch, asked_anew):
    monkeypatch.setenv("PATH", "")
    assert provenance(torch.device("cpu"))["commit"] is None


def test_a_process_goes_on_with_the_code_it_has_loaded(tmp_path, monkeypatch, asked_anew):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    module = tmp_path / "medattn" / "__init__.py"
    module.parent.mkdir()
    module.touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(sys.modules["medattn.training.provenance"], "PACKAGE", module.parent)
    first = code()
    assert re.fullmatch("[0-9a-f]{12}", first)
    module.write_text("changed = True\n")
    assert code() == first
    code.cache_clear()  # another process
    assert code() == first + "+changes"


def test_a_repository_that_does_not_hold_the_package_names_no_commit(tmp_path, monkeypatch, asked_anew):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(
        ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "mine", "--allow-empty"],
        check=True,
    )
    (tmp_path / "medattn").mkdir()
    (tmp_path / "medattn" / "__init__.py").touch()  # installed there, and not tracked
    monkeypatch.setattr(sys.modules["medattn.training.provenance"], "PACKAGE", tmp_path / "medattn")
    assert provenance(torch.device("cpu"))["commit"] is None


def test_without_validation_images_there_is_no_best_epoch(tmp_path, monkeypatch):
    data = Run.of(SHORT, tmp_path).dataset()
    without = replace(data, val=data.val.take(torch.arange(0)))
    monkeypatch.setattr(Run, "dataset", lambda _run: without)
    with pytest.raises(ValueError, match=r"phantoms has no validation images .*: say select='last'"):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_validation_images_of_one_class_have_no_auc_to_select_by(tmp_path, monkeypatch):
    data = Run.of(SHORT, tmp_path).dataset()
    one = replace(data, val=data.val.take((data.val.labels == 0).nonzero().flatten()))
    monkeypatch.setattr(Run, "dataset", lambda _run: one)
    with pytest.raises(ValueError, match="phantoms are of one class, so no epoch has an AUC to be selected by"):
        fit(SHORT.replace(select="auc"), "cpu", progress=False, runs=tmp_path)


def test_an_image_left_alone_in_its_batch_is_an_error_that_says_so(tmp_path):
    n = len(Run.of(SHORT, tmp_path).dataset().train)
    recipe = SHORT.replace(attention="none", network="mobilenet_v3_small", batch_size=n - 1)
    with pytest.raises(ValueError, match=rf"one image at a time .* one of {n} is left alone by batch_size={n - 1},"):
        fit(recipe, "cpu", progress=False, runs=tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "options"), [("global", "kernel=3, layers=1, last_kernel=1, dense=False"), ("l1", "are none")]
)
def test_an_option_that_a_map_has_not_is_answered_with_those_it_has(tmp_path, weight_map, options):
    with pytest.raises(ValueError, match=rf"does not take map_options .*'ker': 3.*; its options .*{options}"):
        fit(SHORT.replace(weight_map=weight_map, map_options={"ker": 3}), "cpu", progress=False, runs=tmp_path)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_out_of_memory_says_what_to_try(tmp_path, monkeypatch, error):
    def full(*_arguments):
        raise error

    monkeypatch.setattr(FIT_MODULE, "train_epoch", full)
    with pytest.raises(MemoryError, match=r"16 images at a time at 28 px: try accumulate=2 "):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_evaluation_takes_as_many_images_at_a_time_as_there_is_memory_for(monkeypatch):
    network, images = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), torch.randint(256, (300, 3, 8, 8)).byte()
    expected, sizes, outputs = predict(network, images, SHORT), [], FIT_MODULE._outputs

    def small(network, inputs, weight_map):
        sizes.append(len(inputs))
        if len(inputs) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs(network, inputs, weight_map)

    monkeypatch.setattr(FIT_MODULE, "_outputs", small)
    torch.testing.assert_close(predict(network, images, SHORT), expected)
    assert sizes == [256, 128, 64, 64, 64, 64, 44]
    monkeypatch.setattr(FIT_MODULE, "_outputs", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none left")))
    with pytest.raises(torch.OutOfMemoryError, match="none left"):
        predict(network, images, SHORT)


@pytest.mark.parametrize(("there", "best"), [((True, False), "cuda"), ((False, True), "mps"), ((False, False), "cpu")])
def test_the_fastest_kind_of_device_is_chosen(monkeypatch, there, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there[0])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there[1])
    assert best_device() == torch.device(best)


def test_predicting_leaves_the_modes_as_they_were():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    network[1].eval()  # a frozen norm
    predict(network, torch.zeros(2, 3, 4, 4, dtype=torch.uint8), SHORT)
    assert network.training and network[0].training and not network[1].training


@pytest.mark.parametrize("message", ["shapes do not match", "unsupported memory format option"])
def test_other_errors_are_passed_on(tmp_path, monkeypatch, message):
    def broken(*_arguments):
        raise RuntimeError(message)

    monkeypatch.setattr(FIT_MODULE, "train_epoch", broken)
    with pytest.raises(RuntimeError, match=message):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"channels_last": False}, {"accumulate": 2}, {"select": "auc"}, {"normalise": "imagenet"},
     {"attention": "none", "weight_map": "l1", "map_penalty": 1.0},
     {"weight_map": "global", "map_options": {"basis": "principal"}, "precision": "bf16", "optimizer": "sgd"},
     {"network": "timm:resnet10t", "compile": True, "precision": "bf16", "weight_map": "global", "map_epochs": 1},
     {"network": "googlenet", "attention_where": ["inception5b"], "size": 64, "batch_size": 8}],
)  # fmt: skip
def test_every_way_of_training_comes_to_its_end(tmp_path, monkeypatch, changes):
    # the graphs, without kernels: to build those of a whole network takes minutes
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    recipe = SHORT.replace(epochs=1, dataset_options={"n_train": 16, "n_val": 8, "n_test": 8}, **changes)
    run = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert run.finished
    assert run.history["train_loss"].notna().all()


def test_an_unbegun_run_says_so_and_runs_are_listed(unbroken, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no history.csv: it is not begun; fit"):
        Run.of(SHORT, tmp_path).history  # noqa: B018
    table = list_runs(unbroken.folder.parent)
    assert table["state"].tolist() == ["finished"]
    assert table["epochs"].tolist() == ["3/3"]
    assert table["accuracy"][0] == json.loads((unbroken.folder / "result.json").read_text())["accuracy"]
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
def test_a_damaged_file_is_named_and_hides_no_other_run(unbroken, tmp_path, name, read):
    for folder in ("other", unbroken.folder.name):
        shutil.copytree(unbroken.folder, tmp_path / folder)
    run = Run.of(SHORT, tmp_path)
    whole = (run.folder / name).read_bytes()
    (run.folder / name).write_bytes(whole[: len(whole) // 2] if name != "history.csv" else b"")
    with pytest.raises(ValueError, match=f"{name} is damaged .*: delete .* to train the run anew"):
        read(run)
    states = list_runs(tmp_path).set_index("run")["state"]
    damaged = "damaged" if name in ("history.csv", "result.json") else "finished"
    assert states["other"] == "finished" and states[run.folder.name] == damaged
    (run.folder / name).unlink()
    if name == "predictions.csv":
        with pytest.raises(FileNotFoundError, match=r"it is finished; delete .* trains it anew"):
            run.scores  # noqa: B018


def test_what_an_interrupted_run_cannot_go_on_from_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FIT_MODULE, "_test", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    folder = Run.of(SHORT.replace(epochs=1), tmp_path).folder
    original = Run.dataset

    def one_image_changed(run):
        data = original(run)
        data.train.images[0, 0, 0, 0] += 1
        return data

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="phantoms are not those with which"):
        patched.setattr(Run, "dataset", one_image_changed)
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    (folder / "resume.pt").write_bytes((folder / "resume.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"resume\.pt is damaged"):
        fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)


def test_a_network_and_a_folder_of_ones_own_are_trained_and_each_prediction_has_its_file(tmp_path, monkeypatch):
    monkeypatch.setitem(OURS, "mine", lambda n_classes, channels, size: nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_classes)))  # fmt: skip
    folder = tmp_path / "scans"
    for i in range(20):
        file = folder / f"{'ab'[i % 2]}/{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 10 * i).save(file)
    own = {"dataset": f"folder:{folder}", "dataset_options": {}, "network": "mine", "attention_where": ("0",)}
    run = fit(SHORT.replace(**own, epochs=1), "cpu", progress=False, runs=tmp_path / "runs")
    predictions = run.predictions
    assert list(predictions)[:3] == ["index", "file", "label"] and len(predictions) == 4
    assert ["ab".index(file[0]) for file in predictions["file"]] == predictions["label"].tolist()
    brightness = run.dataset().test.images[:, 0, 0, 0].tolist()
    assert [10 * int(file[2:4]) for file in predictions["file"]] == brightness


def test_a_finished_run_is_not_given_back_for_other_images(tmp_path, monkeypatch):
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
    with pytest.raises(ValueError, match=r"npz:own\.npz are not those with which .* was begun: put those back"):
        fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    (tmp_path / "own.npz").unlink()  # gone: the run is still what it was
    assert fit(recipe, "cpu", progress=False, runs=tmp_path / "runs").result == run.result


def test_a_run_without_a_map_is_not_taken_for_a_damaged_one(unbroken):
    for read in (lambda: unbroken.maps, lambda: unbroken.weight_map):
        with pytest.raises(ValueError, match="has weight_map='none': it learned no map"):
            read()


def test_a_recipe_that_cannot_be_read_is_named(tmp_path):
    folder = Run.of(SHORT, tmp_path).folder
    folder.mkdir()
    (folder / "recipe.yaml").write_text("foo: 1\n")
    with pytest.raises(ValueError, match=r"recipe\.yaml: a recipe has no field 'foo'.*move its folder away"):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_a_run_that_began_with_pretrained_weights_is_loaded_without_them(tmp_path, monkeypatch):
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
    assert torch.equal(predict(run.network(), images, recipe), predict(trained.network(), images, recipe))


def test_a_run_whose_data_set_is_not_there_is_listed_with_the_reason(tmp_path):
    with pytest.raises(FileNotFoundError):
        fit(SHORT.replace(dataset="npz:nowhere.npz", dataset_options={}), "cpu", progress=False, runs=tmp_path)
    [row] = list_runs(tmp_path).itertuples()
    assert row.state == "failed" and "nowhere.npz" in row.error


def test_folders_may_be_given_as_text(unbroken):
    assert Run.of(SHORT, str(unbroken.folder.parent)).finished
    assert len(list_runs(str(unbroken.folder.parent))) == 1


def test_only_a_long_run_compiles_its_attention(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(FIT_MODULE, "compile_attention", compiled.append)
    fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    assert not compiled
    monkeypatch.setattr(FIT_MODULE, "COMPILED_FROM", 6)  # 2 epochs of 3 steps
    fit(SHORT.replace(epochs=2), "cpu", progress=False, runs=tmp_path)
    assert len(compiled) == 1


def test_a_tiny_set_is_learnt_by_heart(tmp_path):
    """The loop does train: 24 images, no augmentation, are classified correctly after a few epochs."""
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


def test_the_recipe_decides_the_data(tmp_path):
    run = fit(SHORT.replace(epochs=1), "cpu", progress=False, runs=tmp_path)
    data = load_dataset("phantoms", 28, **FEW)
    assert torch.equal(run.dataset().train.images, data.train.images)


def test_the_progress_bar_writes_seldom(tmp_path, capfd):
    """nbval reads a cell's messages only when the cell has ended, and ZeroMQ keeps 1,000 of them, not more."""
    began = time.monotonic()
    fit(SHORT, "cpu", runs=tmp_path)
    written = capfd.readouterr().err.count("\r")
    assert 1 <= written <= 3 + (time.monotonic() - began) / 2  # the first, the last, and one every 2 s
