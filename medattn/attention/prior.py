"""A global map as a prior for PPCR: one map of all images scales or starts W at every site.

Source: this project. A map in front of the network removes pixels. A prior acts on PPCR's weights
W (D, h, w) instead: where it is 0, the gate is 0.5 for every image, and the features pass.

"multiply": W is learned, and multiplied by the fixed map at every context.
"start": W starts at the map and is free from there. PN's contexts sum to 0 over D, so a W equal for
all contexts would give Z = 0. Each site draws a direction over its contexts, of mean 0 and length
1, and W starts at map * direction. PN's contexts have length sqrt(D), so Z is about the map.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from medattn.attention.insert import Site, attention_sites
from medattn.attention.ppcr import PPCR, PixelContextIntegration


class ScaledWeight(nn.Module):
    """W times a fixed map: (D, h, w) -> (D, h, w). The map (h, w) is saved with the weights."""

    def __init__(self, weight_map: Tensor):
        super().__init__()
        self.map = nn.Buffer(weight_map)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.map


def _multiply(integrate: PixelContextIntegration, weight_map: Tensor) -> None:
    parametrize.register_parametrization(integrate, "weight", ScaledWeight(weight_map))


@torch.no_grad()
def _start(integrate: PixelContextIntegration, weight_map: Tensor) -> None:
    weight = integrate.weight
    direction = torch.randn(len(weight), dtype=weight.dtype).to(weight.device)
    direction = F.normalize(direction - direction.mean(), dim=0)
    weight.add_(direction[:, None, None] * weight_map)  # W's own start is 0, or a constant


PRIORS = {"multiply": _multiply, "start": _start}


def saved_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the learned W (D, h, w) of each PPCR site, by its name, from saved weights."""
    ends = (".integrate.weight", ".integrate.parametrizations.weight.original")  # the second: prior
    return {name.rsplit(".integrate.")[0]: W for name, W in state.items() if name.endswith(ends)}


def set_prior(network: nn.Module, weight_map: Tensor, use: str = "multiply") -> list[Site]:
    """Scale or start W at every PPCR site by a map (H, W), in place, and return these sites.

    The map is resized to each feature map by the mean over area. `use` is a key of `PRIORS`;
    "start" draws from torch's random numbers. Raises ValueError for an unknown use, a network
    without PPCR or with a prior, and a map of a wrong shape; then nothing changes.
    """
    if use not in PRIORS:
        raise ValueError(f"use={use!r} is unknown; there are {', '.join(PRIORS)}")
    ppcr = {s: s.module.integrate for s in attention_sites(network) if isinstance(s.module, PPCR)}
    if not ppcr:
        raise ValueError(f"{type(network).__name__} has no PPCR: call insert_attention first")
    shape = tuple(weight_map.shape)
    if len(shape) != 2:
        raise ValueError(f"weight_map {shape} must be (H, W)")
    for site, integrate in ppcr.items():
        if shape[0] < site.size[0] or shape[1] < site.size[1]:
            raise ValueError(f"weight_map {shape} is smaller than {site.size} of {site.name}")
        if parametrize.is_parametrized(integrate):
            raise ValueError(f"{site.name} has a prior map already: build a fresh network")
    weight_map = weight_map.detach()[None].float()
    for site, integrate in ppcr.items():
        resized = F.adaptive_avg_pool2d(weight_map, site.size)[0]
        PRIORS[use](integrate, resized.to(integrate.weight))
    return list(ppcr)
