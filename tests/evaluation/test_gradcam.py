"""Grad-CAM by its formula, on a network whose answer is known."""

import pytest
import torch
from bright import Bright

from medattn.evaluation import grad_cam


def test_grad_cam_is_its_formula():
    torch.manual_seed(0)
    network, images = Bright().train(), torch.randint(0, 128, (3, 1, 8, 8), dtype=torch.uint8)
    images[:2] += 128  # bright: class 1
    network.features.eval()  # frozen
    maps = grad_cam(network, images, "features")
    assert network.training and not network.features.training and maps.shape == (3, 8, 8)
    activations = network.features(images.float() / 127.5 - 1).detach().requires_grad_()
    logits = network.answer(activations)
    assert logits.argmax(1).tolist() == [1, 1, 0]
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), activations)
    alpha = gradient.mean((2, 3), keepdim=True)  # of the paper: the mean gradient over positions
    torch.testing.assert_close(
        maps, (alpha * activations).sum(1).relu().detach(), rtol=1e-4, atol=1e-6
    )
    assert (maps[:2] > 0).any() and not maps[2].any()
    with pytest.raises(ValueError, match="Bright has no module 'body'; its children are features"):
        grad_cam(network, images, "body")
