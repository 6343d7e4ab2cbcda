"""Algorithm 1 of global spatial attention: both networks are optimised to a cut-off epoch, then the image CNN alone.

Paper: Xu et al. 2020, section 3.4. Differs from the paper: nothing. The pixel CNN is a group of its own in the
optimiser, which leaves with it: neither its state nor the images are kept for the epochs after.
"""

from typing import Any

from torch import nn

from medattn.attention import WeightMapped


def learns_map(network: nn.Module) -> bool:
    """Say whether a network stands behind a weight map that is still learned."""
    return isinstance(network, WeightMapped) and not network.frozen


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Give the optimiser's groups: all parameters, or the image CNN's and then the map's."""
    parts = (network.image_cnn, network.source) if learns_map(network) else (network,)
    return [{"params": list(part.parameters())} for part in parts]
