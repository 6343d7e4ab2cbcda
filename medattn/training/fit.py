"""One training loop for every recipe; Algorithm 1 of global spatial attention is a recipe's cut-off epoch.

Everything random in an epoch is drawn from generators seeded by (seed, epoch), so that an epoch needs nothing from
the ones before it but the weights and the optimiser's state: an interrupted run goes on and ends at the same bits, on
a CPU with as many threads, and on a GPU where all of the network's operations are deterministic.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from medattn.attention import WeightMapped, compile_attention, map_penalty
from medattn.datasets import Dataset, Split
from medattn.datasets.augment import AUGMENT, to_float
from medattn.evaluation.metrics import score
from medattn.paths import held, write_whole
from medattn.recording import evaluating
from medattn.training.cut_off import learns_map, parameter_groups
from medattn.training.listing import read_run
from medattn.training.provenance import provenance
from medattn.training.recipe import OPTIMIZERS, PRECISIONS, Recipe
from medattn.training.runs import Run, build_from, save_map, save_predictions, undamaged
from medattn.training.state import keep, resume

EVALUATION_BATCH = 256
COMPILED_FROM = 2_000  # steps on a CPU: what compiling the attention costs is won back by then (notebook 18)
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS, CPU on Linux, others
ONE_VALUE = "Expected more than 1 value per channel"  # batch norm, in training
AUXILIARY_WEIGHT = 0.3  # of the auxiliary heads' loss (GoogLeNet, Szegedy et al. 2015, section 5)


class DivergedError(ArithmeticError):
    """The training loss stopped being finite; the state of the last good epoch is kept."""


def best_device() -> torch.device:
    """Give the fastest kind of device there is: CUDA, MPS or CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit(
    recipe: Recipe, device: str | torch.device | None = None, progress: bool = True, runs=None, wait: bool = True
) -> Run:
    """Train what the recipe says, test the best validation epoch, and give the finished run.

    A finished run is given back at once; an interrupted one goes on after its last finished epoch; one that another
    process trains is waited for, or raises Busy. `runs` is the folder of all runs (default `MEDATTN_RUNS`, or
    data/runs). Raises DivergedError for a loss that is not finite, MemoryError with a batch size to try.
    """
    run = Run.of(recipe, runs)
    train_unless_finished(run, device, progress, wait)
    return run


def train_unless_finished(run: Run, device: str | torch.device | None, progress: bool, wait: bool) -> bool:
    """Do what `fit` says; give whether this process did it, and not another one before or meanwhile."""
    there = run.folder / "recipe.yaml"
    if there.exists() and read_run(there).recipe != run.recipe:  # a default was changed since
        raise ValueError(f"{run.folder} holds a run of another recipe; move it away to train this one")
    if run.finished:
        run.check_data()
        return False
    waiting = partial(print, f"another process trains {run.folder.name}: waiting for it", file=sys.stderr, flush=True)
    with held(run.folder, wait, waiting if progress else None):
        if run.finished:  # by another process, meanwhile
            return False
        device = torch.device(device) if device else best_device()
        with write_whole(run.folder / "recipe.yaml") as part:
            part.write_text(run.recipe.to_yaml())
        with run.failing(), _reproducible():
            _train_and_test(run, device, progress)
    return True


