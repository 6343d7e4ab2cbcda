"""A network whose answer is known, for maps that explain it."""

import torch
from torch import nn


class Bright(nn.Module):
    """Answers class 1 by the mean brightness of the left half; features are the image."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.features.weight.data = torch.tensor([1.0, -0.5]).view(2, 1, 1, 1)

    def forward(self, x):
        return self.answer(self.features(x))

    def answer(self, features):
        left = features[..., : features.shape[-1] // 2].mean((2, 3))
        return torch.stack([torch.zeros(len(left)), 4 * (left[:, 0] - left[:, 1])], 1)
