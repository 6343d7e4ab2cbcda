"""The step of a learned map: learning rates that move a pixel equally, however many images.

Source: this project. A layer's output at a pixel is z = sum over j of w_j x_j; in the pixel CNN's
first layer, over 9NC values. Adam moves each weight by about its learning rate in a first step, so
z moves by up to lr * sum |x_j|. SGD moves a pixel's own z by lr * g * sum x_j^2, where g is the
loss's gradient at z. Here a layer's learning rate is `step` over the mean of that sum over pixels,
with the bias's input of 1: `step` is the most that a mean pixel's z moves, for SGD per unit of g.
The squares' sum is the same in principal coordinates, so SGD still follows the same path there.
"""

from typing import Any

import torch
from torch import Tensor, nn

from medattn.attention.global_map import LearnedMap
from medattn.attention.pixels import PixelRepresentation

POWERS = {"adam": 1, "sgd": 2}  # of |x_j|, by the optimiser


def step_groups(source: nn.Module, step: float, optimizer: str = "adam") -> list[dict[str, Any]]:
    """Return one parameter group for each layer of a map's source, with its learning rate "lr".

    `source` is that of a `WeightMapped`. A free weight is its own z, with an input of 1.
    Raises ValueError for a step that is not above 0, and for another optimiser.
    """
    if not step > 0 or optimizer not in POWERS:
        allowed = f"a step above 0, such as 0.05, and the optimizer {' or '.join(POWERS)}"
        raise ValueError(f"step={step}, optimizer={optimizer!r}: allowed are {allowed}")
    if not isinstance(source, LearnedMap):
        return [{"params": list(source.parameters()), "lr": step}]
    sums = input_sums(source, POWERS[optimizer])
    return [{"params": list(layer.parameters()), "lr": step / sums[layer]} for layer in sums]


@torch.no_grad()
def input_sums(source: LearnedMap, power: int) -> dict[nn.Module, float]:
    """Return 1 + sum over j of |x_j|^power, a mean over pixels, for each layer, in order."""
    sums: dict[nn.Module, float] = {}

    def measure(layer: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        area = layer.weight[0, 0].numel()  # padding is neglected
        sums[layer] = 1 + area * float(inputs[0].abs().pow(power).sum(1).mean())

    cnn, pixels = source.pixel_cnn, source.pixels
    layers = [cnn.first, *cnn.further, cnn.last]
    if isinstance(pixels, PixelRepresentation):  # its convolution calls no layer
        kernel, n_pixels = cnn.first.weight.shape[-1], pixels.values.shape[1]
        sums[cnn.first] = 1 + pixels.energy(kernel, power) / n_pixels
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    source()
    for hook in hooks:
        hook.remove()
    return sums
