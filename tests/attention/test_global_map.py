"""The global map: what it refuses, how it freezes, and how a network behind it is carried about."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.testing import assert_close

from medattn.attention import (
    WEIGHT_MAPS,
    FixedMap,
    GlobalAttention,
    PixelCNN,
    PixelRepresentation,
    WeightMapped,
    map_penalty,
    pixels,
)
from medattn.networks import build_network

VARIANTS = [
    {}, {"kernel": 5}, {"kernel": 7}, {"layers": 2}, {"layers": 3}, {"layers": 4},
    {"last_kernel": 3}, {"last_kernel": 5}, {"layers": 3, "dense": True},
    {"kernel": 5, "layers": 2, "last_kernel": 3, "dense": True},
]  # fmt: skip


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (6, 3, 9, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def small_cnn(channels=3, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    )


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_pixel_cnn_learns_and_is_saved(options, images):
    attention = GlobalAttention(small_cnn(), images, hidden=4, **options)
    weight_map = attention.weight_map()
    assert weight_map.shape == (1, 1, 9, 8)
    assert weight_map.min() > 0 and weight_map.max() < 1
    (weight_map - 0.3).square().sum().backward()
    for parameter in attention.source.parameters():
        assert parameter.grad.abs().max() > 0
    twin = GlobalAttention(small_cnn(), images, hidden=4, **options)
    twin.load_state_dict(load(save(attention.state_dict())))
    assert torch.equal(twin.weight_map(), weight_map)


@pytest.mark.parametrize("n_images", [1, 330, 413])
@pytest.mark.parametrize("hidden", [32, 62, 128, 256])
def test_parameter_count_is_that_of_section_4_8(n_images, hidden):
    with torch.device("meta"):
        pixel_cnn = PixelCNN(n_images, 3, hidden)
    count = sum(parameter.numel() for parameter in pixel_cnn.parameters())
    assert count == hidden * (3 * 3 * n_images * 3 + 1) + (hidden + 1)


@pytest.mark.parametrize("name", WEIGHT_MAPS)
def test_every_registered_map_multiplies_and_learns(name, images):
    network = WEIGHT_MAPS[name](small_cnn(), images, hidden=4, mean=(0.5,), std=(0.5,))
    x = torch.randn(5, 3, 9, 8)
    weight_map = network.weight_map()
    assert_close(network(x), network.image_cnn(x * weight_map))
    assert_close(network(x, weight_map), network(x))
    (network(x).square().sum() + map_penalty(weight_map)).backward()
    for parameter in network.parameters():
        assert parameter.grad.abs().max() > 0


def test_frozen_map_is_a_constant(images):
    attention = GlobalAttention(small_cnn(), images, hidden=4)
    x = torch.randn(2, 3, 9, 8)
    before, deployed = attention(x), attention.frozen_state_dict()
    assert not attention.frozen
    attention.freeze()
    assert attention.frozen and not attention.weight_map().requires_grad
    assert torch.equal(attention(x), before)
    names = set(attention.state_dict())
    assert names == set(deployed) and all(
        torch.equal(attention.state_dict()[n], deployed[n]) for n in names
    )
    assert not any("pixel" in name for name in names)
    kept = [*attention.parameters(), *attention.buffers()]
    assert (
        sum(tensor.numel() for tensor in kept)
        == sum(p.numel() for p in small_cnn().parameters()) + 9 * 8
    )
    attention.freeze()  # a second time changes nothing
    assert torch.equal(attention(x), before)


@pytest.mark.parametrize(
    "parts", [["image_cnn", "source"], [""]], ids=["groups apart", "one group"]
)
def test_freeze_removes_the_source_from_optimiser(images, parts):
    attention = GlobalAttention(small_cnn(), images, hidden=4)
    optimizer = torch.optim.Adam(
        [{"params": attention.get_submodule(part).parameters()} for part in parts]
    )
    attention(torch.randn(2, 3, 9, 8)).square().sum().backward()
    optimizer.step()
    kept = {id(parameter) for parameter in attention.image_cnn.parameters()}
    assert {id(parameter) for parameter in optimizer.state} > kept
    attention.freeze(optimizer)
    assert {id(parameter) for parameter in optimizer.state} == kept
    assert [
        {id(parameter) for parameter in group["params"]} for group in optimizer.param_groups
    ] == [kept]


def test_the_image_cnn_stays_on_its_device(images):
    attention = GlobalAttention(small_cnn(), images.to("meta"))
    assert {parameter.device.type for parameter in attention.image_cnn.parameters()} == {"cpu"}
    assert {parameter.device.type for parameter in attention.source.parameters()} == {"meta"}


def test_frozen_network_exports_and_predicts(images, tmp_path):
    attention = GlobalAttention(small_cnn(), images, hidden=4).eval()
    attention.freeze()
    x = torch.randn(1, 3, 9, 8)
    expected = attention(x)
    assert_close(torch.export.export(attention, (x,)).module()(x), expected)
    assert torch.equal(copy.deepcopy(attention)(x), expected)
    file = tmp_path / "frozen.onnx"
    torch.onnx.export(attention, (x,), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(file))
    (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(answer, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    loaded = WeightMapped(small_cnn(), FixedMap(torch.zeros(1, 1, 9, 8))).eval()
    loaded.load_state_dict(load(save(attention.state_dict())))
    assert torch.equal(loaded(x), expected)


@pytest.mark.parametrize(
    "name", ["googlenet", "vgg16", "resnet152", "densenet161", "timm:test_resnet"]
)
def test_any_network_goes_behind_the_map(name):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    network = GlobalAttention(build_network(name, 5, size=64, stem=None), images, hidden=2)
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 3, 64, 64)).shape == (1, 5)
    if name == "googlenet":  # its auxiliary heads come through in training
        assert len(network.train()(torch.randn(2, 3, 64, 64))) == 3


def test_streamed_and_kept_pixels_give_one_map(images, monkeypatch):
    attention = GlobalAttention(small_cnn(), images, hidden=4)
    results = []
    for kept, chunk in ((2**30, 1), (0, 5 * 72), (0, 1)):
        attention.source.pixels.kept_bytes = kept
        monkeypatch.setattr(pixels, "CHUNK", chunk)
        attention.zero_grad()
        weight_map = attention.weight_map()
        weight_map.sum().backward()
        results.append((weight_map.detach(), attention.source.pixel_cnn.first.weight.grad.clone()))
    for other in results[1:]:
        assert_close(other, results[0])


def test_map_stays_float32_under_bf16(images):
    attention = GlobalAttention(small_cnn(), images, hidden=32, mean=(0.5,), std=(0.25,))
    exact = attention.weight_map()
    with torch.autocast("cpu", torch.bfloat16):
        rough = attention.weight_map()
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 5e-3


def test_images_are_in_no_state_dict(images):
    pixels_of = PixelRepresentation(images)
    assert pixels_of.n_features == 18
    assert not list(pixels_of.parameters()) and not pixels_of.state_dict()
    assert pixels_of.values.data_ptr() == images.data_ptr()  # not copied


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda im: PixelCNN(2, 3, kernel=4), "kernel=4 must be odd"),
        (lambda im: PixelCNN(2, 3, last_kernel=2), "last_kernel=2 must be odd"),
        (lambda im: PixelCNN(2, 3, layers=0), "layers=0 must be 1 or more"),
        (lambda im: PixelCNN(2, 3, dense=True), "dense=True .* layers=2 or more"),
        (lambda im: PixelRepresentation(im[0]), "must be uint8 or floats"),
        (lambda im: PixelRepresentation(im.int()), "must be uint8 or floats"),
        (lambda im: PixelRepresentation(im, (0.5, 0.5), (1.0, 1.0)), "need 1 or 3 values each"),
        (
            lambda im: GlobalAttention(nn.Identity(), im, basis="fourier"),
            "basis='fourier' .* pixels, principal",
        ),
        (lambda im: GlobalAttention(nn.Identity(), im, rank=3), "rank=3 needs basis='principal'"),
        (
            lambda im: GlobalAttention(nn.Identity(), im, basis="principal", rank=99),
            "rank=99 must be 1 to 72",
        ),
        (
            lambda im: GlobalAttention(
                nn.Identity(), torch.zeros(1, 1, 224, 224), basis="principal"
            ),
            r"224 x 224 pixels need a Gram matrix of 20 GB: set rank",
        ),
    ],
)
def test_bad_arguments_of_the_map_are_named(call, message, images):
    with pytest.raises(ValueError, match=message):
        call(images)
