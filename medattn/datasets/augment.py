"""Augmentation as batched, seeded tensor code on the training device."""

import torch
from torch import Tensor

NORMALISE = {  # mean and deviation per channel, of values in 0..1
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # MedMNIST's
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def to_float(images: Tensor, normalise: str) -> Tensor:
    """Scale uint8 (N, C, H, W) to float32 in 0..1 and standardise it; grey images take the mean of three channels."""
    mean, std = (torch.tensor(values, device=images.device) for values in NORMALISE[normalise])
    if images.shape[1] == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Give the images as they are."""
    return images


AUGMENT = {"none": unchanged}
