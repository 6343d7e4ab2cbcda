"""One epoch of training, and predictions.

Every random number of an epoch comes from generators seeded by (seed, epoch). An epoch needs only
the weights and the optimiser's state from the one before. A resumed run therefore ends at the same
bits: on a CPU with equal threads, and on a GPU if the network's operations are deterministic there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention import WeightMapped, map_penalty
from medattn.attention.recording import evaluating
from medattn.datasets import Split
from medattn.evaluation.metrics import score
from medattn.preprocess import to_float
from medattn.training.augment import AUGMENT
from medattn.training.recipe import PRECISIONS, Recipe

EVALUATION_BATCH = 256
AUXILIARY_WEIGHT = 0.3  # of the auxiliary heads' loss (GoogLeNet, Szegedy et al. 2015, section 5)
# Only CUDA has an error class of its own. MPS, the CPU on Linux, and others raise RuntimeError.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class DivergedError(ArithmeticError):
    """The training loss stopped being finite; the state of the last good epoch is kept."""


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 1: a step down every `lr_step` epochs."""
    return recipe.lr * recipe.lr_factor ** ((epoch - 1) // recipe.lr_step)


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Split,
    recipe: Recipe,
    epoch: int,
    bar: Any = None,
) -> dict[str, float]:
    """Train one epoch, counted from 1; return its row of the history.

    The images lie on the network's device. `bar` is a tqdm bar that counts the steps.
    Raises DivergedError for a loss that is not finite, and MemoryError with a setting to try.
    """
    network.train()
    lr = learning_rate(recipe, epoch)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)
    device = train.images.device
    order = torch.randperm(len(train), generator=generator("cpu", recipe.seed, epoch, 0))
    augmenting = generator(device, recipe.seed, epoch, 1)
    losses, correct, penalties = [], [], []  # tensors: no step waits for the device
    with seeded(recipe.seed, epoch, device), _memory_advice(recipe):  # seeded for dropout
        for batch in order.to(device).split(recipe.batch_size):
            images = AUGMENT[recipe.augment](train.images[batch], augmenting)
            loss, n_correct, penalty = _backward(network, images, train.labels[batch], recipe)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss * len(batch))
            correct.append(n_correct)
            penalties.append(penalty * len(batch))
            if bar is not None:
                bar.update()
    by_step = torch.stack(losses).cpu()
    if not by_step.isfinite().all():
        step = int((~by_step.isfinite()).nonzero()[0])
        problem = f"loss {by_step[step]} in epoch {epoch}, step {step + 1} of {len(by_step)}"
        advice = f"a smaller lr than {recipe.lr}"
        advice += " or precision='float32'" if recipe.precision != "float32" else ""
        raise DivergedError(f"{problem}: try {advice}; the state after epoch {epoch - 1} is kept")
    n = len(train)
    row = {"epoch": epoch, "lr": lr, "train_loss": by_step.sum().item() / n}
    row["train_accuracy"] = torch.stack(correct).sum().item() / n
    if isinstance(network, WeightMapped) and not network.frozen:
        row["map_mean"] = torch.stack(penalties).sum().item() / n
    return row


