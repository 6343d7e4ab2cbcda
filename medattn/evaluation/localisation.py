"""Does a map find the lesion? The pointing game of Zhang et al. 2018, "Top-down neural attention"."""

import torch
from torch import Tensor


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Say for each image whether its map's highest pixel lies on the mask.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) bool. Among equal highest pixels, the share of them on the
    mask must be above one half, so that a flat map does not win by its first pixel.
    """
    if maps.shape != masks.shape or maps.ndim != 3:
        raise ValueError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (N, H, W)")
    highest = maps == maps.amax((1, 2), keepdim=True)
    on_mask = (highest & masks.bool()).sum((1, 2))
    return on_mask * 2 > highest.sum((1, 2))


def chance_of_pointing(masks: Tensor, within: Tensor | None = None) -> float:
    """Give the hit rate of a pixel chosen blindly: from the whole image, or from the region `within` (H, W)."""
    share = masks.float()
    if within is not None:
        return float(share[:, within].mean(1).mean()) if within.any() else float("nan")
    return float(torch.mean(share))


def pixel_auc(maps: Tensor, masks: Tensor, within: Tensor | None = None) -> Tensor:
    """Give for each image how often a pixel on the mask has a higher value than one beside it: 0.5 says nothing.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1, nan where the mask or its surroundings are empty.
    `within` (H, W) leaves the other pixels out. It is the area under the ROC curve; equal values count one half.
    """
    if maps.shape != masks.shape or maps.ndim != 3:
        raise ValueError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (N, H, W)")
    chosen = torch.ones_like(masks[0]) if within is None else within
    values, on_mask = maps[:, chosen].double(), masks[:, chosen].bool()
    areas = []
    for value, on in zip(values, on_mask, strict=True):
        beside = value[~on].sort().values
        below = (torch.searchsorted(beside, value[on]) + torch.searchsorted(beside, value[on], right=True)) / 2
        areas.append(below.mean() / len(beside))  # Mann and Whitney's count of pairs
    return torch.stack(areas)
