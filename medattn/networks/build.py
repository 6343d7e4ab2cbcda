"""Backbones by name, with the stem that fits the image, for any number of channels.

Paper: PPCR, section 4.1: its GFLOPs at 28 and 32 px fit a 3x3 stride-1 stem without max-pool.
Global attention, section 4.3, compares with "vgg_att3" and "pytorchcv:resattnet92".
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from medattn.attention.places import first_convolution, output_shapes
from medattn.networks.vgg_att3 import VGGAtt3
from medattn.paths import did_you_mean
from medattn.preprocess import NORMALISE

log = logging.getLogger(__name__)

SMALL_STEM_UP_TO = 64  # px
_FORM = {"transform_input": True, "init_weights": False}
# torchvision's networks with auxiliary heads, and the options that give the form of their weights
AUXILIARY_HEADS = {"googlenet": _FORM | {"aux_logits": False}, "inception_v3": _FORM}


def build_network(
    name: str,
    n_classes: int,
    in_channels: int = 3,
    size: int = 224,
    pretrained: bool = False,
    stem: str | None = None,
    weights_follow: bool = False,
) -> nn.Module:
    """Build a classifier (N, in_channels, size, size) -> (N, n_classes).

    `name` is a torchvision classifier ("resnet18"), "timm:MODEL", "pytorchcv:MODEL", "vgg_att3", or
    "package.module:build" of one's own, where build(n_classes, in_channels, size) returns it.
    `stem` is "small" (3x3, stride 1, no max-pool), "usual", or None: small for untrained ResNets up
    to 64 px. `pretrained` loads ImageNet weights (torchvision and timm); a grey network takes their
    sum over colours. With `weights_follow` it has their form only. Raises ValueError if there is no
    such network, and FileNotFoundError with the path of the file if a download fails.
    """
    if stem not in (None, "small", "usual"):
        raise ValueError(f"stem={stem!r} is unknown; there are 'small', 'usual' and None (by size)")
    source, _, model = name.rpartition(":")
    if source == "timm":
        network = _timm_network(model, n_classes, in_channels, pretrained and not weights_follow)
    elif not source and name != "vgg_att3":
        network = _torchvision_network(name, n_classes, in_channels, pretrained, weights_follow)
    elif pretrained:
        raise ValueError(f"{name} has no pretrained weights here: set pretrained=False")
    elif source == "pytorchcv":
        network = _pytorchcv_network(model, n_classes, in_channels, size)
    else:
        build = VGGAtt3 if name == "vgg_att3" else _imported(name)
        network = build(n_classes, in_channels, size)
    resnet_like = {"maxpool", "layer1"} <= {child for child, _ in network.named_children()}
    if stem == "small" and not resnet_like:
        raise ValueError(f"stem='small' is for ResNet-like networks; {name} keeps its usual stem")
    by_size = stem is None and size <= SMALL_STEM_UP_TO and not pretrained
    if small := stem == "small" or (by_size and resnet_like):
        _make_stem_small(network)
    kind = "3x3 stride-1 stem without max-pool (stem='usual' for the other)"
    log.info("%s: %s, for %d px", name, kind if small else "usual stem", size)
    return network


def _imported(name: str) -> Callable[[int, int, int], nn.Module]:
    try:
        build = resolve_name(name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(
            f"network {name!r} cannot be imported: {error}. Names with a colon are 'timm:MODEL', "
            "'pytorchcv:MODEL', and 'package.module:build' for a network of one's own"
        ) from error
    if callable(build):
        return build
    raise ValueError(f"network {name!r} is {build!r} and must be callable, to return a network")


def _make_stem_small(network: nn.Module) -> None:
    old = first_convolution(network)[1]
    width = len(next(network.get_submodule("bn1").parameters()))  # of a deep stem's last layer
    new = nn.Conv2d(old.in_channels, width, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as in torchvision
    network.conv1, network.maxpool = new, nn.Identity()


def _torchvision_network(
    name: str, n_classes: int, in_channels: int, pretrained: bool, weights_follow: bool
) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(
            f"network {name!r}{did_you_mean(name, [*known, 'vgg_att3'])} is unknown: a torchvision "
            "classifier such as resnet18, vgg_att3, 'timm:...', 'pytorchcv:...' or 'module:build'"
        )
    options: dict[str, Any] = AUXILIARY_HEADS.get(name, {})
    if not pretrained:
        options = {"num_classes": n_classes} | ({"init_weights": True} if options else {})
    elif not weights_follow:
        options = {"weights": torchvision.models.get_model_weights(name).DEFAULT}
    try:
        network = torchvision.models.get_model(name, **options)
    except (URLError, OSError) as error:
        url = options["weights"].url
        file = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
        raise _no_weights(name, url, file) from error
    if pretrained:
        _replace_heads(network, n_classes)
    if in_channels != 3:
        _replace_first_convolution(network, in_channels)
    return network


def _timm_network(name: str, n_classes: int, in_channels: int, load: bool) -> nn.Module:
    import timm  # takes seconds

    if not timm.is_model(name):
        raise ValueError(f"timm has no {name!r}{did_you_mean(name, timm.list_models())}")
    create = partial(timm.create_model, name, num_classes=n_classes, in_chans=in_channels)
    if not load:
        return create()
    file = Path(torch.hub.get_dir(), "checkpoints", f"timm_{name}.safetensors")
    try:
        overlay = {"file": str(file)} if file.exists() else None
        return create(pretrained=True, pretrained_cfg_overlay=overlay)
    except (URLError, OSError) as error:
        config = timm.get_pretrained_cfg(name)
        url = f"https://huggingface.co/{config and config.hf_hub_id} (model.safetensors)"
        raise _no_weights(f"timm:{name}", url, file) from error


def _pytorchcv_network(name: str, n_classes: int, in_channels: int, size: int) -> nn.Module:
    from pytorchcv.model_provider import get_model  # takes seconds

    try:
        images = {"in_channels": in_channels, "in_size": (size, size)}
        network = get_model(name, num_classes=n_classes, **images)
        if isinstance(getattr(network.features, "final_pool", None), nn.AvgPool2d):
            network.features.final_pool = nn.AdaptiveAvgPool2d(1)  # not only of 7x7, at 224 px
        shape = tuple(output_shapes(network, [""], size, in_channels)[""])
        if shape != (1, n_classes):
            raise ValueError(f"it returns {shape}, not (1, {n_classes}) logits")
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or "its code refuses them").splitlines()[0]
        raise ValueError(
            f"network 'pytorchcv:{name}' does not classify images ({in_channels}, {size}, {size}): "
            f"{reason}; if it is a classifier, try a multiple of 32 px, such as 64 or 224"
        ) from error
    return network


def _no_weights(name: str, url: str, file: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"the pretrained weights of {name} could not be downloaded from {url}; download the file "
        f"elsewhere and put it at {file}, or set pretrained=False"
    )


def _replace_heads(network: nn.Module, n_classes: int) -> None:
    """Replace the layers with ImageNet's 1000 outputs: the head, and auxiliary heads."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and module.out_features == 1000:
            network.set_submodule(name, nn.Linear(module.in_features, n_classes))
        elif isinstance(module, nn.Conv2d) and module.out_channels == 1000:  # SqueezeNet
            network.set_submodule(name, nn.Conv2d(module.in_channels, n_classes, kernel_size=1))


