"""The seven rivals against their formulas in plain tensor code, and how their maps are read."""

import pytest
import torch
from timm.layers import GlobalContext
from timm.layers.cbam import SpatialAttn
from timm.layers.coord_attn import CoordAttn
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.ops import SqueezeExcitation

from medattn.attention import (
    ATTENTION,
    ATTENTION_MAPS,
    ExternalAttention,
    NonLocal,
    SpatialPyramidAttention,
    record,
)
from medattn.attention.insert import Attended

CHANNELS, HEIGHT, WIDTH = 32, 5, 6


def moved(name: str) -> nn.Module:
    """Build a method in float64, in evaluation mode, with every parameter away from its start."""
    torch.manual_seed(0)
    module = ATTENTION[name](CHANNELS, (HEIGHT, WIDTH)).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


@pytest.fixture
def x():
    return torch.randn(
        3, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def matrix(convolution: nn.Conv2d) -> torch.Tensor:
    return convolution.weight[:, :, 0, 0]  # a 1 x 1 convolution


def at_every_pixel(convolution, x):
    product = torch.einsum("oc,nchw->nohw", matrix(convolution), x)
    return product if convolution.bias is None else product + convolution.bias[:, None, None]


def test_se(x):
    m = moved("se")
    squeezed = x.sum((2, 3)) / (HEIGHT * WIDTH)
    hidden = (squeezed @ matrix(m.fc1).T + m.fc1.bias).clamp(min=0)
    weights = 1 / (1 + torch.exp(-(hidden @ matrix(m.fc2).T + m.fc2.bias)))
    assert_close(m(x), weights[:, :, None, None] * x)


def test_spa(x):
    m = moved("spa")
    means = []
    for side in (1, 2, 4):
        rows = [(i * HEIGHT // side, -(-(i + 1) * HEIGHT // side)) for i in range(side)]
        columns = [(j * WIDTH // side, -(-(j + 1) * WIDTH // side)) for j in range(side)]
        level = [[x[:, :, a:b, c:d].mean((2, 3)) for c, d in columns] for a, b in rows]
        means.append(
            torch.stack([torch.stack(row, -1) for row in level], -2).flatten(1)
        )  # channel by channel
    hidden = (torch.cat(means, 1) @ m.squeeze.weight.T).clamp(min=0)
    assert m.squeeze.weight.shape == (CHANNELS // 16, 21 * CHANNELS)
    assert_close(m(x), torch.sigmoid(hidden @ m.excite.weight.T)[:, :, None, None] * x)


def test_ca(x):
    m = moved("ca")
    m.bn1.running_mean.normal_()
    m.bn1.running_var.uniform_(0.5, 2)

    def strip(values):  # (N, C, length) -> (N, hidden, length)
        hidden = torch.einsum("oc,ncl->nol", matrix(m.conv1), values) + m.conv1.bias[:, None]
        scale = m.bn1.weight / (m.bn1.running_var + m.bn1.eps).sqrt()
        return F.hardswish(
            (hidden - m.bn1.running_mean[:, None]) * scale[:, None] + m.bn1.bias[:, None]
        )

    rows = torch.einsum("co,nol->ncl", matrix(m.conv_h), strip(x.mean(3))) + m.conv_h.bias[:, None]
    columns = (
        torch.einsum("co,nol->ncl", matrix(m.conv_w), strip(x.mean(2))) + m.conv_w.bias[:, None]
    )
    assert_close(
        m(x), x * torch.sigmoid(rows)[:, :, :, None] * torch.sigmoid(columns)[:, :, None, :]
    )
    assert m.conv1.out_channels == 8


def test_sa(x):
    m = moved("sa")
    both = torch.stack([x.mean(1), x.max(1).values], 1)
    z = F.conv2d(both, m.conv.conv.weight, padding=3)
    bn = m.conv.bn
    z = (z - bn.running_mean[:, None, None]) / (bn.running_var[:, None, None] + bn.eps).sqrt()
    assert_close(m(x), x * torch.sigmoid(z * bn.weight[:, None, None] + bn.bias[:, None, None]))


def test_nl(x):
    m = moved("nl")
    query, key, value = (at_every_pixel(p, x).flatten(2) for p in (m.query, m.key, m.value))
    y = torch.empty_like(x).flatten(2)
    for i in range(HEIGHT * WIDTH):
        scores = (query[:, :, i, None] * key).sum(1)  # (N, HW)
        weights = torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)
        y[:, :, i] = m.gamma * (weights[:, None] * value).sum(2)
    assert_close(m(x), x + y.view_as(x))
    assert NonLocal(CHANNELS)(x.float()).equal(x.float())  # gamma starts at 0


def test_gc(x):
    m = moved("gc")
    mask = torch.exp(at_every_pixel(m.conv_attn, x)[:, 0])
    mask = mask / mask.sum((1, 2), keepdim=True)
    context = (x * mask[:, None]).sum((2, 3))
    hidden = context @ matrix(m.mlp_add.fc1).T + m.mlp_add.fc1.bias
    hidden = F.layer_norm(
        hidden, (CHANNELS // 8,), m.mlp_add.norm.weight, m.mlp_add.norm.bias, m.mlp_add.norm.eps
    )
    added = hidden.clamp(min=0) @ matrix(m.mlp_add.fc2).T + m.mlp_add.fc2.bias
    assert_close(m(x), x + added[:, :, None, None])


def test_ea(x):
    m = moved("ea")
    likeness = torch.exp(at_every_pixel(m.keys, x))
    attention = likeness / likeness.sum((2, 3), keepdim=True)  # over positions
    attention = attention / (attention.sum(1, keepdim=True) + 1e-9)  # over the 64 memories
    assert_close(m(x), torch.einsum("cs,nshw->nchw", matrix(m.values), attention))
    assert ExternalAttention(CHANNELS).keys.out_channels == 64


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("se", SqueezeExcitation(64, 4)),
        ("ca", CoordAttn(64, rd_channels=8, bias=True)),
        ("gc", GlobalContext(64, fuse_add=True, fuse_scale=False)),
        ("sa", SpatialAttn(7)),
    ],
)
def test_four_methods_are_library_modules(name, library):
    ours = ATTENTION[name](64, 8)
    assert type(ours) is type(library)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in library.state_dict().items()
    }


def test_spas_pools_are_an_option():
    assert SpatialPyramidAttention(32, pools=(1, 3)).squeeze.in_features == 10 * 32


MAPS = {  # name -> the map from x, by the formulas above
    "sa": lambda m, x: torch.sigmoid(m.conv(torch.stack([x.mean(1), x.amax(1)], 1)))[:, 0],
    "ca": lambda m, x: (m(x) / x).mean(1),
    "gc": lambda m, x: flat(m.conv_attn, x)[:, 0].softmax(1).view(-1, HEIGHT, WIDTH),
    "nl": lambda m, x: nl_map(flat(m.query, x), flat(m.key, x)),
    "ea": lambda m, x: ea_map(flat(m.keys, x)),
    "ppcr": lambda m, x: m.integrate(m.norm(m.pool(x)))[:, 0],
}


def flat(convolution, x):
    return at_every_pixel(convolution, x).flatten(2)  # (N, C, HW)


def nl_map(query, key):
    attention = torch.einsum("nci,ncj->nij", query, key).softmax(2)
    return attention.mean(1).view(-1, HEIGHT, WIDTH)


def ea_map(likeness):
    return F.normalize(likeness.softmax(2), p=1, dim=1).amax(1).view(-1, HEIGHT, WIDTH)


def test_all_but_channel_attention_has_a_map():
    assert set(MAPS) == set(ATTENTION_MAPS) == set(ATTENTION) - {"se", "spa"}


@pytest.mark.parametrize("name", ATTENTION_MAPS)
def test_recorded_map_equals_the_formula(name, x):
    module = moved(name)
    network = nn.Sequential(Attended(nn.Identity(), module, name, x.shape))
    with record(network) as seen:
        network(x)
        network(x.flip(0))
    expected = MAPS[name](module, x)
    attention = seen["0"].attention
    assert attention.shape == (6, HEIGHT, WIDTH)
    assert_close(attention[:3].double(), expected, rtol=1e-4, atol=1e-5)
    assert_close(attention[3:].double(), expected.flip(0), rtol=1e-4, atol=1e-5)
    if name in ("nl", "gc"):
        assert_close(attention.sum((1, 2)), torch.ones(6))
    assert (seen["0"].weights.numel() > 0) == (name == "ppcr")


def test_aborted_pass_is_dropped(x, monkeypatch):
    module = moved("ca")
    network = nn.Sequential(Attended(nn.Identity(), module, "ca", x.shape))
    with record(network) as seen:
        with monkeypatch.context() as patch, pytest.raises(TypeError):
            patch.setattr(module.conv_w, "forward", lambda: None)  # after one of the two gates
            network(x)
        network(x)
    assert_close(seen["0"].attention.double(), MAPS["ca"](module, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["se", "spa", "ca", "nl", "gc"])
def test_fewer_channels_than_the_reduction_are_refused(name):
    with pytest.raises(ValueError, match=r"reduction=.* must be a whole number, 1 to channels=4"):
        ATTENTION[name](4, 8)


def test_an_unknown_option_is_an_error():
    with pytest.raises(TypeError, match="reductoin"):
        ATTENTION["se"](64, 8, reductoin=8)
