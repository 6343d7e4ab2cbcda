"""Training: this project's loop beside the one that MedMNIST published, run for real, and several runs at once.

MedMNIST's loop, as its paper (Yang et al. 2023, "MedMNIST v2", section 3) and its code describe it: a data loader gives
PIL images, which torchvision turns into tensors and normalises one by one; after each epoch the network is evaluated
on the training, the validation and the test images. Written anew here; both loops train the same network on the same
images with PPCR's optimiser and batches (SGD, 32), where MedMNIST's defaults are Adam and 128. Its evaluation also
computes losses and scores, which are left out here.
"""

import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Indexed
from torchvision import transforms
from tqdm import tqdm

from medattn.datasets.dataset import Split
from medattn.networks import build_network
from medattn.speed.maps import random_images
from medattn.speed.rows import ratios, throughputs
from medattn.timing import alternate
from medattn.training import Recipe
from medattn.training.fit import train_epoch, validate
from medattn.training.recipe import OPTIMIZERS

BREAST = (546, 78, 156)  # images of BreastMNIST's parts


def random_parts(counts: tuple[int, ...] = BREAST, channels: int = 1, size: int = 28) -> list[Split]:
    """Give parts of random images with two classes."""
    return [Split(random_images(n, channels, size), torch.arange(n) % 2) for n in counts]


class Pictures(Indexed):
    """A part as MedMNIST serves it: PIL images, transformed one by one."""

    def __init__(self, part: Split):
        self.part = part
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean=[0.5], std=[0.5])])

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, k: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.part.images[k, 0].numpy())), int(self.part.labels[k])


def their_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, parts: list[Split], recipe: Recipe
) -> list[float]:
    """Train an epoch in MedMNIST's loop, evaluate all parts given, and give the loss of each step."""
    network.train()
    losses = []
    for images, labels in DataLoader(Pictures(parts[0]), recipe.batch_size, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        for part in parts if len(parts) > 1 else ():  # a training part alone is not evaluated
            for images, _ in DataLoader(Pictures(part), recipe.batch_size):
                network(images).softmax(1)
    return losses


def our_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, parts: list[Split], recipe: Recipe) -> dict:
    """Train an epoch as `fit` does, evaluate the validation part if there is one, and give the row of the history."""
    row = train_epoch(network, optimizer, parts[0], recipe, 1, tqdm(disable=True))
    return row | (validate(network, parts[1], recipe) if parts[1:] else {})


def training_side(epoch: Callable, parts: list[Split], recipe: Recipe) -> Callable[[], object]:
    """Give a call that trains an epoch in `our_epoch` or `their_epoch`, each time on from where it was."""
    torch.manual_seed(0)
    network = build_network(recipe.network, 2, parts[0].images.shape[1], recipe.size)
    if epoch is our_epoch and recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe)
    return lambda: epoch(network, optimizer, parts, recipe)


def _both(parts: list[Split], recipe: Recipe) -> dict[str, Callable[[], object]]:
    return {
        "ours": training_side(our_epoch, parts, recipe),
        "MedMNIST's loop": training_side(their_epoch, parts, recipe),
    }


def throughput(network: str = "resnet18", steps: int = 3, rounds: int = 7, batch_size: int = 32) -> pd.DataFrame:
    """Compare training steps a second, ours over theirs, with as many threads as torch has now. No evaluation."""
    recipe = Recipe(network=network, batch_size=batch_size)
    parts = random_parts((steps * batch_size,))
    seconds = alternate(_both(parts, recipe), rounds)
    setting = f"{network} at 28 px, batch {batch_size}"
    return throughputs("throughput / MedMNIST's loop", setting, seconds, "MedMNIST's loop")


def epoch(rounds: int = 3, counts: tuple[int, int, int] = BREAST, network: str = "resnet18") -> pd.DataFrame:
    """Compare the time of an epoch with its evaluation: theirs evaluates all parts, ours the validation part."""
    recipe, parts = Recipe(network=network), random_parts(counts)
    seconds = alternate(_both(parts, recipe), rounds)
    return ratios(
        "epoch with evaluation / MedMNIST's", f"{network} at 28 px, {counts[0]} images", seconds, "MedMNIST's loop"
    )


def sweep_time(rounds: int = 3, n_runs: int = 4, epochs: int = 2, network: str = "resnet18") -> pd.DataFrame:
    """Compare a sweep of small runs in two workers of one thread with the same in one worker of two threads."""
    sides = {
        name: lambda workers=workers, threads=threads: _sweep(workers, threads, n_runs, epochs, network)
        for name, workers, threads in (("two workers", 2, 1), ("one after the other", 1, 2))
    }
    seconds = alternate(sides, rounds, wall=True)
    setting = f"{n_runs} runs of {network} at 28 px, {epochs} epochs of 128 images"
    return ratios("sweep / one after the other", setting, seconds, "one after the other")


def _sweep(workers: int, threads: int, n_runs: int, epochs: int, network: str) -> None:
    code = f"""
import sys
from pathlib import Path
from medattn.training import Recipe, sweep
options = {{"n_train": 128, "n_val": 32, "n_test": 32}}
recipes = [Recipe(dataset_options=options, network="{network}", epochs={epochs}, seed=seed) for seed in range({n_runs})]
assert all(sweep(recipes, {workers}, {threads}, runs=Path(sys.argv[1]), say=lambda _: None)["state"] == "finished")
"""
    with TemporaryDirectory() as runs:
        subprocess.run([sys.executable, "-c", code, runs], check=True)
