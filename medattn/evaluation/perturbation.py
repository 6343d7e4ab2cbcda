"""Deletion and insertion: whether the answer depends on the pixels that a map calls important.

Source: Petsiuk et al. 2018, "RISE", section 4.3. Deletion removes pixels, the most important first;
insertion restores them in the same order. Both follow the probability of the network's own answer.
Differs from the paper: removed pixels show the blurred image in both cases (there: grey for
deletion), because no training image has holes of one colour.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from medattn.attention.recording import evaluating
from medattn.preprocess import to_float


@torch.no_grad()
def deletion_insertion(
    network: nn.Module,
    images: Tensor,
    maps: Tensor,
    steps: int = 8,
    normalise: str = "half",
    batch_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """Return the probability of each image's own answer while its pixels are deleted and inserted.

    Shape: images (N, C, H, W) uint8, maps (N, H, W) -> deletion and insertion, (N, steps + 1) each:
    after k / steps of the pixels in the order of the map, equal pixels from the top. The mean of a
    curve is its area. A good map makes it small for deletion and large for insertion. The network's
    modes are restored. Raises ValueError for maps of another shape or with nan, and for steps < 1.
    """
    if maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(f"maps {tuple(maps.shape)} must be (N, H, W) of {tuple(images.shape)}")
    if maps.isnan().any():
        raise ValueError("maps contain nan, which has no order")
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more")
    device = next(network.parameters()).device
    quarter = images.shape[-1] // 4
    kernel = quarter + 1 - quarter % 2  # odd

    def probabilities(pixels: Tensor) -> Tensor:
        return F.softmax(network(to_float(pixels, normalise)), 1)

    curves = []  # of each batch: (2, N, steps + 1)
    with evaluating(network):
        for batch, values in zip(images.split(batch_size), maps.split(batch_size), strict=True):
            pixels = batch.to(device)
            blurred = gaussian_blur(pixels, [kernel, kernel])
            answers = probabilities(pixels).argmax(1, keepdim=True)
            order = values.to(device).flatten(1).argsort(dim=1, descending=True, stable=True)
            rank = order.argsort(dim=1).view_as(values)  # 0: the most important pixel
            points = []
            for step in range(steps + 1):
                first = (rank < round(step / steps * order.shape[1]))[:, None]
                both = torch.where(first, blurred, pixels), torch.where(first, pixels, blurred)
                points.append(torch.stack([probabilities(p).gather(1, answers) for p in both]))
            curves.append(torch.cat(points, 2).cpu())
    deletion, insertion = torch.cat(curves, 1)
    return deletion, insertion
