"""Grad-CAM: a map from the gradient of the answer, for any trained CNN (Captum's implementation).

Source: Selvaraju et al. 2017, "Grad-CAM". It is the usual rival of an attention map: it needs a
backward pass and no extra module.
"""

import torch
from torch import Tensor, nn

from medattn.attention import on_image
from medattn.attention.recording import evaluating
from medattn.preprocess import to_float


def grad_cam(
    network: nn.Module, images: Tensor, layer: str, normalise: str = "half", batch_size: int = 64
) -> Tensor:
    """Return the Grad-CAM map of each image for the network's own answer, at the output of `layer`.

    Shape: images (N, C, H, W) uint8 -> (N, H, W), 0 or more, interpolated bilinearly from the
    feature map. The network's modes are restored. Raises ValueError for an unknown layer.
    """
    from captum.attr import LayerGradCam  # takes a second to import

    modules = dict(network.named_modules())
    if layer not in modules or layer == "":
        children = ", ".join(name for name, _ in network.named_children())
        kind = type(network).__name__
        raise ValueError(f"{kind} has no module {layer!r}; its children are {children}")
    explainer, device = LayerGradCam(network, modules[layer]), next(network.parameters()).device
    maps = []
    with evaluating(network):
        for batch in images.split(batch_size):
            inputs = to_float(batch.to(device), normalise)
            with torch.no_grad():
                answers = network(inputs).argmax(1)
            cam = explainer.attribute(inputs, answers, relu_attributions=True)
            maps.append(cam.detach()[:, 0].float().cpu())
    height, width = images.shape[-2:]
    return on_image(torch.cat(maps), (height, width))
