"""VGG-att3: a VGG that classifies by what three of its levels attend to, and by nothing else.

Paper: Jetley, Lord, Lee and Torr, "Learn to Pay Attention", ICLR 2018, section 3: the "att3, concatenated,
parametrised compatibility" form. A baseline of the global attention paper (sections 4.3 and 4.6), where it is
trained from scratch. Written from the paper; no line is from the code that the global attention paper used.

Differs from the paper:
- The paper's images have 32 px; there and up to 64 px the first two max-pools stand at the end, as in the paper.
  Larger images are pooled after the first two blocks, as in any VGG: at 224 px the levels then are 56, 28 and 14 px
  wide and not 224, 112 and 56, for a sixteenth of the cost.
- What is left at the end is averaged over its positions; at 32 px that is one position, and nothing changes.
- A max-pool of an odd side keeps the border (28 px: 14, 7, 4, 2, 1); even sides are as in the paper.
- No dropout.

The parametrised compatibility c_i = <u, l_i + g> is <u, l_i> plus the same number <u, g> at every position, and the
softmax over positions takes that number out again. So g decides nothing, and the layers that only g sees
(`VGGAtt3.end`, `project`) have a gradient of zero up to rounding. It is kept, because it is the network that was
compared, and said here, because the paper does not.
"""

import torch
from torch import Tensor, nn

LATE_POOLS_UP_TO = 64  # px


class AttentionEstimator(nn.Module):
    """Say where a level should look, given the whole image's feature: softmax over positions of <u, l_i + g>.

    Shape: local features (N, C, h, w) and g (N, G) -> (N, 1, h, w), which sums to 1 over the positions.
    g is mapped to the level's C channels where G is not C.
    """

    def __init__(self, channels: int, global_channels: int):
        super().__init__()
        same = channels == global_channels
        self.project = nn.Identity() if same else nn.Linear(global_channels, channels, bias=False)
        self.u = nn.Conv2d(channels, 1, kernel_size=1, bias=False)

    def forward(self, local_features: Tensor, global_feature: Tensor) -> Tensor:
        """Give the attention map; the shapes stand above."""
        g = self.project(global_feature)[:, :, None, None]  # (N, C, 1, 1)
        compatibility = self.u(local_features) + self.u(g)  # <u, l_i + g>: (N, 1, h, w)
        return torch.softmax(compatibility.flatten(2), dim=2).view_as(compatibility)


class VGGAtt3(nn.Module):
    """VGG-16's convolutions, attended at the last three levels (layers 7, 10 and 13), and one linear classifier.

    Shape: (N, in_channels, size, size) -> logits (N, n_classes). `size` in pixels sets where the first two pools
    stand; other sizes run too. The maps (N, 1, h, w) are the outputs of `attention[0]`, `[1]` and `[2]`, for a hook.
    """

    def __init__(self, n_classes: int, in_channels: int = 3, size: int = 224):
        super().__init__()
        early = [_pool()] if size > LATE_POOLS_UP_TO else []
        self.start = nn.Sequential(_convs(in_channels, 64, 2), *early, _convs(64, 128, 2), *early)
        self.levels = nn.ModuleList(
            [
                _convs(128, 256, 3),
                nn.Sequential(_pool(), _convs(256, 512, 3)),
                nn.Sequential(_pool(), _convs(512, 512, 3)),
            ]
        )
        self.end = nn.Sequential(
            *(_pool(), _convs(512, 512, 1), _pool(), _convs(512, 512, 1), _pool()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 512), nn.ReLU()),
        )
        widths = (256, 512, 512)
        self.attention = nn.ModuleList(AttentionEstimator(width, 512) for width in widths)
        self.classify = nn.Linear(sum(widths), n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits; the shapes stand above."""
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


def _pool() -> nn.Module:
    return nn.MaxPool2d(kernel_size=2, ceil_mode=True)


def _convs(in_channels: int, channels: int, n: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in in [in_channels] + [channels] * (n - 1):
        conv = nn.Conv2d(fan_in, channels, kernel_size=3, padding=1, bias=False)  # the norm has the bias
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's VGG
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
