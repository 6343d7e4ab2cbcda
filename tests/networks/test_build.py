"""Networks by name: stems, channels, pretrained weights, other libraries, and one's own."""

import logging
import os
import subprocess
import sys

import pytest
import torch
import torchvision
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.attention import insert_attention
from medattn.attention.places import first_convolution
from medattn.networks import build_network
from medattn.networks.build import AUXILIARY_HEADS
from medattn.paths import ROOT


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "stride", "map_side"), [(28, 1, 28), (64, 1, 64), (65, 2, 17), (224, 2, 56)]
)
def test_stem_fits_the_image_and_is_logged(size, stride, map_side, caplog):
    with caplog.at_level(logging.INFO, "medattn.networks.build"):
        network = build_network("resnet18", 2, size=size)
    assert network.conv1.stride == (stride, stride)
    assert insert_attention(network, "ppcr", size)[0].size == (map_side, map_side)
    assert ("3x3" if stride == 1 else "usual stem") in caplog.text


def test_stem_can_be_set():
    assert build_network("resnet18", 2, size=28, stem="usual").conv1.kernel_size == (7, 7)
    assert build_network("timm:resnet26d", 2, size=224, stem="small").conv1.kernel_size == (3, 3)
    with pytest.raises(ValueError, match="stem='tiny' is unknown"):
        build_network("resnet18", 2, stem="tiny")
    with pytest.raises(ValueError, match="stem='small' is for ResNet-like networks; vgg11"):
        build_network("vgg11", 2, stem="small")


def test_pretrained_network_keeps_its_stem(monkeypatch):
    get_model = torchvision.models.get_model
    monkeypatch.setattr(
        torchvision.models, "get_model", lambda name, weights: get_model(name, weights=None)
    )
    assert build_network("resnet18", 2, size=28, pretrained=True).conv1.kernel_size == (7, 7)
    assert build_network(
        "resnet18", 2, size=28, pretrained=True, stem="small"
    ).conv1.kernel_size == (3, 3)


def test_parameter_counts_are_the_papers():
    """Tables 1 and 2, in millions: 7 classes at 224 px, and 5 classes at 28 px."""
    for name, n_classes, size, printed in [
        ("resnet18", 7, 224, 11.18),
        ("resnet50", 7, 224, 23.52),
        ("resnet18", 5, 28, 11.17),
        ("resnet50", 5, 28, 23.51),
    ]:
        count = n_parameters(build_network(name, n_classes, size=size))
        assert round(count / 1e6, 2) == printed


