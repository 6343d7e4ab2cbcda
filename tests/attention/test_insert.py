"""Attention in networks: where it sits, what stays as it was, and what is refused."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from medattn.attention import (
    PPCR,
    GlobalAttention,
    attention_sites,
    insert_attention,
    record,
    resize_attention,
)
from medattn.networks import build_network

LAST_BLOCKS = [
    ("resnet18", 8, "layer1.0.bn2", 64),
    ("resnet50", 16, "layer1.0.bn3", 256),
    ("resnext50_32x4d", 16, "layer1.0.bn3", 256),
    ("regnet_y_400mf", 16, "trunk_output.block1.block1-0.f.c", 48),
    ("timm:resnet18", 8, "layer1.0.bn2", 64),
    ("timm:resnet26d", 8, "layer1.0.bn3", 256),
    ("timm:seresnet50", 16, "layer1.0.bn3", 256),
    ("timm:regnety_002", 13, "s1.b1.conv3", 24),
    ("timm:res2net50_26w_4s", 16, "layer1.0.bn3", 256),
    ("timm:resnest14d", 4, "layer1.0.bn3", 256),
    ("timm:skresnet18", 8, "layer1.0.conv2", 64),
    ("mobilenet_v2", 17, "features.1.conv.2", 16),
    ("mobilenet_v3_small", 11, "features.1.block.2", 16),
    ("mobilenet_v3_large", 15, "features.1.block.1", 16),
    ("efficientnet_b0", 16, "features.1.0.block.2", 16),
    ("efficientnet_v2_s", 40, "features.1.0.block.0", 24),
    ("timm:mobilenetv2_100", 17, "blocks.0.0.bn2", 16),
    ("timm:mobilenetv3_small_100", 11, "blocks.0.0.bn2", 16),  # and one convolution without a skip
    ("timm:mobilenetv4_conv_small", 12, "blocks.2.0.dw_end", 96),
    ("timm:tf_efficientnet_lite0", 16, "blocks.0.0.bn2", 16),
    ("timm:tf_efficientnetv2_s", 40, "blocks.0.0.bn1", 24),
]


@pytest.mark.parametrize(("name", "n_sites", "first", "channels"), LAST_BLOCKS)
def test_every_residual_block_gets_attention(name, n_sites, first, channels):
    network = build_network(name, 5, size=64).to("meta").eval()
    sites = insert_attention(network, "ppcr", 64)
    assert network(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 5)
    assert len(sites) == n_sites
    assert (sites[0].name, sites[0].channels) == (first, channels)


@pytest.mark.parametrize(
    ("name", "block", "body"),
    [
        ("efficientnet_b0", "features.2.1", lambda b, x: b.block(x)),
        ("mobilenet_v3_large", "features.3", lambda b, x: b.block(x)),
        (
            "timm:tf_efficientnet_lite0",
            "blocks.1.1",
            lambda b, x: b.bn3(b.conv_pwl(b.bn2(b.conv_dw(b.bn1(b.conv_pw(x)))))),
        ),
    ],
)
def test_inverted_residual_is_gated_before_shortcut(name, block, body):
    plain = build_network(name, 2).eval()
    gated = copy.deepcopy(plain)
    insert_attention(gated, "ppcr", 224)
    x = torch.randn(1, 24, 56, 56)
    branch = body(plain.get_submodule(block), x)
    assert_close(gated.get_submodule(block)(x), x + 0.5 * branch)  # PPCR is 1/2 at the start


def test_attention_stands_before_the_shortcut():
    """A block computes relu(ppcr(bn2(...)) + shortcut), with PPCR = 1/2 at the start."""
    network = build_network("resnet18", 2, size=28).eval()
    for module in network.modules():  # an untrained batch norm, made visible
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.bias)
    block = copy.deepcopy(network.layer2[0])
    insert_attention(network, "ppcr", 28)
    x = torch.randn(2, 64, 28, 28)
    branch = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    assert_close(network.layer2[0](x), torch.relu(0.5 * branch + block.downsample(x)))


def test_insertion_keeps_weights_mode_and_dtype():
    network = build_network("resnet18", 2, size=28).double().eval()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    insert_attention(network, "ppcr", 28)
    kept = {name.replace(".module.", "."): value for name, value in network.state_dict().items()}
    assert all(torch.equal(kept[name], value) for name, value in weights.items())
    assert all(
        site.module.integrate.weight.dtype == torch.float64 for site in attention_sites(network)
    )
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("name", "where", "n_sites"),
    [
        ("vgg11", nn.MaxPool2d, 5),
        ("googlenet", "inception5b", 1),
        ("densenet121", ["features.denseblock1", "features.norm5"], 2),
        ("mobilenet_v2", "features.18", 1),
        ("efficientnet_b0", "features.8", 1),
        ("convnext_tiny", "features.7", 1),
    ],
)
def test_networks_without_residual_blocks_take_where(name, where, n_sites):
    network = build_network(name, 3, in_channels=1, size=64)
    sites = insert_attention(network, "ppcr", 64, where=where)
    assert len(sites) == n_sites
    assert network.eval()(torch.randn(2, 1, 64, 64)).shape == (2, 3)


def test_images_need_not_be_square():
    network = build_network("resnet18", 2, size=28)
    sites = insert_attention(network, "ppcr", (28, 44))
    assert [site.size for site in sites][::2] == [(28, 44), (14, 22), (7, 11), (4, 6)]
    assert network(torch.randn(2, 3, 28, 44)).shape == (2, 2)


def test_network_takes_several_kinds_of_attention():
    encoder = build_network("timm:test_resnet", 2, size=28)
    insert_attention(encoder, "ppcr", 28)
    sites = insert_attention(encoder, "se", 28, where="conv1")
    assert {site.name: site.attention for site in sites if site.attention == "se"} == {
        "conv1": "se"
    }
    assert [site.attention for site in sites].count("ppcr") == 4
    assert len(resize_attention(encoder, 56)) == 5
    assert encoder.eval()(torch.randn(1, 3, 56, 56)).shape == (1, 2)


class OwnPPCR(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.ppcr = nn.Conv2d(3, 8, 3, stride=2, padding=1), PPCR(8, (14, 10))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.ppcr(self.conv(x)).mean((2, 3)))


def test_own_ppcr_is_recorded_and_resized():
    network, x = OwnPPCR(), torch.randn(2, 3, 28, 20)
    [site] = attention_sites(network)
    assert (site.name, site.attention, site.channels, site.size) == ("ppcr", "ppcr", 8, (14, 10))
    with record(network) as seen:
        network(x)
    assert_close(seen["ppcr"].attention, torch.full((2, 14, 10), 0.5))
    assert [site.size for site in resize_attention(network, (40, 28))] == [(20, 14)]
    assert network(torch.randn(2, 3, 40, 28)).shape == (2, 2)
    sites = insert_attention(network, "se", (40, 28), where="conv", reduction=4)
    assert [(site.name, site.attention) for site in sites] == [("conv", "se"), ("ppcr", "ppcr")]
    network.ppcr, network.unused = nn.Identity(), PPCR(8, 4)
    with pytest.raises(ValueError, match="unused is not run by the network's forward pass"):
        resize_attention(network, 28)


def test_subclassed_block_is_known():
    class Block(torchvision.models.resnet.BasicBlock):
        pass

    network = torchvision.models.ResNet(Block, [1, 1, 1, 1])
    assert [site.name for site in insert_attention(network, "ppcr", 64)][::3] == [
        "layer1.0.bn2",
        "layer4.0.bn2",
    ]


class LooksAtValues(nn.Module):
    """What shapes alone cannot pass: a tensor that is no buffer, and a branch on a value."""

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([0.5])
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x, scale=1):
        x = (x - self.mean) * scale
        return self.conv(-x if x.max() > 5 else x)


def test_network_that_reads_values_takes_attention():
    network = LooksAtValues()
    [site] = insert_attention(network, "ppcr", (12, 10), where="conv")
    assert site.size == (12, 10) and network(torch.randn(2, 3, 12, 10)).shape == (2, 8, 12, 10)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x, y: x + y, "TypeError: .*missing 1 required"),
        (lambda x: x.missing, "AttributeError: .*missing"),
    ],
)
def test_failing_forward_pass_is_named(forward, message):
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    network.forward = forward
    with pytest.raises(ValueError, match=rf"does not take an image \(1, 3, 9, 9\): {message}"):
        insert_attention(network, "ppcr", 9, where="0")


def test_resize_keeps_weights_in_optimiser():
    network = build_network("resnet18", 2, size=28)
    [site, *_] = insert_attention(network, "ppcr", 28)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    resize_attention(network, 56)
    weight = site.module.integrate.weight
    assert any(weight is parameter for parameter in optimizer.param_groups[0]["params"])
    network(torch.randn(2, 3, 56, 56)).square().sum().backward()
    optimizer.step()
    assert weight.shape[1:] == site.module.size and weight.abs().max() > 0


def test_resize_attention_follows_the_network():
    network = build_network("resnet18", 2, size=28)
    insert_attention(network, "ppcr", 28)
    x = torch.randn(1, 3, 56, 56)
    with pytest.raises(ValueError, match="resize_weights"):
        network.eval()(x)
    assert [site.size[0] for site in resize_attention(network, 56)][::2] == [56, 28, 14, 7]
    assert network(x).shape == (1, 2)


def test_attention_goes_behind_a_learned_map():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    network = GlobalAttention(build_network("timm:test_resnet", 2, size=32), images, 4)
    sites = insert_attention(network, "ppcr", 32)
    assert sites[0].name.startswith("image_cnn.layer1") and len(sites) == 4
    assert resize_attention(network, 32) == sites
    with pytest.raises(
        ValueError, match=r"size=16: there is a weight map of \(32, 32\): build it anew"
    ):
        resize_attention(network, 16)


@pytest.mark.parametrize("where", [["0", "0.1"], nn.Sequential])
def test_nested_places_take_attention(where):
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)), nn.Flatten()
    )
    names = [site.name for site in insert_attention(network, "sa", 8, where=where)]
    assert names == (["0", "0.module.1"] if isinstance(where, list) else ["0"])
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 512)


def test_module_with_two_names_is_replaced_at_both():
    class Aliased(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
            self.norm = self.stem[1]

        def forward(self, x):
            return self.norm(self.stem[0](x))

    for where in (nn.BatchNorm2d, "norm", ["stem.1", "norm", "norm"]):
        network = Aliased()
        [site] = insert_attention(network, "ppcr", 8, where=where)
        nn.init.constant_(site.module.integrate.weight, torch.nan)
        assert network(torch.randn(2, 3, 8, 8)).isnan().all()


def test_network_compiles_exports_and_copies():
    torch.manual_seed(0)
    network = build_network("resnet18", 2, size=28).eval()
    for site in insert_attention(network, "ppcr", 28):
        nn.init.normal_(site.module.integrate.weight)
    x = torch.randn(2, 3, 28, 28)
    expected = network(x)
    assert_close(torch.export.export(network, (x,)).module()(x), expected)
    assert torch.equal(copy.deepcopy(network)(x), expected)
    whole = torch.compile(
        network, backend="aot_eager", fullgraph=True
    )  # the graph, without kernels
    assert_close(whole(x), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "pcpr"}, "attention 'pcpr' is unknown; there are .*ppcr"),
        ({"where": "layer9"}, "where='layer9' matches no module of ResNet"),
        ({"where": nn.LayerNorm}, "where=<class .*LayerNorm.> matches no module of ResNet"),
        ({"where": "fc"}, r"fc returns \(1, 2\), not a feature map"),
        ({"where": []}, r"where=\[\] matches no module"),
        (
            {"where": nn.ReLU()},
            r"where=ReLU\(\) matches no module of ResNet: pass module names or a type",
        ),
        ({"where": "layer1.0.relu"}, "layer1.0.relu is run more than once in a pass"),
        (
            {"in_channels": 1},
            r"ResNet does not take an image \(1, 1, 28, 28\): .*Set another size or in_channels",
        ),
        ({"scales": (1, 3)}, r"channels=64 and scales=\(1, 3\) do not fit"),
    ],
)
def test_refused_insertion_changes_nothing(options, message):
    network = build_network("resnet18", 2, size=28)
    names = [name for name, _ in network.named_modules()]
    with pytest.raises(ValueError, match=message):
        insert_attention(network, **({"name": "ppcr", "size": 28} | options))
    assert [name for name, _ in network.named_modules()] == names


def test_channels_last_output_is_refused():
    class Last(nn.Module):
        def forward(self, x):
            return x.movedim(1, 3)

    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Last())
    with pytest.raises(
        ValueError,
        match=r"1 returns \(1, 6, 6, 8\) for a square image, which looks like \(N, H, W, C\)",
    ):
        insert_attention(network, "ppcr", 6, where="1", scales=(1, 2))


def test_resize_needs_attention():
    with pytest.raises(ValueError, match="ResNet has no attention: call insert_attention first"):
        resize_attention(build_network("timm:test_resnet", 2, size=28), 32)


def test_second_insertion_at_a_place_is_refused():
    network = build_network("resnet18", 2, size=28)
    insert_attention(network, "ppcr", 28)
    with pytest.raises(ValueError, match=r"layer1\.0\.bn2 has attention already"):
        insert_attention(network, "ppcr", 28)
    with pytest.raises(ValueError, match=r"layer1\.0\.bn2\.module has attention already"):
        insert_attention(network, "se", 28, where=nn.BatchNorm2d)
    with pytest.raises(ValueError, match=r"VGG has no residual block .* set where"):
        insert_attention(build_network("vgg11", 2), "ppcr", 224)


def test_ppcr_is_found_at_its_site():
    network = build_network("resnet18", 2, size=28)
    assert all(isinstance(site.module, PPCR) for site in insert_attention(network, "ppcr", 28))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "se",
            {"reductoin": 8},
            r"'se' cannot follow layer1.0.bn2 \(32 channels\).*reductoin.*reduction=16$",
        ),
        ("se", {"reduction": 64}, r"reduction=64 must be a whole number, 1 to channels=32"),
        ("sa", {"kernel_size": 4}, "kernel_size=4 must be odd"),
        ("ea", {"memories": -1}, r"'ea' cannot follow layer1.0.bn2 .*options are memories=64$"),
        ("spa", {"pools": 4}, r"options are reduction=16, pools=\(1, 2, 4\)$"),
        (
            "ppcr",
            {"norm": "group"},
            r"norm='group' is unknown.*options are scales=\(1, 2, 4\), norm='pixel', init=0.0",
        ),
    ],
)
def test_wrong_option_names_place_and_options(name, options, message):
    network = build_network("timm:test_resnet", 2, size=28)
    with pytest.raises(ValueError, match=message):
        insert_attention(network, name, 28, **options)
    assert not attention_sites(network)
