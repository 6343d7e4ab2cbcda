"""Attention in networks: where it sits, what stays as it was, and what is refused."""

import copy
import logging

import pytest
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from medattn.attention import PPCR, GlobalAttention, attention_sites, insert_attention, resize_attention
from medattn.attention.insert import first_convolution
from medattn.networks import AUXILIARY_HEADS, build_network
from medattn.recording import record

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
]


@pytest.mark.parametrize(("name", "n_sites", "first", "channels"), LAST_BLOCKS)
def test_one_module_after_the_last_norm_of_every_residual_block(name, n_sites, first, channels):
    network = build_network(name, 5, size=64)
    sites = insert_attention(network, "ppcr", 64)
    assert len(sites) == n_sites
    assert (sites[0].name, sites[0].channels) == (first, channels)
    assert network.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 5)


def test_the_place_is_before_the_shortcut_is_added():
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
    assert all(site.module.integrate.weight.dtype == torch.float64 for site in attention_sites(network))
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


def test_one_network_may_have_attention_of_several_kinds():
    encoder = build_network("timm:test_resnet", 2, size=28)
    insert_attention(encoder, "ppcr", 28)
    sites = insert_attention(encoder, "se", 28, where="conv1")
    assert {site.name: site.attention for site in sites if site.attention == "se"} == {"conv1": "se"}
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


def test_ppcr_of_a_networks_own_is_a_site_that_is_recorded_and_resized():
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


def test_a_block_of_ones_own_is_known_by_what_it_was_made_of():
    class Block(torchvision.models.resnet.BasicBlock):
        pass

    network = torchvision.models.ResNet(Block, [1, 1, 1, 1])
    assert [site.name for site in insert_attention(network, "ppcr", 64)][::3] == ["layer1.0.bn2", "layer4.0.bn2"]


class LooksAtValues(nn.Module):
    """What shapes alone cannot pass: a tensor that is no buffer, and a branch on a value."""

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([0.5])
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x, scale=1):
        x = (x - self.mean) * scale
        return self.conv(-x if x.max() > 5 else x)


def test_a_network_that_looks_at_values_takes_attention():
    network = LooksAtValues()
    [site] = insert_attention(network, "ppcr", (12, 10), where="conv")
    assert site.size == (12, 10) and network(torch.randn(2, 3, 12, 10)).shape == (2, 8, 12, 10)


@pytest.mark.parametrize(
    ("forward", "said"),
    [(lambda x, y: x + y, "TypeError: .*missing 1 required"), (lambda x: x.missing, "AttributeError: .*missing")],
)
def test_what_a_network_does_not_take_is_an_error_that_says_why(forward, said):
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    network.forward = forward
    with pytest.raises(ValueError, match=rf"does not take an image \(1, 3, 9, 9\): {said}"):
        insert_attention(network, "ppcr", 9, where="0")


def test_an_optimiser_trains_the_weights_that_were_resized():
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


def test_attention_behind_a_learned_map_is_inserted_and_resized():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    network = GlobalAttention(build_network("timm:test_resnet", 2, size=32), images, 4)
    sites = insert_attention(network, "ppcr", 32)
    assert sites[0].name.startswith("image_cnn.layer1") and len(sites) == 4
    assert resize_attention(network, 32) == sites
    with pytest.raises(ValueError, match=r"size=16: .* behind a weight map of \(32, 32\), .* build it anew"):
        resize_attention(network, 16)


@pytest.mark.parametrize("where", [["0", "0.1"], nn.Sequential])
def test_a_place_within_another_takes_attention_too(where):
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)), nn.Flatten())
    names = [site.name for site in insert_attention(network, "sa", 8, where=where)]
    assert names == (["0", "0.module.1"] if isinstance(where, list) else ["0"])
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 512)


def test_a_module_of_two_names_is_followed_by_attention_whichever_is_called():
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


