"""PPCR beside its memory floor: the time to move the bytes that no implementation can save.

Paper: PPCR, section 3.4, calls the cost negligible and prints no time.
"""

import pandas as pd
import torch
from torch import Tensor

from medattn.attention import PPCR
from medattn.evaluation.timing import alternate, compile_quietly, forward_backward


class ThreePoolings(PPCR):
    """PPCR as its equations are printed: the channels are averaged once per scale (Eqs. 1-2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated feature map, (N, C, H, W) -> (N, C, H, W)."""
        contexts = torch.cat([x.unflatten(1, (s, -1)).mean(2) for s in self.pool.scales], dim=1)
        return self.integrate(self.norm(contexts)) * x


def ppcr_seconds(
    channels: int,
    side: int,
    batch_size: int = 32,
    rounds: int = 15,
    device: str = "cpu",
    layout: torch.memory_format = torch.channels_last,
) -> pd.DataFrame:
    """Time PPCR and its memory floor in turn, forward and backward on (N, channels, side, side).

    Columns, in seconds: "floor", "compiled", "eager" (without a compiler) and "three poolings". The
    floor reads X and writes Y; it reads X and the gradient of Y and writes the gradient of X. It is
    timed as a copy and an addition.
    """
    shape = batch_size, channels, side, side
    x, gradient = (torch.randn(shape, device=device).contiguous(memory_format=layout) for _ in "xg")
    y = torch.empty_like(x)

    def floor() -> None:
        y.copy_(x)
        torch.add(gradient, x, out=y)

    kinds = {"compiled": PPCR, "eager": PPCR, "three poolings": ThreePoolings}
    modules = {name: kind(channels, side) for name, kind in kinds.items()}
    compile_quietly(modules["compiled"])
    calls = {name: forward_backward(m.to(device), x, gradient) for name, m in modules.items()}
    return alternate({"floor": floor} | calls, rounds, device)
