"""What a global map costs: the pixel CNN's step against a plain convolution, a training step under it, its two forms.

Paper: Xu et al., "A Novel Global Spatial Attention Mechanism", 2020, section 3.2 and Algorithm 1; 413 colour images of
224 px are IDRiD's, K = 32 and 128 two of the paper's four.
"""

from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medattn.attention import GlobalAttention, PixelCNN, PixelRepresentation
from medattn.attention.pixels import KEPT_BYTES
from medattn.datasets.augment import NORMALISE
from medattn.evaluation.measure import peak_bytes
from medattn.networks import build_network
from medattn.speed.rows import counted, ratios
from medattn.timing import alternate


def random_images(n: int, channels: int, size: int) -> Tensor:
    """Give (n, channels, size, size) of uint8: speed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)


def pixel_cnn_step(
    n: int = 413, size: int = 224, hiddens: tuple[int, ...] = (32, 128), rounds: int = 3, bf16: bool = False
) -> pd.DataFrame:
    """Compare forward and weight gradient of the pixel CNN with a plain convolution of all images in float32.

    Sides: ours with the normalised images kept, and streamed (made anew from uint8, some at a time). Rows: time, the
    memory beyond weights and uint8 images, and the largest difference of the map.
    """
    images = random_images(n, 3, size)
    kept, streamed = (PixelRepresentation(images, *NORMALISE["imagenet"], kept_bytes=b) for b in (KEPT_BYTES, 0))
    whole = kept()
    tables = []
    for hidden in hiddens:
        cnn = PixelCNN(n, 3, hidden)
        calls = {
            "direct": lambda cnn=cnn: cnn(whole).sum().backward(),
            "kept": lambda cnn=cnn: _mapped(cnn, kept, bf16).sum().backward(),
            "streamed": lambda cnn=cnn: _mapped(cnn, streamed, bf16).sum().backward(),
        }
        setting = f"{n} colour images at {size} px, K = {hidden}, {'bf16' if bf16 else 'float32'}"
        tables.append(ratios("pixel CNN step / direct", setting, alternate(calls, rounds), "direct"))
        held = {"direct": whole.nbytes, "kept": whole.nbytes, "streamed": 0}  # the normalised images
        memory = {name: (held[name] + peak_bytes(call, images.device)) / 1e6 for name, call in calls.items()}
        tables += [
            counted("pixel CNN memory / direct", setting, name, value, "direct", memory["direct"], "MB")
            for name, value in memory.items()
            if name != "direct"
        ]
        with torch.no_grad():
            moved = (_mapped(cnn, kept, bf16) - cnn(whole)).abs().max().item()
        tables.append(counted("pixel CNN, map moved by", setting, "ours", moved, "direct", 1.0, ""))
    return pd.concat(tables)


def _mapped(cnn: PixelCNN, representation: PixelRepresentation, bf16: bool) -> Tensor:
    with torch.autocast(representation.values.device.type, torch.bfloat16, enabled=bf16):
        return cnn(representation)


def training_step_under_map(
    n: int = 413, size: int = 224, batch_size: int = 32, hidden: int = 32, rounds: int = 5, network: str = "resnet18"
) -> pd.DataFrame:
    """Compare a training step under a map that is learned, and one that is fixed, with one without a map."""
    images, batch = random_images(n, 3, size), torch.randn(batch_size, 3, size, size)
    networks = {"no map": build_network(network, 5, size=size)}
    for name in ("learned", "fixed"):
        built = build_network(network, 5, size=size)
        networks[name] = GlobalAttention(built, images, hidden, *NORMALISE["imagenet"])
    networks["fixed"].freeze()
    steps = {name: _step(net.train(), batch) for name, net in networks.items()}
    setting = f"{network} at {size} px, batch {batch_size}; {n} images, K = {hidden}, float32"
    return ratios("training step with map / without", setting, alternate(steps, rounds), "no map")


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
    """Compare the map's step, forward and backward, from many images with that from few: a row of `COLUMNS` a form."""
    tables = []
    for basis in ("principal", "pixels"):
        calls = {}
        for n in (few, many):
            attention = GlobalAttention(nn.Identity(), random_images(n, 1, size), hidden, (0.5,), (0.25,), basis)
            calls[f"{n:,} images"] = lambda attention=attention: attention.weight_map().sum().backward()
        setting = f"{basis}, grey images at {size} px, K = {hidden}"
        tables.append(ratios("map step, many images / few", setting, alternate(calls, rounds), f"{few:,} images"))
    return pd.concat(tables)