def test_a_whole_network_compiles_exports_and_copies():
    torch.manual_seed(0)
    network = build_network("resnet18", 2, size=28).eval()
    for site in insert_attention(network, "ppcr", 28):
        nn.init.normal_(site.module.integrate.weight)
    x = torch.randn(2, 3, 28, 28)
    expected = network(x)
    assert_close(torch.export.export(network, (x,)).module()(x), expected)
    assert torch.equal(copy.deepcopy(network)(x), expected)
    whole = torch.compile(network, backend="aot_eager", fullgraph=True)  # the graph, without kernels
    assert_close(whole(x), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "pcpr"}, "attention 'pcpr' is unknown; there are .*ppcr"),
        ({"where": "layer9"}, "where='layer9' is no module of ResNet"),
        ({"where": nn.LayerNorm}, "where=LayerNorm: ResNet has no such module"),
        ({"where": "fc"}, r"fc gives \(1, 2\), not a feature map"),
        ({"where": []}, "where names no module: leave it out"),
        ({"where": nn.ReLU()}, r"where is a module \(ReLU\): say its name, or the type"),
        ({"where": "layer1.0.relu"}, "layer1.0.relu is run more than once in a pass"),
        ({"in_channels": 1}, r"ResNet does not take an image \(1, 1, 28, 28\): .*Say another size or in_channels"),
        ({"scales": (1, 3)}, "channels=64 is not divisible by 3"),
    ],
)
def test_what_cannot_be_inserted_is_said_and_nothing_changes(options, said):
    network = build_network("resnet18", 2, size=28)
    names = [name for name, _ in network.named_modules()]
    with pytest.raises(ValueError, match=said):
        insert_attention(network, **({"name": "ppcr", "size": 28} | options))
    assert [name for name, _ in network.named_modules()] == names


def test_channels_that_come_last_are_not_taken_for_rows():
    class Last(nn.Module):
        def forward(self, x):
            return x.movedim(1, 3)

    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Last())
    with pytest.raises(ValueError, match=r"1 gives \(1, 6, 6, 8\) for a square image, which looks like \(N, H, W, C\)"):
        insert_attention(network, "ppcr", 6, where="1", scales=(1, 2))


def test_a_network_without_attention_has_none_to_resize():
    with pytest.raises(ValueError, match="ResNet has no attention to resize: insert_attention comes first"):
        resize_attention(build_network("timm:test_resnet", 2, size=28), 32)


def test_inserting_twice_and_no_known_block_are_errors():
    network = build_network("resnet18", 2, size=28)
    insert_attention(network, "ppcr", 28)
    with pytest.raises(ValueError, match=r"layer1\.0\.bn2 has attention already"):
        insert_attention(network, "ppcr", 28)
    with pytest.raises(ValueError, match=r"layer1\.0\.bn2\.module has attention already"):
        insert_attention(network, "se", 28, where=nn.BatchNorm2d)
    with pytest.raises(ValueError, match=r"VGG has no residual block .* where="):
        insert_attention(build_network("vgg11", 2), "ppcr", 224)


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stride", "map_side"), [(28, 1, 28), (64, 1, 64), (65, 2, 17), (224, 2, 56)])
def test_the_stem_fits_the_image_and_says_so(size, stride, map_side, caplog):
    with caplog.at_level(logging.INFO, "medattn.networks"):
        network = build_network("resnet18", 2, size=size)
    assert network.conv1.stride == (stride, stride)
    assert insert_attention(network, "ppcr", size)[0].size == (map_side, map_side)
    assert ("3x3" if stride == 1 else "usual stem") in caplog.text


def test_the_stem_can_be_told_otherwise():
    assert build_network("resnet18", 2, size=28, stem="usual").conv1.kernel_size == (7, 7)
    assert build_network("timm:resnet26d", 2, size=224, stem="small").conv1.kernel_size == (3, 3)
    with pytest.raises(ValueError, match="stem='tiny' is unknown"):
        build_network("resnet18", 2, stem="tiny")
    with pytest.raises(ValueError, match="stem='small' is for ResNet-like networks; vgg11"):
        build_network("vgg11", 2, stem="small")


def test_pretrained_networks_keep_the_convolution_that_was_trained(monkeypatch):
    get_model = torchvision.models.get_model
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: get_model(name, weights=None))
    assert build_network("resnet18", 2, size=28, pretrained=True).conv1.kernel_size == (7, 7)
    assert build_network("resnet18", 2, size=28, pretrained=True, stem="small").conv1.kernel_size == (3, 3)


def test_parameter_counts_are_the_papers():
    """Tables 1 and 2: 11.18M and 23.52M for 7 classes at 224 px; 11.17M and 23.51M for 5 classes at 28 px."""
    for name, n_classes, size, printed in [("resnet18", 7, 224, 11.18), ("resnet50", 7, 224, 23.52),
                                           ("resnet18", 5, 28, 11.17), ("resnet50", 5, 28, 23.51)]:  # fmt: skip
        count = sum(p.numel() for p in build_network(name, n_classes, size=size).parameters())
        assert round(count / 1e6, 2) == printed


