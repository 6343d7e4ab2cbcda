"""From a recipe to a finished run: train, keep the best epoch, test it.

Paper: Xu et al. 2020, Algorithm 1 (section 3.4): both networks are trained to the cut-off epoch E,
then the image CNN alone. Differs from the paper: nothing. The pixel CNN is a parameter group of its
own; at the cut-off it leaves with its optimiser state and its images.
"""

import copy
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medattn.attention import WeightMapped, compile_attention
from medattn.datasets import Dataset
from medattn.paths import locked, write_whole
from medattn.preprocess import to_float
from medattn.training.build import build_from, parameter_groups
from medattn.training.epoch import logits_of, predict, seeded, train_epoch, validate
from medattn.training.provenance import code, provenance
from medattn.training.recipe import OPTIMIZERS, Recipe
from medattn.training.run import Run, keep, read_run, resume, save_map, save_predictions, undamaged

COMPILED_FROM = 2_000  # steps on a CPU that win back the time of compiling (notebook 18)
SCORES = ("accuracy", "auc", "weighted_f1", "macro_f1", "n_correct")


def best_device() -> torch.device:
    """Return the fastest kind of device of this machine: CUDA, MPS or CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit(
    recipe: Recipe,
    device: str | torch.device | None = None,
    progress: bool = True,
    runs: str | Path | None = None,
    wait: bool = True,
) -> Run:
    """Train a recipe, test its best validation epoch, and return the finished run.

    A finished run is returned at once. An interrupted one resumes after its last finished epoch.
    `wait`: wait for a run that another process trains; otherwise raise Busy. `runs` is the folder
    of all runs (default `MEDATTN_RUNS`, or data/runs). Raises DivergedError for a loss that is not
    finite, and MemoryError with a setting to try.
    """
    run = Run.of(recipe, runs)
    train_unless_finished(run, device, progress, wait)
    return run


def train_unless_finished(
    run: Run, device: str | torch.device | None, progress: bool, wait: bool
) -> bool:
    """Train as `fit` does. Return False if the run was finished before, or by another process."""
    path = run.folder / "recipe.yaml"
    if path.exists() and read_run(path).recipe != run.recipe:  # a default has changed since
        raise ValueError(f"{run.folder} holds a run of another recipe; move it away to train here")
    if run.finished:
        run.check_data()
        return False
    if progress and wait and run.state == "running":
        print(f"waiting for another process to train {run.folder.name}", file=sys.stderr)
    with locked(run.folder, wait):
        if run.finished:  # by another process, meanwhile
            return False
        with write_whole(path) as part:
            part.write_text(run.recipe.to_yaml())
        with _attempt(run):
            _train_and_test(run, torch.device(device) if device else best_device(), progress)
    return True


def _train_and_test(run: Run, device: torch.device, progress: bool) -> None:
    from tqdm.auto import tqdm

    recipe, data = run.recipe, run.dataset()
    _check_selection(recipe, data)
    fingerprint, data = data.fingerprint(), data.to(device)
    network, optimizer = _untrained(run, data, device)
    state = resume(run, network, optimizer, device, fingerprint)
    history = state["history"]
    if code() not in state["commits"]:
        state["commits"].append(code())
    steps = -(-len(data.train) // recipe.batch_size)  # per epoch
    if recipe.compile:  # not the map, which is computed once per step
        (network.image_cnn if isinstance(network, WeightMapped) else network).compile()
    elif device.type == "cuda" or steps * recipe.epochs >= COMPILED_FROM:
        torch.compiler.reset()  # compilations of earlier runs count against the same limit
        compile_attention(network)
    if _learns_map(network) and not history:
        save_map(run.folder, 0, network.weight_map())

    # A client that reads only when a long cell ends (nbval) keeps 1,000 messages: one every 2 s.
    name, total = recipe.run_id.rpartition("-")[0], recipe.epochs * steps
    with tqdm(total=total, desc=name, unit="step", mininterval=2, disable=not progress) as bar:
        bar.update(len(history) * steps)
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            began = time.perf_counter()
            if _learns_map(network) and epoch - 1 == recipe.map_epochs:
                network.freeze(optimizer)  # the cut-off of Algorithm 1
            row = train_epoch(network, optimizer, data.train, recipe, epoch, bar)
            row |= validate(network, data.val, recipe)
            if recipe.test_every_epoch:
                correct = logits_of(network, data.test.images, recipe).argmax(1) == data.test.labels
                row["test_accuracy"] = correct.float().mean().item()
            if _learns_map(network):
                save_map(run.folder, epoch, network.weight_map())
            row["seconds"] = round(time.perf_counter() - began, 3)
            history.append(row)
            keep(run, network, optimizer, state)
            last = f"loss={row['train_loss']:.3f}, val={row['val_accuracy']:.3f}"
            bar.set_postfix_str(last, refresh=False)
    _test(run, network, data, state)


def _untrained(
    run: Run, data: Dataset, device: torch.device
) -> tuple[nn.Module, torch.optim.Optimizer]:
    recipe, images, runs = run.recipe, data.train.images, run.folder.parent
    with seeded(recipe.seed, 0, device):
        network = build_from(recipe, data.n_classes, data.channels, images, runs).to(device)
        _check_batches(network, images, recipe)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network, OPTIMIZERS[recipe.optimizer](parameter_groups(network, recipe), recipe)


def _test(run: Run, network: nn.Module, data: Dataset, state: dict[str, Any]) -> None:
    """Test the best epoch, and write predictions.csv and result.json."""
    if _learns_map(network):
        network.freeze()
    with undamaged(run.folder / "best.safetensors") as path:
        network.load_state_dict(load_file(path))
    probabilities = predict(network, data.test.images, run.recipe)
    save_predictions(run.folder / "predictions.csv", data.test, probabilities)
    scores = run.scores  # of the saved predictions, as every later reader computes them
    result = {
        "run": run.recipe.run_id,
        **{name: getattr(scores, name) for name in SCORES},
        "n_test": scores.n_images,
        "n_train": len(data.train),
        "n_classes": data.n_classes,
        "channels": data.channels,
        "epochs": len(state["history"]),
        "best_epoch": state["best_epoch"],
        "seconds": round(sum(row["seconds"] for row in state["history"]), 1),
        "data": state["data"],
        **provenance(data.test.images.device),
        "commit": ", ".join(state["commits"]) if all(state["commits"]) else None,
    }
    with write_whole(run.folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n")
    (run.folder / "resume.pt").unlink(missing_ok=True)


def _check_selection(recipe: Recipe, data: Dataset) -> None:
    name, val = recipe.dataset, data.val
    if not len(val) and recipe.select != "last":
        raise ValueError(f"{name} has no validation images to select by: use select='last'")
    if recipe.select == "auc" and len(val.labels.unique()) < 2:
        allowed = "use select='accuracy', 'loss' or 'last'"
        raise ValueError(f"all validation images of {name} have one class, so no AUC: {allowed}")


def _check_batches(network: nn.Module, images: Tensor, recipe: Recipe) -> None:
    """Raise ValueError if a part of a batch is one image, and the network cannot train on that."""
    batch, parts = recipe.batch_size, recipe.accumulate
    if batch > parts and not 0 < len(images) % batch < 2 * parts:
        return
    image_cnn = network.image_cnn if isinstance(network, WeightMapped) else network
    trial = copy.deepcopy(image_cnn).train()  # the network keeps its running statistics
    try:
        with torch.no_grad():  # fails in a batch norm of 1x1 maps
            trial(to_float(images[:1], recipe.normalise))
    except ValueError as error:
        raise ValueError(
            f"{recipe.network} at {recipe.size} px cannot train on one image at a time ({error}), "
            f"and batch_size={batch}, accumulate={parts} leave one of {len(images)} images alone: "
            "change one of these"
        ) from error


def _learns_map(network: nn.Module) -> TypeGuard[WeightMapped]:
    return isinstance(network, WeightMapped) and not network.frozen


@contextmanager
def _attempt(run: Run) -> Iterator[None]:
    """Use deterministic cuDNN, and write an error that ends the block to failed.txt."""
    failed, cudnn = run.folder / "failed.txt", torch.backends.cudnn
    failed.unlink(missing_ok=True)
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except Exception as error:
        with write_whole(failed) as part:
            part.write_text(f"{type(error).__name__}: {error}")
        raise
    finally:
        cudnn.deterministic, cudnn.benchmark = before
