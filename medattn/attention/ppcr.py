"""PPCR: every pixel is weighted by what its own channels say at several scales, and by nothing else.

Paper: Zhang et al., "PPCR: Learning Pyramid Pixel Context Recalibration Module for Medical Image
Classification", 2023, section 3, Eqs. (1)-(7); the options are those of Tables 3, 4 and 5.

Differs from the paper:
- The finest scale is pooled from the channels once; scales that divide it are averages of its averages,
  which is the same number by fewer reads.
- Contexts, statistics and gate are computed and kept in float32 when the network runs in half precision:
  the normalisation divides a small difference of means by its own size, and rounding the means to bf16 on the
  way can move the gate by more than 0.1.
- The normalisations of Table 4 carry no learned scale and shift: the paper names none for PN, and W follows.
"""

from operator import index

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

Size = int | tuple[int, int]

# half against half, and quarter against quarter within each half: an orthonormal basis of what PN lets through of the
# contexts of scales (1, 2, 4)
PYRAMID_AXES = torch.tensor([[0, 1, -1, 1, 1, -1, -1], [0, 0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 0, 1, -1]])
PYRAMID_AXES = PYRAMID_AXES / PYRAMID_AXES.double().norm(dim=1, keepdim=True)


def height_width(size: Size) -> tuple[int, int]:
    """Give (H, W) of a size said as a square's side or as (H, W), in pixels."""
    try:
        pair = tuple(map(index, size)) if isinstance(size, list | tuple) else (index(size),) * 2
    except TypeError:  # of another kind
        pair = ()
    if len(pair) != 2 or min(pair) < 1 or isinstance(size, bool):
        raise ValueError(f"size={size!r} is neither a side nor (H, W) in whole pixels, 1 or more")
    return pair


class CrossChannelPyramidPooling(nn.Module):
    """Average each pixel's channels over 1, 2, 4, ... contiguous groups (section 3.1, Eqs. 1-2).

    Shape: (N, C, H, W) -> (N, D, H, W) with D = sum(scales), in float32 or finer.
    Raises ValueError where a scale does not divide the channels.
    """

    def __init__(self, channels: int, scales: tuple[int, ...] = (1, 2, 4)):
        super().__init__()
        scales = tuple(scales) if isinstance(scales, list | tuple) else (scales,)
        if isinstance(channels, bool) or not hasattr(channels, "__index__") or channels < 1:
            raise ValueError(f"channels={channels!r} must be a whole number, 1 or more")
        if not scales or any(not isinstance(s, int) or s < 1 for s in scales) or len(set(scales)) < len(scales):
            raise ValueError(f"scales={scales} must be different whole numbers of groups, 1 or more each")
        finest = max(scales)
        for scale in (finest, *scales):
            if channels % scale:
                which = ", the finest" if scale == finest else ", one"
                raise ValueError(f"channels={channels} is not divisible by {scale}{which} of scales {scales}")
        self.channels, self.scales, self.finest = channels, scales, finest
        self.n_contexts = sum(scales)  # D

    def forward(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        fine = x.unflatten(1, (self.finest, -1)).mean(2, dtype=dtype)  # Eq. (2): (N, finest, H, W)
        contexts = []
        for scale in self.scales:
            if scale == self.finest:
                contexts.append(fine)
            elif self.finest % scale == 0:  # nested: an average of averages
                contexts.append(fine.unflatten(1, (scale, -1)).mean(2))
            else:
                contexts.append(x.unflatten(1, (scale, -1)).mean(2, dtype=dtype))
        return torch.cat(contexts, dim=1)  # Eq. (1)

    def extra_repr(self) -> str:
        return f"{self.channels}, scales={self.scales}"


class PixelNorm(nn.Module):
    """Standardise the contexts of every pixel position (section 3.2, Eqs. 3-4).

    Shape: (N, D, H, W) -> (N, D, H, W). Over D the output has mean 0, and variance 1 up to `eps`.
    """

    def __init__(self, eps: float = 1e-5):
        super().__init__()
        self.eps = eps  # xi of Eq. (4), inside the root

    def forward(self, contexts: Tensor) -> Tensor:
        # Eq. (4): (N, 1, H, W) each; the variance is the biased one
        variance, mean = torch.var_mean(contexts, dim=1, correction=0, keepdim=True)
        return (contexts - mean) * torch.rsqrt(variance + self.eps)  # Eq. (3)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


class PixelContextIntegration(nn.Module):
    """Weigh the contexts of every pixel position by weights of its own and squash the sum (section 3.3, Eqs. 5-6).

    Shape: (N, D, H, W) -> (N, 1, H, W), in 0..1. `init` is the start value of W (D, H, W).
    """

    def __init__(self, n_contexts: int, size: Size, init: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_contexts, *height_width(size)), float(init)))  # W

    def forward(self, contexts: Tensor) -> Tensor:
        z = (self.weight * contexts).sum(1, keepdim=True)  # Eq. (6): (N, 1, H, W)
        return torch.sigmoid(z)  # Eq. (5)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, size={tuple(self.weight.shape[1:])}"


