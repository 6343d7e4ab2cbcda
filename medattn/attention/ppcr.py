"""PPCR: a gate for every pixel, computed from that pixel's own channels at several scales.

Paper: Zhang et al., "PPCR: Learning Pyramid Pixel Context Recalibration Module for Medical Image
Classification", 2023, section 3, Eqs. (1)-(7). The options are those of Tables 3, 4 and 5.

Differs from the paper:
- The finest scale is pooled from the channels, and coarser scales are averages of its averages.
- From the contexts to the gate, all is float32 or finer, also in half precision: PN divides small
  differences of means, and rounding the means to bf16 can move the gate by more than 0.1.
- The normalisations of Table 4 have no learned scale and shift: the paper names none for PN.
"""

from collections.abc import Callable
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from medattn.preprocess import Size, height_width

# An orthonormal basis (3, 7) of the normalised contexts of scales (1, 2, 4): half against half,
# then quarter against quarter within each half.
_HALVES = [[0, 1, -1, 1, 1, -1, -1], [0, 0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 0, 1, -1]]
PYRAMID_AXES = F.normalize(torch.tensor(_HALVES, dtype=torch.float64))


class CrossChannelPyramidPooling(nn.Module):
    """The mean of each pixel's channels in 1, 2, 4, ... contiguous groups (section 3.1, Eqs. 1-2).

    Shape: (N, C, H, W) -> (N, D, H, W) with D = sum(scales), in float32 or finer.
    Raises ValueError if the scales do not divide the finest one, or if that does not divide C.
    """

    def __init__(self, channels: int, scales: tuple[int, ...] = (1, 2, 4)):
        super().__init__()
        scales = tuple(scales) if isinstance(scales, list | tuple) else (scales,)
        finest, different = max(scales, default=0), len({*scales}) == len(scales)
        whole = all(isinstance(n, Integral) and n > 0 for n in (channels, finest, *scales))
        if not (whole and different) or channels % finest or any(finest % s for s in scales):
            raise ValueError(
                f"channels={channels!r} and scales={scales} do not fit: the largest scale must "
                "divide the channels, and every scale the largest. Scales are different whole "
                "numbers, and all numbers are 1 or more"
            )
        self.channels, self.scales, self.finest = channels, scales, finest
        self.n_contexts = sum(scales)  # D

    def forward(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        fine = x.unflatten(1, (self.finest, -1)).mean(2, dtype=dtype)  # Eq. (2): (N, finest, H, W)
        contexts = [
            fine if scale == self.finest else fine.unflatten(1, (scale, -1)).mean(2)
            for scale in self.scales
        ]
        return torch.cat(contexts, dim=1)  # Eq. (1)


class PixelNorm(nn.Module):
    """The normalisation of each pixel's contexts (section 3.2, Eqs. 3-4).

    Shape: (N, D, H, W) -> (N, D, H, W). Over D the output has mean 0, and variance 1 up to `eps`.
    """

    def __init__(self, eps: float = 1e-5):
        super().__init__()
        self.eps = eps  # xi of Eq. (4), inside the root

    def forward(self, contexts: Tensor) -> Tensor:
        # Eq. (4): (N, 1, H, W) each; the variance is the biased one
        variance, mean = torch.var_mean(contexts, dim=1, correction=0, keepdim=True)
        return (contexts - mean) * torch.rsqrt(variance + self.eps)  # Eq. (3)


class PixelContextIntegration(nn.Module):
    """The gate of each pixel: its contexts, weighted by its own W (section 3.3, Eqs. 5-6).

    Shape: (N, D, H, W) -> (N, 1, H, W), in 0..1. `init` is the start value of W (D, H, W).
    """

    def __init__(self, n_contexts: int, size: Size, init: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_contexts, *height_width(size)), float(init)))  # W

    def forward(self, contexts: Tensor) -> Tensor:
        z = (self.weight * contexts).sum(1, keepdim=True)  # Eq. (6): (N, 1, H, W)
        return torch.sigmoid(z)  # Eq. (5)


# Table 4, by the number of contexts D and eps; each keeps (N, D, H, W)
NORMALISATIONS: dict[str, Callable[[int, float], nn.Module]] = {
    "none": lambda d, eps: nn.Identity(),
    "batch": lambda d, eps: nn.BatchNorm2d(d, eps, affine=False),  # over N, H, W
    "instance": lambda d, eps: nn.GroupNorm(d, d, eps, affine=False),  # over H, W
    "layer": lambda d, eps: nn.GroupNorm(1, d, eps, affine=False),  # over D, H, W
    "pixel": lambda d, eps: PixelNorm(eps),  # over D: the paper's
}


class PPCR(nn.Module):
    """Pyramid pixel context recalibration: pool, normalise, integrate, gate (section 3, Eqs. 1-7).

    Shape: (N, C, H, W) -> (N, C, H, W). `size` is the feature map's side or (H, W), as W has one
    weight per context and pixel. `norm` is a key of `NORMALISATIONS` (Table 4), `init` the start
    value of W (Table 5). `gain`, ours, multiplies the gate: with 2 it is 1 where W is 0, and the
    module starts as the identity. Raises ValueError for features of another shape.
    """

    def __init__(
        self,
        channels: int,
        size: Size,
        scales: tuple[int, ...] = (1, 2, 4),
        norm: str = "pixel",
        init: float = 0.0,
        eps: float = 1e-5,
        gain: float = 1.0,
    ):
        super().__init__()
        if norm not in NORMALISATIONS:
            raise ValueError(f"norm={norm!r} is unknown; there are {', '.join(NORMALISATIONS)}")
        if not eps >= 0:
            raise ValueError(f"eps={eps} must be 0 or more")
        if not gain > 0:
            raise ValueError(f"gain={gain} must be above 0: 1 as printed, 2 for a start at 1")
        self.channels, self.size, self.gain = channels, height_width(size), gain
        self.pool = CrossChannelPyramidPooling(channels, scales)
        self.norm = NORMALISATIONS[norm](self.pool.n_contexts, eps)
        self.integrate = PixelContextIntegration(self.pool.n_contexts, self.size, init)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.channels, *self.size) or not x.is_floating_point():
            raise ValueError(
                f"PPCR takes floats (N, {self.channels}, {self.size[0]}, {self.size[1]}) and got "
                f"{x.dtype} {tuple(x.shape)}. For another size call resize_weights(size), or "
                "resize_attention(network, size) for a whole network"
            )
        device = "cpu" if x.is_meta else x.device.type  # autocast knows no meta device
        with torch.autocast(device, enabled=False):  # float32 from the contexts to the gate
            gate = self.integrate(self.norm(self.pool(x)))  # G: (N, 1, H, W)
            gate = gate if self.gain == 1 else self.gain * gate
        return gate.to(x.dtype) * x  # Eq. (7)

    @torch.no_grad()
    def resize_weights(self, size: Size) -> None:
        """Resample W bilinearly to another feature-map size, as the same parameter.

        Build an optimiser with momentum afterwards. Raises ValueError for a W with a prior map.
        """
        if parametrize.is_parametrized(self.integrate):
            raise ValueError(f"W has a prior map of {self.size}: build the network for {size}")
        self.size = height_width(size)
        weight = self.integrate.weight
        resampled = F.interpolate(weight[None], self.size, mode="bilinear", antialias=True)
        weight.grad, weight.data = None, resampled[0]