def _backward(
    network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of a batch; return its loss, number of correct images, and map penalty."""
    total = penalty = torch.zeros((), device=images.device)
    correct = torch.zeros((), dtype=torch.long, device=images.device)
    weight_map = leaf = None
    if isinstance(network, WeightMapped):
        with _autocast(images.device, recipe):
            weight_map = network.weight_map()
        # All parts add their gradients to this leaf: one pass of the pixel CNN each way per batch.
        leaf = weight_map.detach().requires_grad_(weight_map.requires_grad)
    parts = images.tensor_split(recipe.accumulate), labels.tensor_split(recipe.accumulate)
    for part_images, part_labels in zip(*parts, strict=True):
        if len(part_labels) == 0:  # a last batch smaller than `accumulate`
            continue
        with _autocast(images.device, recipe):
            logits, *auxiliary = _outputs(network, _inputs(part_images, recipe), leaf)
            loss = F.cross_entropy(logits, part_labels)
            for head in auxiliary:
                loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(head, part_labels)
        loss = loss * (len(part_labels) / len(labels))
        loss.backward()
        total = total + loss.detach()
        correct += (logits.argmax(1) == part_labels).sum()
    if weight_map is not None and leaf is not None and leaf.requires_grad:
        penalty = map_penalty(weight_map)
        torch.autograd.backward((weight_map, recipe.map_penalty * penalty), (leaf.grad, None))
    return total, correct, penalty.detach()


def validate(network: nn.Module, val: Split, recipe: Recipe) -> dict[str, float]:
    """Return loss, accuracy and AUC of the validation images; nan if there are none."""
    if len(val) == 0:
        return {"val_loss": np.nan, "val_accuracy": np.nan, "val_auc": np.nan}
    logits = logits_of(network, val.images, recipe)
    loss = F.cross_entropy(logits, val.labels).item()
    if not np.isfinite(loss):
        return {"val_loss": loss, "val_accuracy": 0.0, "val_auc": 0.0}
    scores = score(val.labels.cpu().numpy(), F.softmax(logits, dim=1).cpu().numpy())
    return {"val_loss": loss, "val_accuracy": scores.accuracy, "val_auc": scores.auc}


def predict(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """Return class probabilities (N, K), on the CPU, of uint8 images on the network's device."""
    with evaluating(network):
        return F.softmax(logits_of(network, images, recipe), dim=1).cpu()


def generator(device: str | torch.device, *numbers: int) -> torch.Generator:
    """Return a generator that is seeded by all of some numbers."""
    return torch.Generator(device).manual_seed(_mixed(*numbers))


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch by a run's seed and epoch within the block. Epoch 0 initialises the weights."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_mixed(seed, epoch, 2))
        yield


@contextmanager
def _memory_advice(recipe: Recipe) -> Iterator[None]:
    """Turn an out-of-memory error into a MemoryError that names a setting to try."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        batch, parts, size = recipe.batch_size, recipe.accumulate, recipe.size
        finer = [f"accumulate={n}" for n in range(parts + 1, batch + 1) if batch % n == 0]
        advice = finer[0] if finer else f"a smaller size than {size}"
        problem = f"out of memory with {batch // parts} images at a time at {size} px"
        raise MemoryError(f"{problem}: try {advice}; finished epochs are kept") from error


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(text in str(error) for text in OUT_OF_MEMORY)


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@torch.no_grad()
def logits_of(network: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """Return logits (N, K), float32, in evaluation mode, with as large batches as memory allows."""
    network.eval()
    with _autocast(images.device, recipe):
        weight_map = network.weight_map() if isinstance(network, WeightMapped) else None
        batch = EVALUATION_BATCH
        while True:
            try:
                parts = (_inputs(part, recipe) for part in images.split(batch))
                return torch.cat([_outputs(network, part, weight_map)[0] for part in parts]).float()
            except (MemoryError, RuntimeError) as error:
                if batch == 1 or not _is_out_of_memory(error):
                    raise
            batch //= 2  # outside `except`, where the error still holds what did not fit


def _inputs(images: Tensor, recipe: Recipe) -> Tensor:
    inputs = to_float(images, recipe.normalise)
    return inputs.contiguous(memory_format=torch.channels_last) if recipe.channels_last else inputs


def _outputs(network: nn.Module, inputs: Tensor, weight_map: Tensor | None) -> tuple[Tensor, ...]:
    output = network(inputs) if weight_map is None else network(inputs, weight_map)
    return tuple(output) if isinstance(output, tuple) else (output,)


def _autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    enabled = recipe.precision != "float32"
    return torch.autocast(device.type, PRECISIONS[recipe.precision], enabled=enabled)
