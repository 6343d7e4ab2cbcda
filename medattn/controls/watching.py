"""A training, watched while it runs, from the files that it writes after every epoch.

A thread looks once a second whether the history file was written anew, which costs nothing. The numbers in words follow
every epoch. A picture takes a part of a second of the processor that the training wants, so it waits until pictures and
words together have taken no more than `SHARE` of the time.
"""

import time
from pathlib import Path
from threading import Event, Thread

import pandas as pd
import torch
from ipywidgets import HTML, Image, VBox
from safetensors.torch import load_file
from torch import Tensor

from medattn import figures
from medattn.controls.parts import close, image_of_its_size
from medattn.training.runs import Run, map_files

EVERY = 1.0  # seconds
SHARE = 0.01  # of the time is spent on watching, at most
COLUMNS = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]

_watching: dict[Path, tuple[Event, VBox]] = {}  # by the run's folder


def watch(run: Run) -> VBox:
    """Show loss, accuracy and learning rate of a run, and its map, while it is trained in a later cell or elsewhere.

    A view of `figures.training_so_far`. The map is the weight map after the last epoch; for PPCR it is the length of
    the weights W of each position at the first stage, as of the best epoch. Only the run's folder is read. It ends when
    the run is finished, when its widgets are closed, and when the same run is watched again; an interrupted run is
    watched on, as `fit` goes on with it.
    """
    if run.folder in _watching:
        stop, box = _watching.pop(run.folder)
        stop.set()
        close(box)
    picture, caption = image_of_its_size(), HTML()
    box, stop, stamp = VBox([picture, caption]), Event(), _stamp(run)  # the stamp first: what comes later is drawn
    began = time.thread_time()
    draw(run, picture, caption)
    cost = time.thread_time() - began
    if run.finished:
        return box
    _watching[run.folder] = stop, box
    Thread(target=_follow, args=(run, stop, box, stamp, cost), name=f"watch {run.recipe.run_id}", daemon=True).start()
    return box


def draw(run: Run, picture: Image, caption: HTML) -> None:
    """Draw the run as it is on disk now."""
    history = _history(run)
    figure = figures.training_so_far(history, run.recipe.epochs, *_map(run))
    picture.value = figures.quick_png(figure)
    caption.value = said(run, history)


def said(run: Run, history: pd.DataFrame) -> str:
    """Say in words how far a run is."""
    of = f"of {run.recipe.epochs} epochs"
    if not len(history):
        return f"0 {of}: the run begins when fit(recipe) is called."
    last = history.iloc[-1]
    numbers = (
        f"{int(last['epoch'])} {of}: loss {last['train_loss']:.3f} (validation {last['val_loss']:.3f}), accuracy "
        f"{last['train_accuracy']:.3f} (validation {last['val_accuracy']:.3f}), learning rate {last['lr']:g}."
    )
    if run.finished and last["epoch"] == run.recipe.epochs:  # or the end came after the history was read
        return f"{numbers} Finished: test accuracy {run.result['accuracy']:.3f}."
    return f"{numbers} It ended with an error: {run.failure}" if run.failure else numbers


def _follow(run: Run, stop: Event, box: VBox, stamp: tuple, cost: float) -> None:
    picture, caption = box.children
    written = drawn = stamp
    began, before = time.monotonic(), time.thread_time()
    while not stop.wait(EVERY) and box.comm is not None:
        finished, now = run.finished, _stamp(run)
        allowed = SHARE * (time.monotonic() - began)
        if finished or (now != drawn and time.thread_time() - before + cost <= allowed):
            at = time.thread_time()
            draw(run, picture, caption)
            drawn, cost = now, time.thread_time() - at
        elif now != written:
            caption.value = said(run, _history(run))
        written = now
        if finished:
            break
    if _watching.get(run.folder, (None,))[0] is stop:
        del _watching[run.folder]


def _stamp(run: Run) -> tuple:
    files = [path.stat() for name in ("history.csv", "failed.txt") if (path := run.folder / name).exists()]
    return tuple((file.st_mtime_ns, file.st_ino) for file in files)


def _history(run: Run) -> pd.DataFrame:
    return run.history if (run.folder / "history.csv").exists() else pd.DataFrame(columns=COLUMNS, dtype=float)


def _map(run: Run) -> tuple[Tensor, str] | tuple[()]:
    weight_maps = map_files(run.folder)
    if weight_maps:
        return load_file(weight_maps[-1])["map"], f"map, epoch {int(weight_maps[-1].stem)}"
    best = run.folder / "best.safetensors"
    if run.recipe.attention == "ppcr" and best.exists():
        of_a_site = ("integrate.weight", "integrate.parametrizations.weight.original")  # the latter under a prior
        name, first = next((name, value) for name, value in load_file(best).items() if name.endswith(of_a_site))
        return torch.linalg.vector_norm(first, dim=0), f"|W|, {name.partition('.')[0]}"
    return ()
