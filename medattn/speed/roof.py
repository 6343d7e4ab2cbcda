"""Where the work sits under the machine's roof: arithmetic against the bytes that must be moved for it."""

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from medattn.attention import PPCR, PixelCNN, PixelRepresentation
from medattn.datasets.augment import NORMALISE
from medattn.networks import build_network
from medattn.speed.maps import random_images
from medattn.speed.ppcr import ThreePoolings, both_ways, step
from medattn.timing import alternate

PPCR_OPERATIONS = 6  # a channel and pixel: pooled (1), gated (1); backward: gated, summed (2), spread (2)
FLOAT = 4  # bytes


def roofline_points(batch_size: int = 32, n_images: int = 100, rounds: int = 5) -> pd.DataFrame:
    """Measure some of the work: `name`, `operations`, `bytes` (the fewest it must move), `seconds`; float32, this CPU.

    PPCR forward and backward at ResNet18's first stage at 28 px, a training step of ResNet18, and the step of a pixel
    CNN of `n_images` colour images at 112 px, K = 32.
    """
    x = torch.randn(batch_size, 64, 28, 28).contiguous(memory_format=torch.channels_last)
    fused = PPCR(64, 28)
    fused.compile()
    modules = {"PPCR, compiled": fused, "PPCR, eager": PPCR(64, 28), "PPCR, three poolings": ThreePoolings(64, 28)}
    calls = {name: both_ways(module, x, x) for name, module in modules.items()}
    work = dict.fromkeys(modules, (PPCR_OPERATIONS * x.numel(), 5 * FLOAT * x.numel()))

    network = build_network("resnet18", 2, size=28).to(memory_format=torch.channels_last)
    calls["ResNet18 step"] = step(network, torch.randn(batch_size, 3, 28, 28))
    with FlopCounterMode(display=False) as counter:
        calls["ResNet18 step"]()
    # weights are read twice and their gradients written; feature maps are written, read again going back, and so are
    # their gradients
    moved = 3 * sum(p.numel() for p in network.parameters()) + 3 * _features(
        network, torch.randn(batch_size, 3, 28, 28)
    )
    work["ResNet18 step"] = counter.get_total_flops(), FLOAT * moved

    pixels = PixelRepresentation(random_images(n_images, 3, 112), *NORMALISE["imagenet"])
    cnn = PixelCNN(n_images, 3, 32)
    calls["pixel CNN step"] = lambda: cnn(pixels).sum().backward()
    values = pixels.values.numel()
    work["pixel CNN step"] = 2 * 2 * 9 * 32 * values, 2 * FLOAT * values  # two products; P is read for each

    seconds = alternate(calls, rounds).median()
    return pd.DataFrame(
        [(name, *work[name], seconds[name]) for name in calls], columns=["name", "operations", "bytes", "seconds"]
    )


def _features(network: torch.nn.Module, images: Tensor) -> int:
    """Count the values that the convolutions put out."""
    counts = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return sum(counts)
