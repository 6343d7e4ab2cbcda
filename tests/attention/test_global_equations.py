"""Global spatial attention against plain tensor code: Definition 3, Fig. 3, Eq. (1)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from medattn.attention import (
    GlobalAttention,
    PixelCNN,
    PixelRepresentation,
    map_penalty,
    principal,
    principal_features,
    rotated,
)
from medattn.preprocess import NORMALISE, to_float

MEAN, STD = NORMALISE["imagenet"]


@pytest.fixture
def images():
    """Structured images: what all share, and what is each one's own."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.rand(1, 3, 8, 7, generator=generator)
    own = torch.rand(12, 3, 8, 7, generator=generator)
    return (255 * (0.6 * shared + 0.4 * own)).to(torch.uint8)


def test_definition_3_reshapes_the_images(images):
    as_the_network_sees_them = to_float(images, "imagenet")  # X (N, C, H, W)
    P = as_the_network_sees_them.reshape(1, 12 * 3, 8, 7)
    assert_close(PixelRepresentation(images, MEAN, STD)(), P)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_shifted_products_are_the_convolution(kernel, images):
    pixels = PixelRepresentation(images, MEAN, STD).double()
    torch.manual_seed(0)
    cnn = PixelCNN(12, 3, hidden=5, kernel=kernel).double()
    P = pixels(torch.float64)
    neighbourhoods = F.unfold(P, kernel, padding=kernel // 2)[0]  # A (k k NC, HW)
    z = cnn.first.weight.flatten(1) @ neighbourhoods + cnn.first.bias[:, None]
    by_hand = torch.sigmoid(cnn.last.weight.flatten(1) @ z.clamp(min=0) + cnn.last.bias).view(
        1, 1, 8, 7
    )
    assert_close(cnn(pixels), by_hand)
    assert_close(cnn(P), by_hand)
    weigh = torch.randn(1, 1, 8, 7, dtype=torch.float64)
    expected = torch.autograd.grad((by_hand * weigh).sum(), cnn.parameters())
    assert_close(torch.autograd.grad((cnn(pixels) * weigh).sum(), cnn.parameters()), expected)


def test_hand_written_backward_passes_gradcheck(images):
    pixels = PixelRepresentation(images[:2, :1], (0.5,), (0.5,)).double()
    layer = nn.Conv2d(2, 3, 3, padding=1).double()

    def convolved(weight, bias):
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        return torch.func.functional_call(
            _Convolves(layer, pixels), {"layer.weight": weight, "layer.bias": bias}, ()
        )

    inputs = [p.detach().clone().requires_grad_() for p in (layer.weight, layer.bias)]
    assert torch.autograd.gradcheck(convolved, inputs)


class _Convolves(nn.Module):
    def __init__(self, layer, pixels):
        super().__init__()
        self.layer, self.pixels = layer, pixels

    def forward(self):
        from medattn.attention.pixels import convolve_pixels

        return convolve_pixels(self.layer, self.pixels)


def test_equation_1(images):
    labels = torch.arange(12) % 3
    torch.manual_seed(0)
    image_cnn = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 7, 3))
    attention = GlobalAttention(image_cnn, images, hidden=4, mean=MEAN, std=STD)
    X, lam = to_float(images, "imagenet"), 0.01
    M = attention.weight_map()
    terms = [F.cross_entropy(image_cnn(X[i : i + 1] * M), labels[i : i + 1]) for i in range(12)]
    by_hand = sum(terms) / 12 + lam * M.abs().sum() / (8 * 7)
    assert_close(F.cross_entropy(attention(X), labels) + lam * map_penalty(M), by_hand)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_principal_features_have_the_gram_matrix(kernel, images):
    pixels = PixelRepresentation(images, MEAN, STD).double()
    A = F.unfold(pixels(torch.float64), kernel, padding=kernel // 2)[0]
    found = principal_features(pixels, kernel)
    features = found.features.flatten(1)
    assert_close(features.T @ features, A.T @ A, atol=1e-9, rtol=1e-9)
    singular = torch.linalg.svdvals(A)
    assert_close(found.singular, singular[: len(found.singular)])
    assert found.energy == 1.0
    assert_close(pixels.energy(kernel), float(A.square().sum()), rtol=1e-5, atol=0)
    part = principal_features(pixels, kernel, rank=5)
    assert_close(part.energy, float(singular[:5].square().sum() / singular.square().sum()))
    assert_close(part.features, found.features[:5])


def test_randomised_decomposition_leads_the_same(images, monkeypatch):
    pixels = PixelRepresentation(images, MEAN, STD)
    exact = principal_features(pixels, rank=3)
    monkeypatch.setattr(principal, "LARGEST_GRAM", 10)
    found = principal_features(pixels, rank=3)
    assert_close(found.singular, exact.singular, rtol=1e-3, atol=0)
    assert found.energy == pytest.approx(exact.energy, rel=1e-3)
    first, leading = (
        exact.features[0].double(),
        found.features[0].double(),
    )  # the others are close to each other
    assert (leading - first).norm() < 0.05 * first.norm()
    again = principal_features(pixels, rank=3)
    assert torch.equal(again.features, found.features)


def test_principal_form_takes_the_same_sgd_path(images):
    """Momentum and weight decay included: only the coordinates differ."""
    torch.manual_seed(0)
    X, labels = to_float(images, "imagenet").double(), torch.arange(12) % 3
    direct = GlobalAttention(
        nn.Sequential(nn.Flatten(), nn.Linear(168, 3)), images, 6, MEAN, STD
    ).double()
    turned = GlobalAttention(
        nn.Sequential(nn.Flatten(), nn.Linear(168, 3)), images, 6, MEAN, STD, "principal"
    ).double()
    pixels = direct.source.pixels
    found = principal_features(pixels)
    turned.source.pixels = found.features[None]
    turned.image_cnn.load_state_dict(direct.image_cnn.state_dict())
    turned.source.pixel_cnn.last.load_state_dict(direct.source.pixel_cnn.last.state_dict())
    with torch.no_grad():
        first = turned.source.pixel_cnn.first
        first.weight.copy_(rotated(direct.source.pixel_cnn.first.weight, pixels, found))
        first.bias.copy_(direct.source.pixel_cnn.first.bias)
    optimizers = [
        torch.optim.SGD(n.parameters(), 0.02, momentum=0.9, weight_decay=1e-2)
        for n in (direct, turned)
    ]
    start = direct.weight_map().detach()
    for _ in range(100):
        for network, optimizer in zip((direct, turned), optimizers, strict=True):
            optimizer.zero_grad()
            M = network.weight_map()
            (F.cross_entropy(network(X, M), labels) + 0.1 * map_penalty(M)).backward()
            optimizer.step()
    assert (direct.weight_map() - start).abs().max() > 0.05  # it did learn
    assert (direct.weight_map() - turned.weight_map()).abs().max() < 1e-9


def test_principal_form_does_not_grow_with_images():
    """A hundred times the images at 28 px: the same parameters, multiplications and memory."""
    sizes = []
    for n in (500, 50_000):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
        attention = GlobalAttention(nn.Identity(), images, hidden=4, basis="principal")
        with FlopCounterMode(display=False) as counter:
            attention.weight_map().sum().backward()
        held = [*attention.parameters(), *attention.buffers()]
        sizes.append((sum(tensor.nbytes for tensor in held), counter.get_total_flops()))
    assert sizes[0] == sizes[1]