@pytest.mark.parametrize("name", ["resnet17", "timm:resnet17", "fasterrcnn_resnet50_fpn"])
def test_unknown_network_is_refused_with_near_names(name):
    with pytest.raises(ValueError, match="resnet"):
        build_network(name, 2)


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_pretrained_weights_are_loaded_without_head(weights_folder):
    source = torchvision.models.resnet18(num_classes=1000)
    file = torchvision.models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save(source.state_dict(), weights_folder / file)
    network = build_network("resnet18", 3, in_channels=1, size=224, pretrained=True).eval()
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert network.fc.out_features == 3
    grey = torch.randn(1, 1, 32, 32)
    assert_close(network.conv1(grey), source.conv1(grey.expand(1, 3, 32, 32)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_input_transform_is_kept_for_grey_images(name, monkeypatch):
    get_model = torchvision.models.get_model

    def pretrained(name, weights):  # as torchvision builds them for its weights
        return get_model(name, weights=None, init_weights=False, transform_input=True)

    monkeypatch.setattr(torchvision.models, "get_model", pretrained)
    image, seen = torch.randn(1, 1, 96, 96), []
    for channels in (1, 3):
        torch.manual_seed(0)
        network = build_network(name, 3, in_channels=channels, pretrained=True).eval()
        first_convolution(network)[1].register_forward_hook(
            lambda _layer, _inputs, output: seen.append(output)
        )
        assert network(image.expand(1, channels, 96, 96)).shape == (1, 3)
    of_grey, of_colour = (output[..., 2:-2, 2:-2] for output in seen)  # away from the border
    assert_close(of_grey, of_colour, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "inception_v3"])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_follow_gives_the_pretrained_form(name, channels, monkeypatch):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    options = {"init_weights": False} if name in AUXILIARY_HEADS else {}
    full = torchvision.models.get_model(name, weights=None, **options)
    monkeypatch.setattr(
        type(weights), "get_state_dict", lambda *_arguments, **_options: full.state_dict()
    )
    pretrained = build_network(name, 3, channels, 96, pretrained=True, stem="usual")
    monkeypatch.setattr(type(weights), "get_state_dict", None)  # never asked for
    follows = build_network(
        name, 3, channels, 96, pretrained=True, stem="usual", weights_follow=True
    )
    follows.load_state_dict(pretrained.state_dict())
    image = torch.randn(2, channels, 96, 96)
    assert_close(follows.eval()(image), pretrained.eval()(image))


def test_stem_with_group_norm_is_made_small():
    assert build_network("timm:resnet50_gn", 5, size=28).conv1.out_channels == 64


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_failed_download_names_the_file(name, weights_folder, monkeypatch):
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


@pytest.fixture(scope="module")
def resattnet():
    torch.manual_seed(0)
    return build_network("pytorchcv:resattnet92", 5, size=64)


def test_resattnet92_has_attention_1_2_3_times(resattnet):
    blocks = [
        name for name, module in resattnet.named_modules() if type(module).__name__ == "AttBlock"
    ]
    assert [name.split(".")[1] for name in blocks] == [
        "stage1",
        "stage2",
        "stage2",
        "stage3",
        "stage3",
        "stage3",
    ]
    assert n_parameters(resattnet) == 50_417_344 + 5 * (2048 + 1)


@pytest.mark.parametrize("size", [32, 64, 96, 224, 256])
def test_resattnet92_takes_multiples_of_32_px(resattnet, size):
    weights = {name: value.to("meta") for name, value in resattnet.eval().state_dict().items()}
    logits = torch.func.functional_call(
        resattnet, weights, torch.empty(2, 3, size, size, device="meta")
    )
    assert logits.shape == (2, 5)


def test_resattnet92_pools_7x7_at_224_px(resattnet):
    last = torch.randn(1, 4, 7, 7)
    assert_close(resattnet.features.final_pool(last), F.avg_pool2d(last, 7))


def test_resattnet92_trains_a_step_and_exports(resattnet):
    torch.manual_seed(0)
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    before = resattnet.output.weight.detach().clone()
    resattnet.train()
    optimizer = torch.optim.SGD(resattnet.parameters(), lr=1e-3)
    F.cross_entropy(resattnet(images), labels).backward()
    for name, parameter in resattnet.named_parameters():
        assert 0 < parameter.grad.abs().max() < torch.inf, name
    optimizer.step()
    assert not torch.equal(resattnet.output.weight, before)
    optimizer.zero_grad()
    resattnet.eval()
    assert_close(torch.export.export(resattnet, (images,)).module()(images), resattnet(images))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("pytorchcv:resattnet93", 224, "does not classify .*Unsupported model: resattnet93"),
        (
            "pytorchcv:resattnet92",
            28,
            r"does not classify images \(3, 28, 28\): .*multiple of 32 px",
        ),
        ("pytorchcv:efficientnet_b0", 64, "does not classify .* such as 64 or 224"),
        ("pytorchcv:simplepose_resnet18_coco", 224, "does not classify"),
        (
            "keras:resnet18",
            224,
            "'keras:resnet18' cannot be imported: No module named 'keras'.*'timm:MODEL'",
        ),
        ("vgg_att4", 224, "did you mean 'vgg_att3'"),
    ],
)
def test_impossible_network_is_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        build_network(name, 5, size=size)


@pytest.mark.parametrize("name", ["vgg_att3", "pytorchcv:resattnet92"])
def test_network_without_weights_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} has no pretrained weights here"):
        build_network(name, 5, pretrained=True)


def test_pytorchcv_takes_grey_images_of_any_size():
    network = build_network("pytorchcv:resnet18_wd4", 3, in_channels=1, size=48).eval()
    assert network(torch.randn(2, 1, 48, 48)).shape == (2, 3)


def test_pytorchcv_needs_no_connection():
    code = """
import socket, sys
def refused(*_):
    raise AssertionError("a connection was asked for")
socket.socket.connect = socket.getaddrinfo = refused
from medattn.networks import build_network
assert "pytorchcv" not in sys.modules
build_network("pytorchcv:resnet10", 2, size=32)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


OWN = """
from torch import nn

NUMBER = 3


def build(n_classes, in_channels, size):
    return nn.Sequential(nn.Conv2d(in_channels, size, 3), nn.Flatten(), nn.LazyLinear(n_classes))
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_own_network_is_built_by_its_import_path(own_module):
    network = build_network("own.networks:build", 5, in_channels=1, size=8)
    assert network[0].out_channels == 8
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_own_network_is_found_by_another_process(own_module):
    code = "from medattn.networks import build_network; build_network('own.networks:build', 2)"
    path = os.environ | {"PYTHONPATH": str(own_module)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own.missing:build", "cannot be imported: No module named 'own.missing'"),
        ("own.networks:missing", "cannot be imported: .*no attribute 'missing'"),
        ("own.networks:NUMBER", "is 3 and must be callable"),
        ("own.networks:", "is <module .*must be callable"),
        ("own networks:build", "cannot be imported"),
    ],
)
def test_wrong_import_path_is_refused(own_module, name, message):
    with pytest.raises(ValueError, match=f"network '{name}' ({message})"):
        build_network(name, 2)


def test_own_network_has_no_pretrained_weights(own_module):
    with pytest.raises(ValueError, match=r"own\.networks:build has no pretrained weights here"):
        build_network("own.networks:build", 2, pretrained=True)