@torch.no_grad()
def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    """Let the first convolution return for a grey image what its three equal colours gave."""
    name, old = first_convolution(network)
    weight, bias = _without_input_transform(network, old)
    keys = ("out_channels", "kernel_size", "stride", "padding", "dilation")
    options: dict[str, Any] = {key: getattr(old, key) for key in keys}
    new = nn.Conv2d(in_channels, **options, bias=bias is not None)
    new.weight.copy_(weight.sum(1, keepdim=True).expand_as(new.weight) / in_channels)
    if new.bias is not None and bias is not None:
        new.bias.copy_(bias)
    network.set_submodule(name, new)


def _without_input_transform(network: nn.Module, first: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """Return the first layer's weight and bias, with the input transform moved into them."""
    if not getattr(network, "transform_input", False):
        return first.weight, first.bias
    # GoogLeNet and Inception with weights begin with x * std / 0.5 + (mean - 0.5) / 0.5 per colour;
    # the new layer is equal to both, but at zero-padded borders
    network.transform_input = False  # type: ignore[assignment]  # torch declares modules only
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in NORMALISE["imagenet"])
    shift = (first.weight * (mean - 0.5) / 0.5).sum((1, 2, 3))
    return first.weight * std / 0.5, shift if first.bias is None else first.bias + shift
