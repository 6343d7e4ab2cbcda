"""Training: this project's loop beside the one that MedMNIST published, and several runs at once.

MedMNIST's loop follows its paper (Yang et al. 2023, "MedMNIST v2", section 3) and code. A data
loader gives PIL images, which torchvision turns into tensors and normalises one by one. After each
epoch the network is evaluated on the training, the validation and the test images. Both loops train
the same network on the same images with PPCR's optimiser and batch size (SGD, 32); MedMNIST's
defaults are Adam and 128. The losses and scores of MedMNIST's evaluation are left out.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from PIL import Image
from speed_rows import random_images, throughputs, timed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from medattn.datasets.dataset import Split
from medattn.evaluation import alternate
from medattn.networks import build_network
from medattn.training import Recipe
from medattn.training.epoch import train_epoch, validate
from medattn.training.recipe import OPTIMIZERS

BREAST = (546, 78, 156)  # images of BreastMNIST's parts
THEIRS = "MedMNIST's loop"
Epoch = Callable[[nn.Module, torch.optim.Optimizer, list[Split], Recipe], object]


def random_parts(counts: tuple[int, ...] = BREAST) -> list[Split]:
    """Return parts of random grey images at 28 px with two classes."""
    return [Split(random_images(n, 1, 28), torch.arange(n) % 2) for n in counts]


class Pictures(Dataset):
    """A part as MedMNIST serves it: PIL images, transformed one by one."""

    def __init__(self, part: Split):
        self.part = part
        normalise = transforms.Normalize(mean=[0.5], std=[0.5])
        self.transform = transforms.Compose([transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, k: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.part.images[k, 0].numpy())
        return self.transform(picture), int(self.part.labels[k])


def their_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, parts: list[Split], recipe: Recipe
) -> list[float]:
    """Train an epoch in MedMNIST's loop, evaluate all parts, and return the loss of each step.

    A training part alone is not evaluated.
    """
    network.train()
    losses, device = [], next(network.parameters()).device
    for images, labels in DataLoader(Pictures(parts[0]), recipe.batch_size, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images.to(device)), labels.to(device))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        for part in parts if len(parts) > 1 else ():
            for images, _ in DataLoader(Pictures(part), recipe.batch_size):
                network(images.to(device)).softmax(1)
    return losses


def our_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, parts: list[Split], recipe: Recipe
) -> dict:
    """Train an epoch as `fit` does, evaluate the validation part, and return the history's row."""
    row = train_epoch(network, optimizer, parts[0], recipe, 1)
    return row | (validate(network, parts[1], recipe) if parts[1:] else {})


def trainer(
    epoch: Epoch, parts: list[Split], recipe: Recipe, device: str = "cpu"
) -> Callable[[], object]:
    """Return a call that trains one more epoch of a network in `our_epoch` or `their_epoch`."""
    torch.manual_seed(0)
    network = build_network(recipe.network, 2, parts[0].images.shape[1], recipe.size).to(device)
    if epoch is our_epoch:
        parts = [Split(part.images.to(device), part.labels.to(device)) for part in parts]
    if epoch is our_epoch and recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe)
    return partial(epoch, network, optimizer, parts, recipe)


def _seconds(parts: list[Split], recipe: Recipe, rounds: int, device: str = "cpu") -> pd.DataFrame:
    epochs: dict[str, Epoch] = {"ours": our_epoch, THEIRS: their_epoch}
    calls = {name: trainer(epoch, parts, recipe, device) for name, epoch in epochs.items()}
    return alternate(calls, rounds, device)


def throughput(
    network: str = "resnet18",
    steps: int = 3,
    rounds: int = 7,
    batch_size: int = 32,
    device: str = "cpu",
) -> pd.DataFrame:
    """Compare training steps per second, ours over theirs, without evaluation."""
    parts = random_parts((steps * batch_size,))
    seconds = _seconds(parts, Recipe(network=network, batch_size=batch_size), rounds, device)
    setting = f"{network} at 28 px, batch {batch_size}"
    return throughputs("throughput / MedMNIST's loop", setting, seconds, THEIRS)


def epoch(
    rounds: int = 3, counts: tuple[int, ...] = BREAST, network: str = "resnet18"
) -> pd.DataFrame:
    """Compare an epoch with its evaluation: theirs of all parts, ours of the validation part."""
    seconds = _seconds(random_parts(counts), Recipe(network=network), rounds)
    setting = f"{network} at 28 px, {counts[0]} images"
    return timed("epoch with evaluation / MedMNIST's", setting, seconds, THEIRS)


IN_TURN = "one after the other"
ON_TWO_CORES = {"two workers": (2, 1), IN_TURN: (1, 2)}  # workers, threads
ON_A_GPU = {"four workers": (4, 1), IN_TURN: (1, 1)}


def sweep_time(
    rounds: int = 3,
    n_runs: int = 4,
    epochs: int = 2,
    network: str = "resnet18",
    sides: Mapping[str, tuple[int, int]] = ON_TWO_CORES,
) -> pd.DataFrame:
    """Compare a sweep in several workers with the same in one, by (workers, threads) of a side."""
    calls = {name: partial(sweep, *side, n_runs, epochs, network) for name, side in sides.items()}
    seconds = alternate(calls, rounds, wall=True)
    setting = f"{n_runs} runs of {network} at 28 px, {epochs} epochs of 128 images"
    return timed("sweep / one after the other", setting, seconds, IN_TURN)


def sweep(workers: int, threads: int, n_runs: int, epochs: int, network: str) -> None:
    """Train a sweep of small runs in a process of its own. Raises if a run does not finish."""
    code = f"""
import sys
from pathlib import Path
from medattn.training import Recipe, sweep
options = dict(dataset_options=dict(n_train=128, n_val=32, n_test=32), network="{network}")
recipes = [Recipe(**options, epochs={epochs}, seed=seed) for seed in range({n_runs})]
table = sweep(recipes, {workers}, {threads}, runs=Path(sys.argv[1]), say=lambda _: None)
assert all(table["state"] == "finished")
"""
    with TemporaryDirectory() as runs:
        subprocess.run([sys.executable, "-c", code, runs], check=True)