@pytest.mark.parametrize("name", ["resnet17", "timm:resnet17", "fasterrcnn_resnet50_fpn"])
def test_unknown_networks_are_refused_with_near_names(name):
    with pytest.raises(ValueError, match="resnet"):
        build_network(name, 2)


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_pretrained_weights_come_from_their_file_and_the_heads_are_new(weights_folder):
    source = torchvision.models.resnet18(num_classes=1000)
    file = torchvision.models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save(source.state_dict(), weights_folder / file)
    network = build_network("resnet18", 3, in_channels=1, size=224, pretrained=True).eval()
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert network.fc.out_features == 3
    grey = torch.randn(1, 1, 32, 32)
    assert_close(network.conv1(grey), source.conv1(grey.expand(1, 3, 32, 32)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_pretrained_networks_that_transform_their_input_take_grey_images(name, monkeypatch):
    get_model = torchvision.models.get_model

    def pretrained(name, weights):  # as torchvision builds them for its weights
        return get_model(name, weights=None, init_weights=False, transform_input=True)

    monkeypatch.setattr(torchvision.models, "get_model", pretrained)
    image, seen = torch.randn(1, 1, 96, 96), []
    for channels in (1, 3):
        torch.manual_seed(0)
        network = build_network(name, 3, in_channels=channels, pretrained=True).eval()
        first_convolution(network)[1].register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
        assert network(image.expand(1, channels, 96, 96)).shape == (1, 3)
    of_grey, of_colour = (output[..., 2:-2, 2:-2] for output in seen)  # away from the border
    assert_close(of_grey, of_colour, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "inception_v3"])
@pytest.mark.parametrize("channels", [1, 3])
def test_where_weights_follow_the_network_has_the_form_of_a_pretrained_one(name, channels, monkeypatch):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    options = {"init_weights": False} if name in AUXILIARY_HEADS else {}
    full = torchvision.models.get_model(name, weights=None, **options)
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_arguments, **_options: full.state_dict())
    pretrained = build_network(name, 3, channels, 96, pretrained=True, stem="usual")
    monkeypatch.setattr(type(weights), "get_state_dict", None)  # never asked for
    follows = build_network(name, 3, channels, 96, pretrained=True, stem="usual", weights_follow=True)
    follows.load_state_dict(pretrained.state_dict())
    image = torch.randn(2, channels, 96, 96)
    assert_close(follows.eval()(image), pretrained.eval()(image))


def test_a_stem_with_another_norm_is_made_small():
    assert build_network("timm:resnet50_gn", 5, size=28).conv1.out_channels == 64


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_without_a_network_connection_the_place_for_the_file_is_said(name, weights_folder, monkeypatch):
    def refused(*_arguments, **_options):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    monkeypatch.setattr("torch.hub.urlopen", refused)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refused)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", refused)
    with pytest.raises(FileNotFoundError, match=r"put it at .*checkpoints.*pretrained=False"):
        build_network(name, 2, pretrained=True)


def test_timm_weights_come_from_their_file(weights_folder):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("resnet10t", num_classes=1000)
    save_file(source.state_dict(), weights_folder / "timm_resnet10t.safetensors")
    network = build_network("timm:resnet10t", 3, pretrained=True)
    assert torch.equal(network.layer4[0].conv1.weight, source.layer4[0].conv1.weight)
    assert network.fc.out_features == 3


def test_ppcr_is_found_at_its_site():
    network = build_network("resnet18", 2, size=28)
    assert all(isinstance(site.module, PPCR) for site in insert_attention(network, "ppcr", 28))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "se",
            {"reductoin": 8},
            r"'se' cannot follow layer1.0.bn2 \(32 channels\).*reductoin.*options are reduction=16$",
        ),
        ("se", {"reduction": 64}, r"reduction=64 must be a whole number from 1 to channels=32"),
        ("sa", {"kernel_size": 4}, "kernel_size=4 must be odd"),
        ("ea", {"memories": -1}, r"'ea' cannot follow layer1.0.bn2 .*options are memories=64$"),
        ("spa", {"pools": 4}, r"options are reduction=16, pools=\(1, 2, 4\)$"),
        ("ppcr", {"norm": "group"}, r"norm='group' is unknown.*options are scales=\(1, 2, 4\), norm='pixel', init=0.0"),
    ],
)
def test_options_that_cannot_be_are_told_with_the_place_and_those_there_are(name, options, said):
    network = build_network("timm:test_resnet", 2, size=28)
    with pytest.raises(ValueError, match=said):
        insert_attention(network, name, 28, **options)
    assert not attention_sites(network)
