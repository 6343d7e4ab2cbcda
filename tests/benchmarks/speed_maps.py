"""A global map: its pixel CNN beside a plain convolution, a training step with it, its two forms.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism", 2020, section 3.2 and Algorithm 1.
The 413 colour images of 224 px are IDRiD's; K = 32 and 128 are two of the paper's four.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import torch
from speed_rows import counted, random_images, timed
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention import GlobalAttention, PixelCNN, PixelRepresentation
from medattn.attention.pixels import KEPT_BYTES
from medattn.evaluation import alternate
from medattn.evaluation.timing import peak_bytes
from medattn.networks import build_network
from medattn.preprocess import NORMALISE

CPU = torch.device("cpu")


def pixel_cnn_step(
    n: int = 413, size: int = 224, hiddens: Sequence[int] = (32, 128), rounds: int = 3
) -> pd.DataFrame:
    """Compare the pixel CNN's forward and weight gradient with a plain convolution of all images.

    The normalised images are kept, or streamed (computed anew from uint8 in chunks). Rows: time,
    the memory beyond weights and uint8 images, and the largest difference of the map.
    """
    images = random_images(n, 3, size)
    kept = PixelRepresentation(images, *NORMALISE["imagenet"], kept_bytes=KEPT_BYTES)
    streamed = PixelRepresentation(images, *NORMALISE["imagenet"], kept_bytes=0)
    pixels = {"direct": kept(), "kept": kept, "streamed": streamed}
    held = {"direct": pixels["direct"].nbytes, "kept": pixels["direct"].nbytes, "streamed": 0}
    tables = []
    for hidden in hiddens:
        cnn = PixelCNN(n, 3, hidden)
        calls = {name: partial(backward, cnn, values) for name, values in pixels.items()}
        setting = f"{n} colour images at {size} px, K = {hidden}, float32"
        seconds = alternate(calls, rounds)
        tables.append(timed("pixel CNN step / direct", setting, seconds, "direct"))
        mb = {name: (held[name] + peak_bytes(call, CPU)) / 1e6 for name, call in calls.items()}
        what = "pixel CNN memory / direct"
        for name in ("kept", "streamed"):
            tables.append(counted(what, setting, name, mb[name], "direct", mb["direct"], "MB"))
        with torch.no_grad():
            moved = (cnn(kept) - cnn(pixels["direct"])).abs().max().item()
        tables.append(counted("pixel CNN, map moved by", setting, "ours", moved, "direct", 1.0, ""))
    return pd.concat(tables)


def backward(cnn: PixelCNN, pixels: Tensor | PixelRepresentation) -> None:
    """Compute the map and the gradients of the pixel CNN's weights."""
    cnn(pixels).sum().backward()


def training_step_with_map(
    n: int = 413,
    size: int = 224,
    batch_size: int = 32,
    hidden: int = 32,
    rounds: int = 5,
    network: str = "resnet18",
) -> pd.DataFrame:
    """Compare a training step with a learned map, and with a fixed one, with one without a map."""
    images, batch = random_images(n, 3, size), torch.randn(batch_size, 3, size, size)
    networks = {
        name: build_network(network, 5, size=size) for name in ("no map", "learned", "fixed")
    }
    for name in ("learned", "fixed"):
        networks[name] = GlobalAttention(networks[name], images, hidden, *NORMALISE["imagenet"])
    networks["fixed"].freeze()
    steps = {name: _step(built.train(), batch) for name, built in networks.items()}
    setting = f"{network} at {size} px, batch {batch_size}; {n} images, K = {hidden}, float32"
    what = "training step with map / without"
    return timed(what, setting, alternate(steps, rounds), "no map")


def _step(network: nn.Module, batch: Tensor) -> Callable[[], None]:
    optimizer, labels = torch.optim.Adam(network.parameters(), 1e-4), torch.arange(len(batch)) % 5

    def step() -> None:
        F.cross_entropy(network(batch), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def step_by_images(
    few: int = 500, many: int = 50_000, size: int = 28, hidden: int = 32, rounds: int = 9
) -> pd.DataFrame:
    """Compare a step of the map, forward and backward, for many images with one for few."""
    tables = []
    for basis in ("principal", "pixels"):
        calls = {}
        for n in (few, many):
            images = random_images(n, 1, size)
            attention = GlobalAttention(nn.Identity(), images, hidden, (0.5,), (0.25,), basis)
            calls[f"{n:,} images"] = partial(_map_backward, attention)
        setting, seconds = (
            f"{basis}, grey images at {size} px, K = {hidden}",
            alternate(calls, rounds),
        )
        tables.append(timed("map step, many images / few", setting, seconds, f"{few:,} images"))
    return pd.concat(tables)


def _map_backward(attention: GlobalAttention) -> None:
    attention.weight_map().sum().backward()