NORMALISATIONS = {  # Table 4, by the number of contexts D; each keeps (N, D, H, W)
    "none": lambda d, eps: nn.Identity(),
    "batch": lambda d, eps: nn.BatchNorm2d(d, eps, affine=False),  # over N, H, W
    "instance": lambda d, eps: nn.GroupNorm(d, d, eps, affine=False),  # over H, W
    "layer": lambda d, eps: nn.GroupNorm(1, d, eps, affine=False),  # over D, H, W
    "pixel": lambda d, eps: PixelNorm(eps),  # over D: the paper's
}


class PPCR(nn.Module):
    """Pyramid pixel context recalibration: pool, normalise, integrate, gate (section 3, Eqs. 1-7).

    Shape: (N, C, H, W) -> (N, C, H, W); `size` is the feature map's side or (H, W), as W has one weight per
    context and pixel. `norm` is a key of `NORMALISATIONS` (Table 4), `init` the start value of W (Table 5).
    Raises ValueError for channels that the scales do not divide, and for inputs of another shape than declared.
    """

    def __init__(
        self,
        channels: int,
        size: Size,
        scales: tuple[int, ...] = (1, 2, 4),
        norm: str = "pixel",
        init: float = 0.0,
        eps: float = 1e-5,
    ):
        super().__init__()
        if norm not in NORMALISATIONS:
            raise ValueError(f"norm={norm!r} is unknown; there are {', '.join(NORMALISATIONS)}")
        if not eps >= 0:
            raise ValueError(f"eps={eps} must be 0 or more")
        self.channels, self.size = channels, height_width(size)
        self.pool = CrossChannelPyramidPooling(channels, scales)
        self.norm = NORMALISATIONS[norm](self.pool.n_contexts, eps)
        self.integrate = PixelContextIntegration(self.pool.n_contexts, self.size, init)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.channels, *self.size) or not x.is_floating_point():
            raise ValueError(self._misfit(x))
        device = "cpu" if x.is_meta else x.device.type  # autocast knows no meta device
        with torch.autocast(device, enabled=False):  # float32 from the contexts to the gate
            gate = self.integrate(self.norm(self.pool(x)))  # G: (N, 1, H, W)
        return gate.to(x.dtype) * x  # Eq. (7)

    def _misfit(self, x: Tensor) -> str:
        declared = f"PPCR was declared for (N, {self.channels}, {self.size[0]}, {self.size[1]}) and was given "
        if not x.is_floating_point():
            return f"PPCR takes features in floating point and was given {x.dtype} {tuple(x.shape)}"
        if x.ndim != 4:
            return f"{declared}{tuple(x.shape)}: a batch of feature maps has four dimensions"
        if x.shape[1] != self.channels:
            return f"{declared}{tuple(x.shape)}: build it for {x.shape[1]} channels"
        return (
            f"{declared}{tuple(x.shape)}; its weights belong to pixel positions: build it for the other size, or call "
            "resize_weights(size); for a whole network resize_attention(network, size)"
        )

    @torch.no_grad()
    def resize_weights(self, size: Size) -> None:
        """Resample W bilinearly to another feature-map size, in place; the module then takes that size.

        W stays the parameter that it is, in an optimiser too; a momentum kept there is of the old size, so build the
        optimiser afterwards. Raises ValueError for a W that a prior map multiplies.
        """
        if parametrize.is_parametrized(self.integrate):
            raise ValueError(
                f"W is multiplied by a prior map of {self.size}: build the network for the other size, then set_prior"
            )
        self.size = height_width(size)
        weight = self.integrate.weight
        resampled = F.interpolate(weight[None], self.size, mode="bilinear", align_corners=False, antialias=True)
        weight.grad, weight.data = None, resampled[0]
