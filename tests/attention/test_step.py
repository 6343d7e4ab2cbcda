"""The step of a map: a pixel moves equally far, however many images there are."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from medattn.attention import (
    GlobalAttention,
    PixelWeights,
    principal_features,
    rotated,
    step_groups,
)
from medattn.attention.step import input_sums

STEP = 0.05


def images(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 9, 8), dtype=torch.uint8, generator=generator)


def attention(n, **options):
    torch.manual_seed(0)
    return GlobalAttention(nn.Identity(), images(n), hidden=8, mean=(0.5,), std=(0.5,), **options)


def moved(source, groups, kind, layer):
    """Return how far the outputs of a layer move in the first step that lowers them all."""
    optimizer = kind(groups, lr=5e-4)
    outputs = []
    hook = layer.register_forward_hook(lambda *seen: outputs.append(seen[2]))
    source.pixels = source.pixels if isinstance(source.pixels, torch.Tensor) else as_tensor(source)
    source()
    outputs[0].sum().backward()
    for parameter in source.parameters():
        if all(parameter is not own for own in layer.parameters()):
            parameter.grad = None  # this layer moves alone
    optimizer.step()
    source()
    hook.remove()
    return (outputs[1] - outputs[0]).abs().detach()


def as_tensor(source):
    """Return the pixels as one tensor, so that the first layer is called as a module."""
    values = source.pixels()
    del source.pixels
    return nn.Buffer(values, persistent=False)


@pytest.mark.parametrize("basis", ["pixels", "principal"])
@pytest.mark.parametrize("which", ["first", "last"])
def test_one_step_of_adam_moves_a_mean_pixel_by_at_most_the_step(basis, which):
    for n in (4, 40):
        source = attention(n, basis=basis).source
        groups = step_groups(source, STEP)
        far = moved(source, groups, torch.optim.Adam, getattr(source.pixel_cnn, which))
        assert far.mean() <= 1.01 * STEP
        assert far.max() > 0.1 * STEP


def test_printed_step_grows_with_the_images_and_this_one_does_not():
    def ratio(groups_of):
        few, many = (attention(n).source for n in (4, 400))
        few, many = (
            moved(s, groups_of(s), torch.optim.Adam, s.pixel_cnn.first).mean() for s in (few, many)
        )
        return float(many / few)

    assert ratio(lambda source: [{"params": list(source.parameters())}]) > 5
    assert 0.3 < ratio(lambda source: step_groups(source, STEP)) < 1.5


def test_sums_are_those_of_the_inputs():
    source = attention(5).source
    values = nn.functional.unfold(source.pixels(), 3, padding=1)[0]  # (9NC, HW)
    hidden = torch.relu(source.pixel_cnn.first(source.pixels()))[0].detach().flatten(1)
    for power in (1, 2):
        first, last = input_sums(source, power).values()
        assert first == pytest.approx(1 + float(values.abs().pow(power).sum(0).mean()), rel=1e-5)
        assert last == pytest.approx(1 + float(hidden.pow(power).sum(0).mean()), rel=1e-5)


def test_sgd_follows_one_path_in_both_bases():
    """The squares' sum is the same in principal coordinates, and so is each step of SGD."""
    by_pixels, by_features = attention(3), attention(3, basis="principal")
    cnn, principal = by_pixels.source.pixel_cnn, by_features.source.pixel_cnn
    with torch.no_grad():
        features = principal_features(by_pixels.source.pixels)
        principal.first.weight.copy_(rotated(cnn.first.weight, by_pixels.source.pixels, features))
        principal.first.bias.copy_(cnn.first.bias)
        principal.last.load_state_dict(cnn.last.state_dict())
    target = torch.rand(9, 8, generator=torch.Generator().manual_seed(1))
    rates = []
    for network in (by_pixels, by_features):
        groups = step_groups(network.source, 20.0, "sgd")
        rates.append([group["lr"] for group in groups])
        optimizer = torch.optim.SGD(groups)
        for _ in range(5):
            optimizer.zero_grad()
            (network.weight_map() - target).square().mean().backward()
            optimizer.step()
    assert_close(torch.tensor(rates[0]), torch.tensor(rates[1]), rtol=1e-4, atol=0)
    assert_close(by_pixels.weight_map(), by_features.weight_map(), rtol=1e-3, atol=1e-4)
    assert (by_pixels.weight_map() - attention(3).weight_map()).abs().max() > 0.01  # it moved


def test_free_weights_move_by_the_step_itself():
    [group] = step_groups(PixelWeights((4, 5)), STEP)
    assert group["lr"] == STEP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step=0, optimizer='adam': allowed are a step above 0"),
        ({"step": 0.1, "optimizer": "lion"}, "optimizer='lion': allowed are .*adam or sgd"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        step_groups(attention(3).source, **options)