def predict(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """Give class probabilities (N, K), float32 on the CPU, for uint8 images (N, C, H, W) on the network's device."""
    with evaluating(network):
        return F.softmax(_logits(network, images, recipe), dim=1).cpu()


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Give the learning rate of an epoch, counted from 1: divided every `lr_step` epochs."""
    return recipe.lr * recipe.lr_factor ** ((epoch - 1) // recipe.lr_step)


@contextmanager
def _explained(recipe: Recipe, n_train: int) -> Iterator[None]:
    """Say of two errors that a batch size mends which one: a batch that memory cannot hold, and one of one image."""
    try:
        yield
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        raise ValueError(
            f"{recipe.network} at {recipe.size} px cannot be trained on one image at a time (batch norm), and one of "
            f"{n_train} is left alone by batch_size={recipe.batch_size}, accumulate={recipe.accumulate}: say others"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not _no_memory(error):
            raise
        batch, parts = recipe.batch_size, recipe.accumulate
        more = next((n for n in range(parts + 1, batch + 1) if batch % n == 0), None)
        hint = f"accumulate={more} (the same batch, in smaller parts)" if more else f"a smaller size than {recipe.size}"
        raise MemoryError(
            f"out of memory with {batch // parts} images at a time at {recipe.size} px: try {hint}; "
            "finished epochs are kept for the same recipe"
        ) from error


def _no_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def _train_and_test(run: Run, device: torch.device, progress: bool) -> None:
    recipe, data, origin = run.recipe, run.dataset(), provenance(device)
    known_by, data = data.fingerprint(), data.to(device)
    if not len(data.val) and recipe.select != "last":
        raise ValueError(f"{recipe.dataset} has no validation images to select an epoch by: say select='last'")
    if recipe.select == "auc" and len(data.val.labels.unique()) < 2:
        raise ValueError(
            f"the validation images of {recipe.dataset} are of one class, so no epoch has an AUC to be selected by: "
            "say select='accuracy', 'loss' or 'last'"
        )
    with seeded(recipe.seed, 0, device):
        network = build_from(recipe, data.n_classes, data.channels, data.train.images, run.folder.parent).to(device)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS[recipe.optimizer](parameter_groups(network), recipe)
    state = resume(run, network, optimizer, device, known_by)
    if origin["commit"] not in state["commits"]:
        state["commits"].append(origin["commit"])
    steps = -(-len(data.train) // recipe.batch_size)
    if recipe.compile:  # the map is computed once a step, outside
        (network.image_cnn if isinstance(network, WeightMapped) else network).compile()
    elif device.type == "cuda" or steps * recipe.epochs >= COMPILED_FROM:
        torch.compiler.reset()  # what other runs of this process compiled counts against one limit
        compile_attention(network)
    if learns_map(network) and not state["history"]:
        save_map(run.folder, 0, network.weight_map())

    name = recipe.run_id.rpartition("-")[0]
    # every 2 s at most: a client that reads only when a long cell ends (nbval) keeps 1,000 messages, and loses the rest
    with tqdm(total=recipe.epochs * steps, desc=name, unit="step", mininterval=2, disable=not progress) as bar:
        bar.update(len(state["history"]) * steps)
        for epoch in range(len(state["history"]) + 1, recipe.epochs + 1):
            if recipe.map_epochs is not None and epoch == recipe.map_epochs + 1:
                network.freeze(optimizer)
            started = time.perf_counter()
            row = {"epoch": epoch, "lr": learning_rate(recipe, epoch)}
            with _explained(recipe, len(data.train)):
                row |= train_epoch(network, optimizer, data.train, recipe, epoch, bar)
            row |= validate(network, data.val, recipe)
            if recipe.test_every_epoch:
                row["test_accuracy"] = _accuracy(_logits(network, data.test.images, recipe), data.test.labels)
            if learns_map(network):
                save_map(run.folder, epoch, network.weight_map())
            row["seconds"] = round(time.perf_counter() - started, 3)
            state["history"].append(row)
            keep(run, network, optimizer, state)
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", val=f"{row['val_accuracy']:.3f}", refresh=False)
    _test(run, network, data, state, origin)


def train_epoch(network, optimizer, train: Split, recipe: Recipe, epoch: int, bar: tqdm) -> dict[str, float]:
    """Train one epoch, counted from 1, on images that lie on the network's device; give its means over the images.

    Raises DivergedError for a loss that is not finite.
    """
    network.train()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, epoch)
    device = train.images.device
    order = torch.randperm(len(train), generator=_generator("cpu", recipe.seed, epoch, 0)).to(device)
    augmenting = _generator(device, recipe.seed, epoch, 1)
    # no wait for the device within an epoch
    losses, penalties, correct = [], [], torch.zeros((), dtype=torch.long, device=device)
    with seeded(recipe.seed, epoch, device):  # dropout
        for batch in order.split(recipe.batch_size):
            images = AUGMENT[recipe.augment](train.images[batch], augmenting)
            labels = train.labels[batch]
            step_loss = torch.zeros((), device=device)
            with _autocast(device, recipe):
                weight_map = network.weight_map() if isinstance(network, WeightMapped) else None
            # every part of the batch adds to this leaf's gradient; the pixel CNN is passed once a step each way
            leaf = weight_map.detach().requires_grad_(weight_map.requires_grad) if weight_map is not None else None
            for part_images, part_labels in zip(
                images.tensor_split(recipe.accumulate), labels.tensor_split(recipe.accumulate), strict=True
            ):
                if len(part_labels) == 0:  # a last batch smaller than `accumulate`
                    continue
                with _autocast(device, recipe):
                    logits, *auxiliary = _outputs(network, _inputs(part_images, recipe), leaf)
                    loss = F.cross_entropy(logits, part_labels)
                    for head in auxiliary:
                        loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(head, part_labels)
                loss = loss * (len(part_labels) / len(labels))
                loss.backward()
                step_loss += loss.detach()
                correct += (logits.argmax(1) == part_labels).sum()
            if leaf is not None and leaf.requires_grad:
                penalty = map_penalty(weight_map)
                torch.autograd.backward((weight_map, recipe.map_penalty * penalty), (leaf.grad, None))
                penalties.append(penalty.detach() * len(labels))
            optimizer.step()
            optimizer.zero_grad()
            losses.append(step_loss * len(labels))
            bar.update()
    losses = torch.stack(losses).cpu()
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        raise DivergedError(
            f"the loss of epoch {epoch}, step {int(broken[0]) + 1} of {len(losses)} is {losses[int(broken[0])]}: try a "
            f"smaller lr than {recipe.lr}"
            + (", or precision='float32'" if recipe.precision != "float32" else "")
            + f"; the state after epoch {epoch - 1} is kept"
        )
    row = {"train_loss": losses.sum().item() / len(train), "train_accuracy": correct.item() / len(train)}
    return row | ({"map_mean": torch.stack(penalties).sum().item() / len(train)} if penalties else {})


def validate(network: nn.Module, val: Split, recipe: Recipe) -> dict[str, float]:
    """Give loss, accuracy and AUC of the validation images; nan where there are none."""
    if len(val) == 0:
        return {"val_loss": np.nan, "val_accuracy": np.nan, "val_auc": np.nan}
    logits = _logits(network, val.images, recipe)
    loss = F.cross_entropy(logits, val.labels).item()
    if not np.isfinite(loss):
        return {"val_loss": loss, "val_accuracy": 0.0, "val_auc": 0.0}
    scores = score(val.labels.cpu().numpy(), F.softmax(logits, dim=1).cpu().numpy())
    return {"val_loss": loss, "val_accuracy": scores.accuracy, "val_auc": scores.auc}


def _test(run: Run, network: nn.Module, data: Dataset, state: dict[str, Any], origin: dict) -> None:
    if learns_map(network):
        network.freeze()
    with undamaged(run.folder / "best.safetensors"):
        network.load_state_dict(load_file(run.folder / "best.safetensors"))
    probabilities = predict(network, data.test.images, run.recipe)
    save_predictions(run.folder / "predictions.csv", data.test, probabilities)
    scores = run.scores  # of the saved predictions, as everyone after us will read them
    history = state["history"]
    result = {
        "run": run.recipe.run_id,
        "accuracy": scores.accuracy,
        "auc": scores.auc,
        "weighted_f1": scores.weighted_f1,
        "macro_f1": scores.macro_f1,
        "n_correct": scores.n_correct,
        "n_test": scores.n_images,
        "n_train": len(data.train),
        "n_classes": data.n_classes,
        "channels": data.channels,
        "epochs": len(history),
        "best_epoch": state["best_epoch"],
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "data": state["data"],
        **origin,
        "commit": ", ".join(state["commits"]) if all(state["commits"]) else None,
    }
    with write_whole(run.folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n")
    (run.folder / "resume.pt").unlink(missing_ok=True)


@torch.no_grad()
def _logits(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    network.eval()
    with _autocast(images.device, recipe):
        weight_map = network.weight_map() if isinstance(network, WeightMapped) else None
        batch = EVALUATION_BATCH
        while True:
            try:
                batches = [_outputs(network, _inputs(part, recipe), weight_map)[0] for part in images.split(batch)]
                return torch.cat(batches).float()
            except (MemoryError, RuntimeError) as error:
                if batch == 1 or not _no_memory(error):
                    raise
            batch //= 2  # outside, where the error no longer holds what did not fit


def _inputs(images: Tensor, recipe: Recipe) -> Tensor:
    inputs = to_float(images, recipe.normalise)
    return inputs.contiguous(memory_format=torch.channels_last) if recipe.channels_last else inputs


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()


def _outputs(network: nn.Module, inputs: Tensor, weight_map: Tensor | None) -> tuple[Tensor, ...]:
    output = network(inputs) if weight_map is None else network(inputs, weight_map)
    return tuple(output) if isinstance(output, tuple) else (output,)


def _autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    return torch.autocast(device.type, PRECISIONS[recipe.precision], enabled=recipe.precision != "float32")


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _generator(device: str | torch.device, *numbers: int) -> torch.Generator:
    return torch.Generator(device).manual_seed(_mixed(*numbers))


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Have torch draw by a run's seed and epoch while the block runs; epoch 0 is the start of its weights."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_mixed(seed, epoch, 2))
        yield


@contextmanager
def _reproducible() -> Iterator[None]:
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
