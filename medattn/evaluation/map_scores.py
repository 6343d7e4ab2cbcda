"""Does a map find the lesion? Five scores, each with the score of a map that knows nothing.

Sources: the pointing game of Zhang et al. 2018, "Top-down neural attention"; relevance mass and
relevance rank of Arras et al. 2022, "CLEVR-XAI"; the area under the ROC curve and the average
precision of a map's pixels as a detector. Only the mass depends on the size of the values; the
others depend on their order. The mass suits maps of relevance, which are 0 where nothing matters. A
gate that is 0.5 everywhere has the mass of a map that knows nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from medattn.preprocess import Size, height_width


def pointing_game(maps: Tensor, masks: Tensor, tolerance: int = 0) -> Tensor:
    """Return whether each map's highest pixel is on the mask, or within `tolerance` pixels of it.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) bool. If several pixels are highest, more
    than half of them must be on the mask, so that a flat map does not win by its first pixel.
    """
    _check(maps, masks)
    highest = maps == maps.amax((1, 2), keepdim=True)
    on_mask = (highest & widened(masks, tolerance)).sum((1, 2))
    return on_mask * 2 > highest.sum((1, 2))


def chance_of_pointing(masks: Tensor, within: Tensor | None = None) -> float:
    """Return the hit rate of a random pixel of the image, or of the region `within` (H, W)."""
    share = masks.float()
    if within is not None:
        return float(share[:, within].mean(1).mean()) if within.any() else float("nan")
    return float(torch.mean(share))


def pixel_auc(maps: Tensor, masks: Tensor, within: Tensor | None = None) -> Tensor:
    """Return how often a pixel on the mask has a higher value than one beside it; 0.5 is chance.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1, nan if the mask or its
    surroundings are empty. Only pixels in `within` (H, W) count. It is the area under the ROC
    curve; equal values count one half.
    """
    _check(maps, masks)
    chosen = torch.ones_like(masks[0]) if within is None else within
    values, on_mask = maps[:, chosen].double(), masks[:, chosen]
    areas = []
    for value, on in zip(values, on_mask, strict=True):  # Mann and Whitney's count of pairs
        positive, negative = value[on], value[~on].sort().values
        below = torch.searchsorted(negative, positive)
        below_or_equal = torch.searchsorted(negative, positive, right=True)
        areas.append(((below + below_or_equal) / 2).mean() / len(negative))
    return torch.stack(areas)


def relevance_mass(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's positive values that is on the mask; nan if there are none.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1.
    """
    _check(maps, masks)
    positive = maps.double().clamp(min=0)
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))


def relevance_rank(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map's k highest pixels that are on its mask of k pixels.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1, nan for an empty mask.
    Pixels that tie for the last places all count by the same fraction.
    """
    _check(maps, masks)
    values, on_mask = maps.flatten(1), masks.flatten(1)
    k = on_mask.sum(1)
    last = values.sort(1, descending=True).values.gather(1, (k - 1).clamp(min=0)[:, None])
    above, equal = values > last, values == last
    fraction = (k - above.sum(1)) / equal.sum(1)  # of the tied pixels that belong to the k
    hits = (above & on_mask).sum(1) + fraction.double() * (equal & on_mask).sum(1)
    return torch.where(k > 0, hits / k, torch.nan)


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the average precision of each map's pixels as detectors of the mask.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) in 0..1, nan for an empty mask.
    """
    from scipy.stats import rankdata
    from sklearn.metrics import average_precision_score  # takes a second to import

    _check(maps, masks)
    values, on_mask = maps.double().flatten(1).cpu().numpy(), masks.flatten(1).cpu().numpy()
    scores = [  # of ranks, because sklearn refuses -inf
        average_precision_score(on, rankdata(value, "dense")) if on.any() else torch.nan
        for value, on in zip(values, on_mask, strict=True)
    ]
    return torch.tensor(scores, dtype=torch.float64, device=maps.device)


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # maps, masks (N, H, W) -> (N,) float64
    "pointing": lambda maps, masks: pointing_game(maps, masks, tolerance_of(maps)).double(),
    "mass": relevance_mass,
    "rank": relevance_rank,
    "auc": lambda maps, masks: pixel_auc(maps, masks).double(),
    "precision": average_precision,
}  # larger is better


def localisation(maps: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Return every score of `SCORES` for each image; the pointing game has the usual tolerance.

    Shape: maps (N, H, W), masks (N, H, W) of bool -> (N,) float64 each.
    """
    return {name: function(maps, masks) for name, function in SCORES.items()}


def chance(masks: Tensor) -> dict[str, Tensor]:
    """Return the mean score of independent noise for each image, by the names of `SCORES`.

    It is the mask's share of the image, and 0.5 for the AUC. For the pointing game the mask is
    widened by the tolerance. In average precision on a small mask, noise scores slightly more.
    """
    share = masks.double().mean((1, 2))
    wide = widened(masks, tolerance_of(masks)).double().mean((1, 2))
    auc = torch.full_like(share, 0.5)
    return {"pointing": wide, "mass": share, "rank": share, "auc": auc, "precision": share}


def centred_gaussian(size: Size) -> Tensor:
    """Return a Gaussian (H, W) in the middle of an image, of a quarter of the sides."""
    down, across = ((torch.arange(n) - (n - 1) / 2) / (n / 4) for n in height_width(size))
    return torch.exp(-(down[:, None] ** 2 + across**2) / 2)


def tolerance_of(maps: Tensor) -> int:
    """Return the usual tolerance: 15 pixels at 224 px (Zhang et al. 2018), in proportion."""
    return round(15 / 224 * maps.shape[-1])


def widened(masks: Tensor, by: int) -> Tensor:
    """Return masks (N, H, W) with all pixels at a Euclidean distance of at most `by` pixels."""
    if by == 0:
        return masks.bool()
    offset = torch.arange(-by, by + 1, device=masks.device)
    disc = (offset[:, None] ** 2 + offset**2 <= by**2).float()[None, None]
    return F.conv2d(masks.float()[:, None], disc, padding=by)[:, 0] > 0.5


def _check(maps: Tensor, masks: Tensor) -> None:
    if not isinstance(maps, Tensor) or not isinstance(masks, Tensor):
        kinds = f"{type(maps).__name__} and {type(masks).__name__}"
        raise ValueError(f"maps and masks are {kinds} and must be tensors: torch.as_tensor(...)")
    if maps.shape != masks.shape or maps.ndim != 3:
        shapes = f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)}"
        raise ValueError(f"{shapes} must both be (N, H, W)")
    if masks.dtype != torch.bool:
        raise ValueError(f"masks are {masks.dtype} and must be bool: masks > 0")
    if maps.isnan().any():
        raise ValueError("maps contain nan, which has no order")
