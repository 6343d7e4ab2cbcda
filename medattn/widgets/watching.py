"""A training, watched while it runs, from the files that it writes after every epoch.

A thread looks once a second whether the history file was written again. The words follow every
epoch. The pictures wait until all watching together took no more than `SHARE` of the time.
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
from medattn.attention.prior import saved_weights
from medattn.figures.style import quick_png
from medattn.training.run import Run, map_files
from medattn.widgets.parts import close, picture_and_caption

EVERY = 1.0  # seconds
SHARE = 0.01  # of the time, at most, is spent on watching
COLUMNS = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]

_watching: dict[Path, tuple[Event, VBox]] = {}  # by the run's folder


def watch(run: Run) -> VBox:
    """Show a run's loss, accuracy, learning rate and map while a later cell or a process trains it.

    This is a view of `figures.training_so_far`. The map is the weight map after the last epoch. For
    PPCR it is the length of the weights W at each position of the first stage, at the best epoch.
    Only the run's folder is read. Watching goes on after an interruption. It ends when the run is
    finished, when its widgets are closed, and when the run is watched again.
    """
    if run.folder in _watching:
        stop, box = _watching.pop(run.folder)
        stop.set()
        close(box)
    picture, caption = picture_and_caption()
    box, stop = VBox([picture, caption]), Event()
    stamp = _stamp(run)  # first: what is written later is drawn
    began = time.thread_time()
    draw(run, picture, caption)
    cost = time.thread_time() - began
    if not run.finished:
        _watching[run.folder] = stop, box
        name, args = f"watch {run.recipe.run_id}", (run, stop, box, stamp, cost)
        Thread(target=_follow, args=args, name=name, daemon=True).start()
    return box


def draw(run: Run, picture: Image, caption: HTML) -> None:
    """Draw the run as it is on disk now."""
    history = _history(run)
    figure = figures.training_so_far(history, run.recipe.epochs, *_map(run))
    picture.value = quick_png(figure)
    caption.value = progress(run, history)


def progress(run: Run, history: pd.DataFrame) -> str:
    """Return a sentence on how far a run is."""
    total = f"of {run.recipe.epochs} epochs"
    if not len(history):
        return f"0 {total}: the run begins when fit(recipe) is called."
    last = history.iloc[-1]
    numbers = (
        f"{int(last['epoch'])} {total}: loss {last['train_loss']:.3f} (validation "
        f"{last['val_loss']:.3f}), accuracy {last['train_accuracy']:.3f} (validation "
        f"{last['val_accuracy']:.3f}), learning rate {last['lr']:g}."
    )
    # the run may have ended after its history was read
    if run.finished and last["epoch"] == run.recipe.epochs:
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
            start = time.thread_time()
            draw(run, picture, caption)
            drawn, cost = now, time.thread_time() - start
        elif now != written:
            caption.value = progress(run, _history(run))
        written = now
        if finished:
            break
    if run.folder in _watching and _watching[run.folder][0] is stop:
        del _watching[run.folder]


def _stamp(run: Run) -> tuple:
    paths = [run.folder / name for name in ("history.csv", "failed.txt")]
    files = [path.stat() for path in paths if path.exists()]
    return tuple((file.st_mtime_ns, file.st_ino) for file in files)


def _history(run: Run) -> pd.DataFrame:
    begun = (run.folder / "history.csv").exists()
    return run.history if begun else pd.DataFrame(columns=COLUMNS, dtype=float)


def _map(run: Run) -> tuple[Tensor, str] | tuple[()]:
    if weight_maps := map_files(run.folder):
        return load_file(weight_maps[-1])["map"], f"map, epoch {int(weight_maps[-1].stem)}"
    best = run.folder / "best.safetensors"
    if run.recipe.attention != "ppcr" or not best.exists():
        return ()
    site, weights = next(iter(saved_weights(load_file(best)).items()))
    return torch.linalg.vector_norm(weights, dim=0), f"|W|, {site.partition('.')[0]}"
