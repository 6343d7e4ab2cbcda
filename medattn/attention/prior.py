"""A global map as prior for PPCR: what one map says of all images, told to every site's own weights.

Ours; neither paper has it. A map in front of the network takes pixels away: where it is 0, the image is gone. As a
prior it cannot: it scales PPCR's weights W (D, h, w), and where it is 0, Z of Eq. (6) is 0 and the gate 0.5 whatever
the image, so PPCR does not choose there and the features pass. Two uses:

"multiply": W is multiplied by the map, at every context and for good. The map is fixed, W is learned.
"start": W begins at the map and is free from there. The contexts of PN sum to 0 over D, so a W that is the same for
every context gives Z = 0 for every image, and the map at every context would be no start at all. So a site draws one
direction over its contexts, of mean 0 and length 1, and W starts at map * direction. As PN's contexts have length
sqrt(D), that is a Z of about the map's value.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from medattn.attention.insert import Site, attention_sites


class ScaledWeight(nn.Module):
    """W times a fixed map: (D, h, w) -> (D, h, w). The map (h, w) is a buffer, saved with the weights."""

    def __init__(self, weight_map: Tensor):
        super().__init__()
        self.register_buffer("map", weight_map)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.map


def _multiply(site: Site, weight_map: Tensor) -> None:
    parametrize.register_parametrization(site.module.integrate, "weight", ScaledWeight(weight_map))


@torch.no_grad()
def _start(site: Site, weight_map: Tensor) -> None:
    weight = site.module.integrate.weight
    direction = torch.randn(len(weight), dtype=weight.dtype).to(weight.device)
    direction = F.normalize(direction - direction.mean(), dim=0)  # a part that all contexts share decides nothing
    weight += direction[:, None, None] * weight_map  # added: W's own start is 0, or a constant


PRIORS: dict[str, Callable[[Site, Tensor], None]] = {"multiply": _multiply, "start": _start}


def set_prior(network: nn.Module, weight_map: Tensor, use: str = "multiply") -> list[Site]:
    """Scale or start W at every PPCR site of a network by a map (H, W), in place, and give these sites.

    The map is resized to a site's feature map by the mean over area. `use` is a key of `PRIORS`; "start" draws from
    torch's random numbers, as the weights of layers do. Raises ValueError for an unknown use, a network without PPCR or
    with a W that is multiplied already, and a map that is not (H, W) or is smaller than a feature map. Nothing is
    changed on an error.
    """
    if use not in PRIORS:
        raise ValueError(f"use={use!r} is unknown; there are {', '.join(PRIORS)}")
    sites = [site for site in attention_sites(network) if site.attention == "ppcr"]
    if not sites:
        raise ValueError(
            f"{type(network).__name__} has no PPCR to give a prior: insert_attention(network, 'ppcr', size) comes first"
        )
    if weight_map.ndim != 2:
        raise ValueError(f"weight_map {tuple(weight_map.shape)} must be (H, W)")
    for site in sites:
        if any(side < pixels for side, pixels in zip(weight_map.shape, site.size, strict=True)):
            raise ValueError(
                f"weight_map {tuple(weight_map.shape)} is smaller than the feature map {site.size} of {site.name}"
            )
        if parametrize.is_parametrized(site.module.integrate):
            raise ValueError(f"W of {site.name} is multiplied by a prior map already: build a fresh network")
    for site in sites:
        resized = F.adaptive_avg_pool2d(weight_map.detach()[None, None].float(), site.size)[0, 0]
        PRIORS[use](site, resized.to(site.module.integrate.weight))
    return sites
