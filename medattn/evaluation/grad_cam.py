"""Grad-CAM: the map that any trained CNN gives without attention, by the gradient of its answer (from Captum).

Source: Selvaraju et al. 2017, "Grad-CAM". The usual rival of an attention map: it costs a backward pass, and no module.
"""

import torch
from torch import Tensor, nn

from medattn.datasets.augment import to_float
from medattn.recording import evaluating, on_image


def grad_cam(network: nn.Module, images: Tensor, layer: str, normalise: str = "half", batch_size: int = 64) -> Tensor:
    """Give the Grad-CAM map of each image for the class that the network answers, at the output of module `layer`.

    Shape: images (N, C, H, W) uint8 -> (N, H, W), from 0, bilinearly between the feature map's pixels. The network's
    modes are put back. Raises ValueError for a layer that it has not.
    """
    from captum.attr import LayerGradCam  # takes a second to import

    modules = dict(network.named_modules())
    if layer not in modules or layer == "":
        children = ", ".join(name for name, _ in network.named_children())
        raise ValueError(f"layer={layer!r} is no module of {type(network).__name__}, such as {children}")
    explain, maps, device = LayerGradCam(network, modules[layer]), [], next(network.parameters()).device
    with evaluating(network):
        for batch in images.split(batch_size):
            inputs = to_float(batch.to(device), normalise)
            with torch.no_grad():
                answers = network(inputs).argmax(1)
            maps.append(explain.attribute(inputs, answers, relu_attributions=True).detach()[:, 0].float().cpu())
    return on_image(torch.cat(maps), images.shape[-2:])
