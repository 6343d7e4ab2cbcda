"""The seven methods that PPCR is compared with; all map (N, C, H, W) to (N, C, H, W).

Paper: PPCR, section 4.1 and Tables 1, 2 and 6, names no settings; those here reproduce the printed
Params: SE (Hu et al., 2018), SPA (Guo et al., "SPANet", 2020), CA (Hou et al., "Coordinate
attention", 2021), SA (the spatial gate of Woo et al., "CBAM", 2018), NL (position attention of Fu
et al., "Dual attention network", 2019), GC (Cao et al., "GCNet", 2019), EA (Guo et al., "External
attention", 2022). SE, CA, SA and GC are modules of torchvision and timm.

Differs from the papers: NL and EA stand before a block's shortcut, as PPCR does, not behind whole
stages. EA has neither the convolutions around it, for which the printed Params leave no room, nor
its own skip, as the block has a shortcut.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def reduced(channels: int, reduction: int) -> int:
    """Return the width of a bottleneck, `channels` // `reduction`; raise ValueError if it is 0."""
    if isinstance(reduction, int) and 1 <= reduction <= channels:
        return channels // reduction
    raise ValueError(f"reduction={reduction!r} must be a whole number, 1 to channels={channels}")


def squeeze_excitation(channels: int, reduction: int = 16) -> nn.Module:
    """Build SE: one weight per channel, from the channels' means through a bottleneck."""
    from torchvision.ops import SqueezeExcitation

    return SqueezeExcitation(channels, reduced(channels, reduction))


def coordinate_attention(channels: int, reduction: int = 16) -> nn.Module:
    """Build CA: for every channel, a gate along the rows times a gate along the columns."""
    from timm.layers.coord_attn import CoordAttn

    return CoordAttn(channels, rd_channels=max(8, reduced(channels, reduction)), bias=True)


def spatial_gate(channels: int, kernel_size: int = 7) -> nn.Module:
    """Build SA: CBAM's spatial gate, from the mean and the maximum over any number of channels."""
    from timm.layers.cbam import SpatialAttn

    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size} must be odd, so that the gate keeps its size")
    return SpatialAttn(kernel_size)


def global_context(channels: int, reduction: int = 8) -> nn.Module:
    """Build GC: a softmax mask pools the image into one context, added at every position."""
    from timm.layers import GlobalContext

    width = reduced(channels, reduction)
    return GlobalContext(channels, rd_channels=width, fuse_add=True, fuse_scale=False)


class SpatialPyramidAttention(nn.Module):
    """SPA: SE whose squeeze is a spatial pyramid of 1 + 4 + 16 means per channel (SPANet, 3)."""

    def __init__(self, channels: int, reduction: int = 16, pools: tuple[int, ...] = (1, 2, 4)):
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(pool) for pool in pools)
        hidden, n_means = reduced(channels, reduction), sum(pool**2 for pool in pools)
        self.squeeze = nn.Linear(n_means * channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pyramid = torch.cat([pool(x).flatten(1) for pool in self.pools], dim=1)  # (N, 21 C)
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(pyramid))))  # (N, C)
        return weights[:, :, None, None] * x


class NonLocal(nn.Module):
    """NL: every position gathers the values of all, by similarity (DANet, Eqs. 1-2)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.query = nn.Conv2d(channels, reduced(channels, reduction), kernel_size=1)
        self.key = nn.Conv2d(channels, reduced(channels, reduction), kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.attend = nn.Softmax(dim=2)  # over keys
        self.gamma = nn.Parameter(torch.zeros(1))  # the module starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        attention = self.attend(
            query.transpose(1, 2) @ key
        )  # (N, queries, keys), HW each; unscaled
        gathered = value @ attention.transpose(1, 2)  # (N, C, HW)
        return x + self.gamma * gathered.view_as(x)


class DoubleNorm(nn.Module):
    """EA's normalisation (Eq. 6): softmax over positions, then a sum of 1 over S."""

    def forward(self, similarity: Tensor) -> Tensor:
        attention = similarity.flatten(2).softmax(2).view_as(similarity)
        return attention / (attention.sum(1, keepdim=True) + 1e-9)


class ExternalAttention(nn.Module):
    """EA: every position becomes a mixture of `memories` learned vectors (EA, Eqs. 4-6)."""

    def __init__(self, channels: int, memories: int = 64):
        super().__init__()
        self.keys = nn.Conv2d(channels, memories, kernel_size=1, bias=False)  # M_k
        self.norm = DoubleNorm()
        self.values = nn.Conv2d(memories, channels, kernel_size=1, bias=False)  # M_v

    def forward(self, x: Tensor) -> Tensor:
        return self.values(self.norm(self.keys(x)))
