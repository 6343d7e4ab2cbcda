"""The seven methods that PPCR is compared with, in the configurations that give the paper's parameter counts.

Paper: PPCR, section 4.1 and Tables 1, 2 and 6, names the methods and not their settings. The settings here are those
that reproduce the printed Params: SE (Hu et al., 2018), SPA (Guo et al., "SPANet", 2020), CA (Hou et al.,
"Coordinate attention", 2021), SA (the spatial gate of Woo et al., "CBAM", 2018), NL (position attention of Fu et
al., "Dual attention network", 2019, after Wang et al., "Non-local", 2018), GC (Cao et al., "GCNet", 2019), EA (Guo
et al., "External attention", 2022).

SE, CA, SA and GC are torchvision's and timm's own modules. SPA, NL and EA, of which no well-kept library has this
form, are written here. All map (N, C, H, W) to (N, C, H, W).

Differs from the papers: NL and EA stand between a block's last normalisation and its shortcut, as PPCR does, not
behind whole stages. EA has neither the convolutions around it nor a skip of its own: the printed Params leave no room
for the former, and a block has its shortcut for the latter.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def reduced(channels: int, reduction: int) -> int:
    """Give the width of a bottleneck, `channels` // `reduction`; ValueError where nothing would be left."""
    if not isinstance(reduction, int) or reduction < 1 or channels < reduction:
        raise ValueError(f"reduction={reduction!r} must be a whole number from 1 to channels={channels}")
    return channels // reduction


def squeeze_excitation(channels: int, reduction: int = 16) -> nn.Module:
    """SE: one weight a channel, from the channels' means through a bottleneck with biases."""
    from torchvision.ops import SqueezeExcitation

    return SqueezeExcitation(channels, reduced(channels, reduction))


def coordinate_attention(channels: int, reduction: int = 16) -> nn.Module:
    """CA: a gate along the rows times a gate along the columns, for every channel; convolutions with biases."""
    from timm.layers.coord_attn import CoordAttn

    return CoordAttn(channels, rd_channels=max(8, reduced(channels, reduction)), bias=True)


def spatial_gate(channels: int, kernel_size: int = 7) -> nn.Module:
    """SA: CBAM's spatial gate, from the mean and the maximum over channels; any number of channels."""
    from timm.layers.cbam import SpatialAttn

    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size} must be odd, so that the gate has the image's size")
    return SpatialAttn(kernel_size)


def global_context(channels: int, reduction: int = 8) -> nn.Module:
    """GC: one softmax mask pools the whole image into a context, which is added at every position."""
    from timm.layers import GlobalContext

    return GlobalContext(channels, rd_channels=reduced(channels, reduction), fuse_add=True, fuse_scale=False)


class SpatialPyramidAttention(nn.Module):
    """SPA: SE whose squeeze is a spatial pyramid of `pools`, 1 + 4 + 16 means a channel (SPANet, section 3)."""

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
    """NL: every position gathers the values of all positions, as alike as they are (DANet, Eqs. 1-2).

    Output: x + gamma * values, with gamma learned from 0, so that the module starts as the identity.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.query = nn.Conv2d(channels, reduced(channels, reduction), kernel_size=1)
        self.key = nn.Conv2d(channels, reduced(channels, reduction), kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.attend = nn.Softmax(dim=2)  # over keys
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (project(x).flatten(2) for project in (self.query, self.key, self.value))
        attention = self.attend(query.transpose(1, 2) @ key)  # (N, queries, keys), HW each; not scaled, as in DANet
        gathered = value @ attention.transpose(1, 2)  # (N, C, HW)
        return x + self.gamma * gathered.view_as(x)


class DoubleNorm(nn.Module):
    """EA's normalisation: softmax over the positions, then each position's memories sum to 1 (EA, Eq. 6).

    Shape: (N, S, H, W) -> (N, S, H, W).
    """

    def forward(self, likeness: Tensor) -> Tensor:
        attention = likeness.flatten(2).softmax(2).view_as(likeness)
        return attention / (attention.sum(1, keepdim=True) + 1e-9)


class ExternalAttention(nn.Module):
    """EA: every position is replaced by a mixture of `memories` learned vectors (EA, Eqs. 4-6)."""

    def __init__(self, channels: int, memories: int = 64):
        super().__init__()
        self.keys = nn.Conv2d(channels, memories, kernel_size=1, bias=False)  # M_k
        self.norm = DoubleNorm()
        self.values = nn.Conv2d(memories, channels, kernel_size=1, bias=False)  # M_v

    def forward(self, x: Tensor) -> Tensor:
        return self.values(self.norm(self.keys(x)))
