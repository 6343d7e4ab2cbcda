"""What PPCR costs: one module against the fewest bytes it could move, a training step with it, operations, rounding.

Paper: PPCR, section 3.4, calls the cost negligible and gives parameters and operations, no time.
"""

import copy
import logging
import os
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from medattn.attention import PPCR, attention_sites, compile_attention, insert_attention
from medattn.networks import build_network
from medattn.speed.rows import counted, ratios
from medattn.timing import alternate

logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of a CUDA toolkit without a GPU

NAIVE = "three poolings / PPCR without a compiler"
STAGES = {28: ((64, 28), (128, 14), (256, 7), (512, 4)), 224: ((64, 56), (128, 28), (256, 14), (512, 7))}


class ThreePoolings(PPCR):
    """PPCR as its equations say it: the channels are read once for each scale (section 3.1, Eqs. 1-2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (N, C, H, W) -> the same."""
        contexts = torch.cat([x.unflatten(1, (s, -1)).mean(2) for s in self.pool.scales], dim=1)
        return self.integrate(self.norm(contexts)) * x


def against_floor(
    size: int = 28,
    batch_size: int = 32,
    rounds: int = 15,
    device: str = "cpu",
    layouts: Sequence[torch.memory_format] = (torch.channels_last, torch.contiguous_format),
) -> pd.DataFrame:
    """Time forward and backward of PPCR at ResNet18's four stages, over the memory floor: rows of `rows.COLUMNS`.

    The floor reads X and writes Y, reads X and the gradient of Y, and writes the gradient of X: a copy and an addition.
    Sides: compiled (what training uses), eager (without a compiler), and three poolings; the last also over eager.
    Raises ValueError for a size whose stages are not in `STAGES`.
    """
    if size not in STAGES:
        raise ValueError(
            f"size={size} must be one of {', '.join(map(str, STAGES))}: ResNet18's stages are known for these"
        )
    return pd.concat(
        _stage_against_floor(channels, side, layout, size, batch_size, rounds, device)
        for layout in layouts
        for channels, side in STAGES[size]
    )


def _stage_against_floor(channels, side, layout, size, batch_size, rounds, device) -> pd.DataFrame:
    x, gradient = (
        torch.randn(batch_size, channels, side, side, device=device).contiguous(memory_format=layout) for _ in range(2)
    )
    modules = {
        "compiled": PPCR(channels, side),
        "eager": PPCR(channels, side),
        "three poolings": ThreePoolings(channels, side),
    }
    modules["compiled"].compile(isolate_recompiles=True)
    y = torch.empty_like(x)

    def floor() -> None:
        y.copy_(x)
        torch.add(gradient, x, out=y)

    sides = {"floor": floor} | {name: both_ways(module.to(device), x, gradient) for name, module in modules.items()}
    setting = f"{channels} x {side} x {side} of {size} px, {str(layout).removeprefix('torch.')}"
    seconds = alternate(sides, rounds, device)
    naive = ratios(NAIVE, setting, seconds[["three poolings", "eager"]], "eager")
    return pd.concat([ratios("PPCR / memory floor", setting, seconds, "floor"), naive])


def both_ways(module: nn.Module, x: Tensor, gradient: Tensor) -> Callable[[], object]:
    """Give a call of a module forward and backward: the gradients of x and of the parameters."""
    wanted = (x.detach().requires_grad_(), *module.parameters())
    return lambda: torch.autograd.grad(module(wanted[0]), wanted, gradient)


