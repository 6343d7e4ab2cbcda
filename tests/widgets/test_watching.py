"""Watching a training: from its files alone, by one thread that ends."""

import threading
import time

import ipywidgets
import pandas as pd
import pytest

from medattn import widgets
from medattn.training import Recipe, fit
from medattn.training.run import Run
from medattn.widgets import parts, watching

RECIPE = Recipe(
    dataset="phantoms", dataset_options={"n_train": 12, "n_val": 6, "n_test": 6}, size=28,
    network="timm:test_resnet", epochs=3, optimizer="adam", lr=0.001,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watching, "EVERY", 0.02)


def watchers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("watch ")]


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def test_watch_follows_a_training_to_its_end(tmp_path):
    run = Run.of(RECIPE, tmp_path)
    picture, caption = widgets.watch(run).children
    before = bytes(picture.value)
    assert before.startswith(b"\x89PNG") and "0 of 3 epochs" in caption.value
    assert len(watchers()) == 1
    texts = []
    caption.observe(lambda change: texts.append(change["new"]), "value")
    fit(RECIPE, progress=False, runs=tmp_path)
    until(lambda: not watchers())
    assert bytes(picture.value) != before
    assert f"Finished: test accuracy {run.result['accuracy']:.3f}" in caption.value
    assert texts[0].startswith(("1 of 3", "2 of 3", "3 of 3"))
    assert not watching._watching


def test_finished_run_needs_no_thread(tmp_path):
    run = fit(RECIPE, progress=False, runs=tmp_path)
    _, caption = widgets.watch(run).children
    assert "Finished" in caption.value and not watchers()


def test_interruption_and_error_are_shown(tmp_path, monkeypatch):
    run = Run.of(RECIPE, tmp_path)
    _, caption = widgets.watch(run).children
    module = __import__("medattn.training.fitting", fromlist=["fit"])
    keep, error = module.keep, KeyboardInterrupt

    def interrupted(*arguments):
        keep(*arguments)
        raise error("on purpose")

    monkeypatch.setattr(module, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, progress=False, runs=tmp_path)
    until(lambda: caption.value.startswith("1 of 3"))
    error = ArithmeticError
    with pytest.raises(ArithmeticError):
        fit(RECIPE, progress=False, runs=tmp_path)
    until(
        lambda: "2 of 3" in caption.value and "error: ArithmeticError: on purpose" in caption.value
    )
    assert len(watchers()) == 1
    monkeypatch.setattr(module, "keep", keep)
    fit(RECIPE, progress=False, runs=tmp_path)
    until(lambda: "Finished" in caption.value and not watchers())


def test_old_threads_and_widgets_are_removed(tmp_path):
    run = Run.of(RECIPE, tmp_path)
    box = widgets.watch(run)
    before = len(ipywidgets.widgets.widget._instances)
    for _ in range(20):
        box = widgets.watch(run)
    assert len(ipywidgets.widgets.widget._instances) == before
    until(lambda: len(watchers()) == 1)
    parts.close(box)
    until(lambda: not watchers())
    assert not watching._watching


def test_words_follow_every_epoch_and_pictures_wait(tmp_path, monkeypatch):
    run, drawn = Run.of(RECIPE, tmp_path), []
    run.folder.mkdir()
    monkeypatch.setattr(watching, "SHARE", 0)
    box = widgets.watch(run)
    monkeypatch.setattr(watching, "draw", lambda *_: drawn.append(True))
    row = dict.fromkeys(watching.COLUMNS, 0.5)
    for epoch in (1, 2, 3):
        part = run.folder / "history.part"
        pd.DataFrame([row | {"epoch": k} for k in range(1, epoch + 1)]).to_csv(part, index=False)
        part.replace(run.folder / "history.csv")
        until(lambda n=epoch: box.children[1].value.startswith(f"{n} of 3"))
    assert not drawn
    monkeypatch.setattr(watching, "SHARE", 1e9)
    until(lambda: drawn)
    parts.close(box)
    until(lambda: not watchers())
    assert len(drawn) == 1, "nothing new was written after it"


@pytest.mark.parametrize("options", [{"attention": "ppcr"}, {"weight_map": "l1"}])
def test_learned_map_is_shown_from_the_disk(options, tmp_path):
    run = Run.of(RECIPE.replace(**options, epochs=1), tmp_path)
    assert watching._map(run) == ()
    fit(run.recipe, progress=False, runs=tmp_path)
    picture, label = watching._map(run)
    assert picture.shape == (28, 28) and label in ("|W|, layer1", "map, epoch 1")


def test_weights_under_a_prior_are_shown(tmp_path):
    once = RECIPE.replace(epochs=1)
    mapped = once.replace(weight_map="l1")
    fit(mapped, progress=False, runs=tmp_path)
    told = fit(once.replace(attention="ppcr", prior=mapped.run_id), progress=False, runs=tmp_path)
    picture, label = watching._map(told)
    assert picture.shape == (28, 28) and label == "|W|, layer1"
