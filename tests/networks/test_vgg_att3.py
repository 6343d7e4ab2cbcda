"""VGG-att3: its levels, its attention in plain tensor code, and the layers that learn nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.networks import build_network
from medattn.networks.vgg_att3 import AttentionEstimator, VGGAtt3

VGG_16 = [
    (64, 64),
    (64, 128),
    (128, 128),
    (128, 256),
    (256, 256),
    (256, 256),
    (256, 512),
    *[(512, 512)] * 5,
]
TWO_MORE = [(512, 512)] * 2


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def attention_maps(network, images):
    maps = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: maps.append(out))
        for module in network.attention
    ]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits, maps


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (28, [28, 14, 7]),
        (32, [32, 16, 8]),
        (64, [64, 32, 16]),
        (65, [17, 9, 5]),
        (224, [56, 28, 14]),
    ],
)
def test_vgg_att3_attends_at_three_levels(size, sides):
    network = build_network("vgg_att3", 5, in_channels=1, size=size).to("meta").eval()
    logits, maps = attention_maps(network, torch.empty(2, 1, size, size, device="meta"))
    assert logits.shape == (2, 5)
    assert [tuple(m.shape) for m in maps] == [(2, 1, side, side) for side in sides]


def test_one_position_is_left_at_32_px():
    network = VGGAtt3(10, size=32).to("meta").eval()
    before = []
    network.end[5].register_forward_hook(lambda _m, inputs, _out: before.append(inputs[0].shape))
    network(torch.empty(1, 3, 32, 32, device="meta"))
    assert isinstance(network.end[5], nn.AdaptiveAvgPool2d)
    assert before == [(1, 512, 1, 1)]


@pytest.mark.parametrize(
    ("n_classes", "in_channels", "size"), [(10, 3, 32), (5, 3, 224), (2, 1, 28)]
)
def test_vgg_att3_parameters_are_an_independent_sum(n_classes, in_channels, size):
    convolutions = [(in_channels, 64), *VGG_16, *TWO_MORE]
    network = VGGAtt3(n_classes, in_channels, size)
    of_convs = sum(
        m.weight.numel()
        for m in network.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    )
    assert of_convs == sum(9 * a * b for a, b in convolutions)
    norms = sum(2 * b for _, b in convolutions)
    attention = (256 + 512 + 512) + 512 * 256  # u of each level, and the one map of g
    dense = 512 * 512 + 512 + (1280 + 1) * n_classes
    assert n_parameters(network) == of_convs + norms + attention + dense


@pytest.mark.parametrize(("channels", "global_channels"), [(6, 6), (4, 6)])
def test_attention_is_the_formula(channels, global_channels):
    torch.manual_seed(0)
    estimate = AttentionEstimator(channels, global_channels).double()
    local_features = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    g = torch.randn(2, global_channels, dtype=torch.float64)
    got = estimate(local_features, g)
    u = estimate.u.weight.flatten()
    for n in range(2):
        mapped = g[n] if channels == global_channels else estimate.project.weight @ g[n]
        c = torch.stack(
            [u @ (local_features[n, :, i, j] + mapped) for i in range(3) for j in range(5)]
        )
        expected = c.exp() / c.exp().sum()
        assert_close(got[n, 0].flatten(), expected)
    assert_close(got.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_logits_see_only_attended_features():
    torch.manual_seed(0)
    network = VGGAtt3(3, in_channels=1, size=16).double().eval()
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    features = []
    for level in network.levels:
        level.register_forward_hook(lambda _m, _i, out: features.append(out))
    logits, maps = attention_maps(network, images)
    attended = [(a * x).flatten(2).sum(2) for a, x in zip(maps, features, strict=True)]
    assert_close(
        logits, F.linear(torch.cat(attended, 1), network.classify.weight, network.classify.bias)
    )
    for attention in maps:
        assert_close(attention.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_softmax_hides_what_only_g_sees():
    """<u, g> is equal at all positions, so the softmax has no gradient for what only g sees."""
    torch.manual_seed(0)
    network = VGGAtt3(3, in_channels=1, size=8).double()
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    F.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    for name, parameter in network.named_parameters():
        hidden = name.startswith("end.") or ".project." in name
        largest = parameter.grad.abs().max()
        assert largest < 1e-12 if hidden else largest > 1e-8, (name, largest)


def test_g_changes_no_map():
    torch.manual_seed(0)
    estimate = AttentionEstimator(4, 6).double()
    local_features = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    g = torch.randn(2, 6, dtype=torch.float64)
    assert_close(estimate(local_features, g), estimate(local_features, 10 * g - 3))


def test_vgg_att3_learns_exports_and_is_saved(tmp_path):
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    network = build_network("vgg_att3", 2, in_channels=1, size=8)
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 2
    images[labels == 1, :, 2:4, 2:4] += 4
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

    network.eval()
    expected = network(images)
    assert_close(torch.export.export(network, (images,)).module()(images), expected)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    fresh = build_network("vgg_att3", 2, in_channels=1, size=8).eval()
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh(images), expected)
