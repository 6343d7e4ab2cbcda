"""Does a map find the lesion? Five scores, each with what a blind map would get.

Sources: the pointing game of Zhang et al. 2018, "Top-down neural attention"; relevance mass and relevance rank of Arras
et al. 2022, "CLEVR-XAI"; the area under the ROC curve and the average precision of a map's pixels as a detector.
Only mass asks how large the values are; the others ask for their order. Mass is about maps of relevance, which are 0
where nothing matters: a gate in 0..1 that says "as it is" by 0.5 everywhere has the mass of a blind map.
"""

from collections.abc import Callable

import torch
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn import functional as F

from medattn.attention.ppcr import Size, height_width


def pointing_game(maps: Tensor, masks: Tensor, tolerance: int = 0) -> Tensor:
    """Say for each image whether its map's highest pixel lies on the mask, or within `tolerance` pixels of it.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) bool. Among equal highest pixels, the share of them on the
    mask must be above one half, so that a flat map does not win by its first pixel.
    """
    _check(maps, masks)
    masks = widened(masks, tolerance)
    highest = maps == maps.amax((1, 2), keepdim=True)
    on_mask = (highest & masks).sum((1, 2))
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
    _check(maps, masks)
    chosen = torch.ones_like(masks[0]) if within is None else within
    values, on_mask = maps[:, chosen].double(), masks[:, chosen]
    areas = []
    for value, on in zip(values, on_mask, strict=True):
        beside = value[~on].sort().values
        below = (torch.searchsorted(beside, value[on]) + torch.searchsorted(beside, value[on], right=True)) / 2
        areas.append(below.mean() / len(beside))  # Mann and Whitney's count of pairs
    return torch.stack(areas)


def relevance_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Give for each image the share of its positive values that lies on the mask; nan where none is positive.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1.
    """
    _check(maps, masks)
    positive = maps.double().clamp(min=0)
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))


def relevance_rank(maps: Tensor, masks: Tensor) -> Tensor:
    """Give for each image the share of its k highest pixels that lie on the mask, of k pixels; nan for an empty one.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1. Of equal values at the edge of the k, all count
    for the same part.
    """
    _check(maps, masks)
    values, on_mask = maps.flatten(1), masks.flatten(1)
    k = on_mask.sum(1)
    edge = values.sort(1, descending=True).values.gather(1, (k - 1).clamp(min=0)[:, None])
    above, equal = values > edge, values == edge
    left = (k - above.sum(1)) / equal.sum(1)  # the part of the equal ones that belongs to the k
    hits = (above & on_mask).sum(1) + left.double() * (equal & on_mask).sum(1)
    return torch.where(k > 0, hits / k, torch.nan)


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Give for each image the average precision of its pixels as detectors of the mask; nan for an empty one.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1.
    """
    _check(maps, masks)
    scores = [
        average_precision_score(on, rankdata(values, "dense")) if on.any() else torch.nan  # sklearn refuses -inf
        for values, on in zip(maps.double().flatten(1).cpu().numpy(), masks.flatten(1).cpu().numpy(), strict=True)
    ]
    return torch.tensor(scores, dtype=torch.float64, device=maps.device)


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # maps and masks (N, H, W) -> (N,), larger is better
    "pointing": lambda maps, masks: pointing_game(maps, masks, tolerance_of(maps)).double(),
    "mass": relevance_mass,
    "rank": relevance_rank,
    "auc": lambda maps, masks: pixel_auc(maps, masks).double(),
    "precision": average_precision,
}


def localisation(maps: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Give every score of `SCORES` for each image; the pointing game with `tolerance_of` the maps.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) each, float64.
    """
    return {name: function(maps, masks) for name, function in SCORES.items()}


def chance(masks: Tensor) -> dict[str, Tensor]:
    """Give for each image what a map of independent noise scores on average, by the names of `SCORES`.

    The share of the mask (for the pointing game: widened by the tolerance), and 0.5 of the AUC. For the average
    precision the share is the limit of many pixels; noise scores a little more on a mask of a few.
    """
    share = masks.double().mean((1, 2))
    wide = widened(masks, tolerance_of(masks)).double().mean((1, 2))
    return {"pointing": wide, "mass": share, "rank": share, "auc": torch.full_like(share, 0.5), "precision": share}


def centred_gaussian(size: Size) -> Tensor:
    """Give the map that bets on the middle of an image of side or (H, W): a Gaussian of a quarter of each. (H, W)."""
    down, across = ((torch.arange(side) - (side - 1) / 2) / (side / 4) for side in height_width(size))
    return torch.exp(-(down[:, None] ** 2 + across**2) / 2)


def tolerance_of(maps: Tensor) -> int:
    """Give the pointing game's tolerance in pixels: 15 at 224 px (Zhang et al. 2018), in proportion at others."""
    return round(15 / 224 * maps.shape[-1])


def widened(masks: Tensor, by: int) -> Tensor:
    """Give masks (N, H, W) with all pixels within `by` pixels of them, in a straight line."""
    if by == 0:
        return masks.bool()
    away = torch.arange(-by, by + 1, device=masks.device)
    disc = (away[:, None] ** 2 + away**2 <= by**2).float()[None, None]
    return F.conv2d(masks.float()[:, None], disc, padding=by)[:, 0] > 0.5


def _check(maps: Tensor, masks: Tensor) -> None:
    if not isinstance(maps, Tensor) or not isinstance(masks, Tensor):
        kinds = type(maps).__name__, type(masks).__name__
        raise ValueError(f"maps and masks are {' and '.join(kinds)} and must be tensors: torch.as_tensor(maps), say")
    if maps.shape != masks.shape or maps.ndim != 3:
        raise ValueError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (N, H, W)")
    if masks.dtype != torch.bool:
        raise ValueError(f"masks are {masks.dtype} and must be bool: masks > 0, say")
    if maps.isnan().any():
        raise ValueError("maps hold nan, which has no order")
