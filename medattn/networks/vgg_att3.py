"""VGG-att3: a VGG that classifies by what three of its levels attend to, and by nothing else.

Paper: Jetley, Lord, Lee and Torr, "Learn to Pay Attention", ICLR 2018, section 3: the form "att3,
concatenated, parametrised compatibility". A baseline of global attention (sections 4.3 and 4.6).

Differs from the paper, whose images have 32 px:
- Above 64 px the first two max-pools follow the first two blocks, and do not stand at the end.
- The last feature map is averaged over its positions; at 32 px it has one. There is no dropout.
- A max-pool of an odd side keeps the border (28 px: 14, 7, 4, 2, 1).

In c_i = <u, l_i + g>, <u, g> is equal at all positions, so the softmax removes g. The layers that
only g sees (`VGGAtt3.end`, `project`) get no gradient; they belong to the network compared with.
"""

from functools import partial

import torch
from torch import Tensor, nn

LATE_POOLS_UP_TO = 64  # px
_pool = partial(nn.MaxPool2d, kernel_size=2, ceil_mode=True)


class AttentionEstimator(nn.Module):
    """The attention map of a level: softmax over positions of <u, l_i + g>.

    Shape: local features (N, C, h, w) and g (N, G) -> (N, 1, h, w). g is mapped to C if G is not C.
    """

    def __init__(self, channels: int, global_channels: int):
        super().__init__()
        same = channels == global_channels
        self.project = nn.Identity() if same else nn.Linear(global_channels, channels, bias=False)
        self.u = nn.Conv2d(channels, 1, kernel_size=1, bias=False)

    def forward(self, local_features: Tensor, global_feature: Tensor) -> Tensor:
        """Return the attention map."""
        g = self.project(global_feature)[:, :, None, None]  # (N, C, 1, 1)
        compatibility = self.u(local_features) + self.u(g)  # <u, l_i + g>: (N, 1, h, w)
        return torch.softmax(compatibility.flatten(2), dim=2).view_as(compatibility)


class VGGAtt3(nn.Module):
    """VGG-16's convolutions, attended at layers 7, 10 and 13, and one linear classifier.

    Shape: (N, in_channels, size, size) -> logits (N, n_classes). `size` in pixels decides where the
    first two pools stand. The outputs of `attention` are the maps (N, 1, h, w).
    """

    def __init__(self, n_classes: int, in_channels: int = 3, size: int = 224):
        super().__init__()
        early = [_pool()] if size > LATE_POOLS_UP_TO else []
        self.start = nn.Sequential(_convs(in_channels, 64, 2), *early, _convs(64, 128, 2), *early)
        first, second, third = _convs(128, 256, 3), _convs(256, 512, 3), _convs(512, 512, 3)
        pooled = [nn.Sequential(_pool(), convs) for convs in (second, third)]
        self.levels = nn.ModuleList([first, *pooled])
        self.end = nn.Sequential(
            *(_pool(), _convs(512, 512, 1), _pool(), _convs(512, 512, 1), _pool()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 512), nn.ReLU()),
        )
        self.attention = nn.ModuleList(AttentionEstimator(c, 512) for c in (256, 512, 512))
        self.classify = nn.Linear(256 + 512 + 512, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        x, levels = self.start(images), []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        g = self.end(x)  # (N, 512)
        attended = [
            torch.einsum("nahw,nchw->nc", estimate(features, g), features)  # sum_i a_i l_i: (N, C)
            for estimate, features in zip(self.attention, levels, strict=True)
        ]
        return self.classify(torch.cat(attended, dim=1))


def _convs(in_channels: int, channels: int, n: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in in [in_channels] + [channels] * (n - 1):
        # the norm has the bias; the start is that of torchvision's VGG
        conv = nn.Conv2d(fan_in, channels, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
