"""What a global map costs: a training step with it live, frozen and absent; its two forms against N; memory.

`make bench` runs it with the defaults. Two sides of a comparison alternate in one process; medians are printed with
the quartiles, and ratios, which is what holds from machine to machine. Peak memory is that of a process of its own.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from medattn.attention import GlobalAttention, PixelCNN, PixelRepresentation, pixels
from medattn.networks import build_network

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def alternate(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, np.ndarray]:
    """Time every side once a round, after a round that is not counted. Seconds, (rounds,) each."""
    seconds = {name: [] for name in sides}
    for k in range(rounds + 1):
        for name, call in sides.items():
            began = time.perf_counter()
            call()
            if k:
                seconds[name].append(time.perf_counter() - began)
    return {name: np.array(values) for name, values in seconds.items()}


def tell(title: str, seconds: dict[str, np.ndarray]) -> None:
    """Print medians, quartiles and the ratio to the first side."""
    print(f"\n{title}")
    base = np.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        low, middle, high = np.percentile(1000 * values, (25, 50, 75))
        print(f"  {name:34s} {middle:9.1f} ms  ({low:.1f} to {high:.1f})   x {middle / 1000 / base:.2f}", flush=True)


def random_images(n: int, channels: int, size: int) -> torch.Tensor:
    """Images (n, channels, size, size) of uint8: speed does not depend on what they show."""
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)


def training_step(network: nn.Module, batch: torch.Tensor) -> Callable[[], None]:
    """Give a whole step: forward, backward, Adam."""
    optimizer, labels = torch.optim.Adam(network.parameters(), 1e-4, fused=True), torch.arange(len(batch)) % 5

    def step() -> None:
        F.cross_entropy(network(batch), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def live_frozen_none(size: int, n: int, batch_size: int, hidden: int, rounds: int) -> None:
    """A training step of ResNet18 under a live map, a frozen one, and none."""
    images, batch = random_images(n, 3, size), torch.randn(batch_size, 3, size, size)
    networks = {"no map": build_network("resnet18", 5, size=size)}
    for name in ("frozen map", "live map"):
        networks[name] = GlobalAttention(build_network("resnet18", 5, size=size), images, hidden, *IMAGENET)
    networks["frozen map"].freeze()
    steps = {name: training_step(network.train(), batch) for name, network in networks.items()}
    title = f"Training step, ResNet18 at {size} px, batch {batch_size}, float32; the map: N = {n} colour, K = {hidden}"
    tell(title, alternate(steps, rounds))


def pixel_cnn_step(size: int, n: int, hidden: int, rounds: int) -> None:
    """Forward and backward of the pixel CNN: one convolution, or nine shifted products, kept or streamed."""
    representation, pixel_cnn = PixelRepresentation(random_images(n, 3, size), *IMAGENET), PixelCNN(n, 3, hidden)
    whole = representation()

    def streamed() -> None:
        kept, pixels.KEPT_BYTES = pixels.KEPT_BYTES, 0
        representation._kept = None
        pixel_cnn(representation).sum().backward()
        pixels.KEPT_BYTES = kept

    sides = {
        "conv2d on P": lambda: pixel_cnn(whole).sum().backward(),
        "shifted products, P kept": lambda: pixel_cnn(representation).sum().backward(),
        "shifted products, P streamed": streamed,
    }
    tell(f"Pixel CNN, forward and backward, N = {n} colour at {size} px, K = {hidden}", alternate(sides, rounds))


def forms_against_n(hidden: int, rounds: int) -> None:
    """The direct and the principal form, forward and backward, as the number of images grows."""
    sides = {}
    for n in (500, 5_000, 50_000):
        images = random_images(n, 1, 28)
        for basis in ("pixels", "principal"):
            attention = GlobalAttention(nn.Identity(), images, hidden, (0.5,), (0.25,), basis)
            sides[f"{basis}, N = {n:,}"] = lambda attention=attention: attention.weight_map().sum().backward()
    order = sorted(sides, key=lambda name: name.startswith("pixels"))
    tell(
        f"Map, forward and backward, grey images at 28 px, K = {hidden}",
        alternate({n: sides[n] for n in order}, rounds),
    )


MEMORY = {  # what a process of its own does, by name
    "no map": "",
    "live map, N = 413": "images = random_images(413, 3, 224)",
    "live map, N = 10,000": "images = random_images(10_000, 3, 224)",
}


def peak_memory() -> None:
    """Two training steps of ResNet18 at 224 px, batch 32, K = 32: the largest resident size of the process."""
    print("\nPeak memory of training, ResNet18 at 224 px, batch 32, K = 32, float32")
    for name, images in MEMORY.items():
        code = f"""
import resource, sys; sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
from global_map import *
{images}
network = build_network("resnet18", 5)
network = GlobalAttention(network, images, 32, *IMAGENET) if {bool(images)} else network
step = training_step(network.train(), torch.randn(32, 3, 224, 224))
began = time.perf_counter(); step(); step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, (time.perf_counter() - began) / 2)
"""
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        gigabytes, seconds = map(float, answer.stdout.split())
        print(f"  {name:34s} {gigabytes:9.2f} GB   {seconds:.1f} s a step", flush=True)


def main() -> None:
    """Print every comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=112, help="px of the training step")
    parser.add_argument("--n", type=int, default=413, help="training images, as IDRiD has")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=32, help="K")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    forms_against_n(asked.hidden, asked.rounds)
    pixel_cnn_step(224, asked.n, asked.hidden, asked.rounds)
    live_frozen_none(asked.size, asked.n, asked.batch_size, asked.hidden, asked.rounds)
    peak_memory()


if __name__ == "__main__":
    main()
