"""Deletion and insertion: whether the answer hangs on the pixels that a map calls important.

Source: Petsiuk et al. 2018, "RISE", section 4.3. Deletion replaces pixels from the most important on, insertion brings
them back from the most important on; the probability of the network's own answer is followed. What is not there is the
image blurred, for both (there: grey for deletion), so that no black holes are seen that no training image has.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from medattn.datasets.augment import to_float
from medattn.recording import evaluating


@torch.no_grad()
def deletion_insertion(
    network: nn.Module, images: Tensor, maps: Tensor, steps: int = 8, normalise: str = "half", batch_size: int = 64
) -> tuple[Tensor, Tensor]:
    """Follow the probability of each image's own answer while its pixels go, and while they come.

    Shape: images (N, C, H, W) uint8, maps (N, H, W) -> deletion and insertion, (N, steps + 1) each: after k / steps of
    the pixels, in the order of the map; of equal pixels the upper ones first. The mean of a curve is its area: a good
    map makes it small for a deletion and large for an insertion. The network's modes are put back.
    """
    if maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(f"maps {tuple(maps.shape)} must be (N, H, W) of the images {tuple(images.shape)}")
    if maps.isnan().any():
        raise ValueError("maps hold nan, which has no order")
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more")
    device = next(network.parameters()).device
    with evaluating(network):
        curves = [
            _curves(network, part.to(device), values.to(device), steps, normalise)
            for part, values in zip(images.split(batch_size), maps.split(batch_size), strict=True)
        ]
    deletion, insertion = zip(*curves, strict=True)
    return torch.cat(deletion), torch.cat(insertion)


def _curves(network: nn.Module, images: Tensor, maps: Tensor, steps: int, normalise: str) -> tuple[Tensor, Tensor]:
    def probabilities(pixels: Tensor) -> Tensor:
        return F.softmax(network(to_float(pixels, normalise)), 1)

    answers = probabilities(images).argmax(1, keepdim=True)
    side = images.shape[-1] // 4  # of the blur's kernel
    blurred = gaussian_blur(images, side + 1 - side % 2)
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).view_as(maps)  # 0: the most important pixel
    deletion, insertion = [], []
    for step in range(steps + 1):
        first = (rank < round(step / steps * order.shape[1]))[:, None]
        deletion.append(probabilities(torch.where(first, blurred, images)).gather(1, answers).cpu())
        insertion.append(probabilities(torch.where(first, images, blurred)).gather(1, answers).cpu())
    return torch.cat(deletion, 1), torch.cat(insertion, 1)
