"""PPCR: one module beside its memory floor, a training step with it, operations, and rounding."""

import copy
from collections.abc import Sequence

import pandas as pd
import torch
from speed_rows import counted, timed
from torch import Tensor, nn

from medattn.attention import PPCR, attention_sites, compile_attention, insert_attention
from medattn.evaluation import (
    ThreePoolings,
    alternate,
    count_kernels,
    count_operations,
    ppcr_seconds,
)
from medattn.evaluation import training_step as step
from medattn.networks import build_network

METHODS = ("ppcr", "se", "gc", "ca", "sa", "nl")
STAGES = {  # channels and side of ResNet18's four stages, by image size
    28: ((64, 28), (128, 14), (256, 7), (512, 4)),
    224: ((64, 56), (128, 28), (256, 14), (512, 7)),
}


def against_floor(
    size: int = 28,
    batch_size: int = 32,
    rounds: int = 15,
    layouts: Sequence[torch.memory_format] = (torch.channels_last, torch.contiguous_format),
) -> pd.DataFrame:
    """Time PPCR at ResNet18's stages over the memory floor, and three poolings over eager PPCR."""
    tables = []
    for layout in layouts:
        for channels, side in STAGES[size]:
            seconds = ppcr_seconds(channels, side, batch_size, rounds, layout=layout)
            name = str(layout).removeprefix("torch.")
            setting = f"{channels} x {side} x {side} of {size} px, {name}"
            tables.append(timed("PPCR / memory floor", setting, seconds, "floor"))
            what, sides = "three poolings / PPCR without a compiler", ["three poolings", "eager"]
            tables.append(timed(what, setting, seconds[sides], "eager"))
    return pd.concat(tables)


def attended(network: str, name: str, size: int) -> nn.Module:
    """Build a network with attention `name`: "none", a method, or "ppcr, three poolings"."""
    built = build_network(network, 2, size=size)
    if name != "none":
        insert_attention(built, name.partition(",")[0], size)
    if name.endswith("three poolings"):
        for site in attention_sites(built):
            place = built.get_submodule(site.name)
            assert isinstance(place, nn.Sequential)  # a module and its attention
            place[-1] = ThreePoolings(site.channels, site.size)
    return built


def training_step(
    methods: Sequence[str] = METHODS,
    network: str = "resnet18",
    size: int = 28,
    batch_size: int = 32,
    rounds: int = 15,
) -> pd.DataFrame:
    """Time a training step with each attention over one without, as `fit` builds them.

    Modules are compiled if there is a compiler, as in long runs of `fit`. PPCR is also timed
    without one, and with three poolings.
    """
    names = ["none", *methods, "ppcr, eager", "ppcr, three poolings"]
    networks = {name: attended(network, name, size) for name in names}
    for name in methods:
        compile_attention(networks[name])
    images = torch.randn(batch_size, 3, size, size).contiguous(memory_format=torch.channels_last)
    calls = {}
    for name, built in networks.items():
        calls[name] = step(built.to(memory_format=torch.channels_last), images)
    setting = f"{network} at {size} px, batch {batch_size}"
    return timed("training step / plain", setting, alternate(calls, rounds), "none")


def operations(
    methods: Sequence[str] = METHODS, network: str = "resnet18", size: int = 28
) -> pd.DataFrame:
    """Count the operations that a training step launches, over those of the plain network.

    "ppcr, compiled" counts the kernels of the first site and assumes as many at the others.
    """
    images = torch.randn(2, 3, size, size)
    counts = {}
    for name in ("none", *methods, "ppcr, three poolings"):
        n = count_operations(step(attended(network, name, size), images))
        counts["ppcr, eager" if name == "ppcr" else name] = n
    sites = attention_sites(attended(network, "ppcr", size))
    channels, shape = sites[0].channels, sites[0].size
    kernels = count_kernels(PPCR(channels, shape), channels, *shape)
    plain = counts.pop("none")
    counts["ppcr, compiled"] = plain + kernels * len(sites)
    what, setting = "operations / plain", f"{network} at {size} px"
    rows = [
        counted(what, setting, name, n, "none", plain, "operations") for name, n in counts.items()
    ]
    return pd.concat(rows)


@torch.no_grad()
def gate_error(size: int = 28, batch_size: int = 32) -> pd.DataFrame:
    """Compute the largest error of the gate for bf16 features against float64, for normal W.

    The base computes every step in bf16: PPCR without its float32 contexts.
    """
    rows = []
    for channels, side in STAGES[size]:
        module = PPCR(channels, side)
        nn.init.normal_(module.integrate.weight)
        x = torch.randn(batch_size, channels, side, side).bfloat16()
        exact = _gate(copy.deepcopy(module).double(), x.double())
        rounded = _gate(copy.deepcopy(module).bfloat16(), x)
        ours, theirs = (
            (gate.double() - exact).abs().max().item() for gate in (_gate(module, x), rounded)
        )
        setting = f"{channels} x {side} x {side}"
        rows.append(counted("gate error in bf16", setting, "ours", ours, "all in bf16", theirs, ""))
    return pd.concat(rows)


def _gate(module: PPCR, x: Tensor) -> Tensor:
    contexts = module.pool(x).to(module.integrate.weight.dtype)
    return module.integrate(module.norm(contexts))