def training_step(
    methods: Sequence[str] = ("ppcr", "se", "gc", "ca", "sa", "nl"),
    network: str = "resnet18",
    size: int = 28,
    batch_size: int = 32,
    rounds: int = 15,
    device: str = "cpu",
) -> pd.DataFrame:
    """Time a training step (forward, loss, backward) with each attention over one without, as `fit` builds them.

    All are compiled where there is a compiler, as in a long `fit`; PPCR is also told without one, and by its formula.
    """
    names = ["none", *methods] + (["ppcr, eager", "ppcr, three poolings"] if "ppcr" in methods else [])
    networks = {name: attended(network, name, size).to(device, memory_format=torch.channels_last) for name in names}
    for name in methods:
        compile_attention(networks[name])
    images = torch.randn(batch_size, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    seconds = alternate({name: step(net, images) for name, net in networks.items()}, rounds, device)
    return ratios("training step / plain", f"{network} at {size} px, batch {batch_size}", seconds, "none")


def attended(network: str, name: str, size: int, n_classes: int = 2) -> nn.Module:
    """Build a network with attention `name`: "none", a method, "ppcr, eager", or "ppcr, three poolings" as printed."""
    built = build_network(network, n_classes, size=size)
    method = name.partition(",")[0]
    if method != "none":
        insert_attention(built, method, size)
    if name.endswith("three poolings"):
        for site in attention_sites(built):
            site.module.__class__ = ThreePoolings
    return built


def step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Give a training step without an optimiser: forward, cross-entropy, backward."""
    labels = torch.arange(len(images), device=images.device) % 2
    network.train()

    def call() -> None:
        F.cross_entropy(network(images), labels).backward()
        network.zero_grad()

    return call


def operations(
    methods: Sequence[str] = ("ppcr", "se", "gc", "ca", "sa", "nl"), network: str = "resnet18", size: int = 28
) -> pd.DataFrame:
    """Count the operations that a training step launches, over those of the plain network; on any machine.

    On a GPU each is a kernel, and with a small batch a step waits for their launches. The modules run without a
    compiler; "ppcr, compiled" counts the fused kernels of the first module, and takes as many for each of the others.
    """
    images = torch.randn(2, 3, size, size)
    counts = {}
    for name in ("none", *methods, "ppcr, three poolings"):
        call = step(attended(network, name, size), images)
        with Counting() as counting:
            call()
        counts["ppcr, eager" if name == "ppcr" else name] = counting.operations
    first, *others = attention_sites(attended(network, "ppcr", size))
    fused = fused_kernels(PPCR(first.channels, first.size), first.channels, *first.size)
    counts["ppcr, compiled"] = counts["none"] + fused * (1 + len(others))
    return pd.concat(
        counted("operations / plain", f"{network} at {size} px", name, count, "none", counts["none"], "operations")
        for name, count in counts.items()
        if name != "none"
    )


class Counting(TorchDispatchMode):
    """Counts the operations that do work: no views, no reservations of memory."""

    operations = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.operations += not (operation.is_view or any(word in operation.name() for word in ("empty", "view")))
        return operation(*args, **(kwargs or {}))


def fused_kernels(module: nn.Module, channels: int, height: int, width: int) -> int:
    """Count the kernels that a module, compiled for a CPU, runs forward and backward; its parameters get gradients."""
    x = torch.randn(2, channels, height, width).contiguous(memory_format=torch.channels_last).requires_grad_()
    compiled = torch.compile(module, options={"cpp.enable_kernel_profile": True}, isolate_recompiles=True)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # as in `evaluation.measure`
    for _ in range(2):  # the first compiles
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            torch.autograd.grad(compiled(x), (x, *module.parameters()), torch.ones_like(x))
    return sum("cpp_fused" in event.name for event in profiler.events())


@torch.no_grad()
def gate_error(size: int = 28, batch_size: int = 32) -> pd.DataFrame:
    """Give the largest error of the gate in bf16, against float64, at each of ResNet18's stages, for normal W.

    The base is the formula with every step in bf16: what PPCR would be without its float32 contexts.
    """
    rows = []
    for channels, side in STAGES[size]:
        module = PPCR(channels, side)
        nn.init.normal_(module.integrate.weight)
        x = torch.randn(batch_size, channels, side, side).bfloat16()
        exact = _gate(copy.deepcopy(module).double(), x.double())
        kept, rounded = (
            (_gate(m, x).double() - exact).abs().max().item() for m in (module, copy.deepcopy(module).bfloat16())
        )
        rows.append(
            counted("gate error in bf16", f"{channels} x {side} x {side}", "ours", kept, "all in bf16", rounded, "")
        )
    return pd.concat(rows)


def _gate(module: PPCR, x: Tensor) -> Tensor:
    contexts = module.pool(x).to(module.integrate.weight.dtype)
    return module.integrate(module.norm(contexts))
