"""Backbones: any torchvision or timm classifier, with the stem that fits the image and any number of channels.

Paper: PPCR, section 4.1, names ResNet18 and ResNet50. Its printed GFLOPs at 28 and 32 px fit a 3x3 stride-1 stem
without max-pool, those at 224 px the usual stem.
"""

import logging
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from medattn.attention.insert import first_convolution

log = logging.getLogger(__name__)

SMALL_STEM_UP_TO = 64  # px
AUXILIARY_HEADS = ("googlenet", "inception_v3")  # torchvision's, with logits beside the main ones in training


def build_network(
    name: str,
    n_classes: int,
    in_channels: int = 3,
    size: int = 224,
    pretrained: bool = False,
    stem: str | None = None,
) -> nn.Module:
    """Build a classifier for (N, in_channels, size, size) -> (N, n_classes).

    `name` is a torchvision classifier ("resnet18") or "timm:" and a timm model ("timm:resnet26"). `stem` is
    "small" (3x3, stride 1, no max-pool), "usual", or None: small up to 64 px for ResNets, and logged.
    `pretrained` loads ImageNet weights; a grey network sums the first convolution's weights over colours.
    Raises ValueError for an unknown name or a stem the network cannot have, FileNotFoundError where
    weights cannot be downloaded, with the place to put the file.
    """
    if stem not in (None, "small", "usual"):
        raise ValueError(f"stem={stem!r} is unknown; there are 'small', 'usual' and None (by the image size)")
    build = _timm_network if name.startswith("timm:") else _torchvision_network
    network = build(name.removeprefix("timm:"), n_classes, in_channels, pretrained)
    has_small_stem = isinstance(getattr(network, "maxpool", None), nn.Module) and hasattr(network, "layer1")
    if stem == "small" and not has_small_stem:
        raise ValueError(f"stem='small' is for ResNet-like networks; {name} keeps its usual stem")
    if stem == "small" or (stem is None and size <= SMALL_STEM_UP_TO and has_small_stem):
        _make_stem_small(network)
        log.info("%s: 3x3 stride-1 stem without max-pool, for %d px (stem='usual' for the other)", name, size)
    else:
        log.info("%s: usual stem, for %d px", name, size)
    return network


def _make_stem_small(network: nn.Module) -> None:
    old = first_convolution(network)[1]
    width = network.bn1.num_features  # a deep stem's last width
    network.conv1 = nn.Conv2d(old.in_channels, width, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNet
    network.maxpool = nn.Identity()


def _torchvision_network(name: str, n_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = [other for other in known if other[:3] == name[:3]] or ["resnet18", "resnet50"]
        raise ValueError(f"network {name!r} is no torchvision classifier (near it: {', '.join(near)}) nor 'timm:...'")
    options = {"init_weights": True} if name in AUXILIARY_HEADS else {}
    if not pretrained:
        network = torchvision.models.get_model(name, weights=None, num_classes=n_classes, **options)
    else:
        weights = torchvision.models.get_model_weights(name).DEFAULT
        try:
            network = torchvision.models.get_model(name, weights=weights)
        except (URLError, OSError) as error:
            raise _no_weights(name, weights.url, Path(weights.url).name) from error
        _replace_heads(network, n_classes)
    if in_channels != 3:
        _replace_first_convolution(network, in_channels)
    return network


def _timm_network(name: str, n_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    import timm  # only where asked for: it takes seconds to import

    if not timm.is_model(name):
        near = timm.list_models(f"{name[:6]}*")[:5]
        raise ValueError(f"network 'timm:{name}' is unknown to timm; near it: {', '.join(near) or 'nothing'}")
    if not pretrained:
        return timm.create_model(name, num_classes=n_classes, in_chans=in_channels)
    file = _checkpoints() / f"timm_{name}.safetensors"
    overlay = {"file": str(file)} if file.exists() else None
    try:
        return timm.create_model(
            name, pretrained=True, num_classes=n_classes, in_chans=in_channels, pretrained_cfg_overlay=overlay
        )
    except (URLError, OSError) as error:
        source = timm.get_pretrained_cfg(name).hf_hub_id
        raise _no_weights(f"timm:{name}", f"https://huggingface.co/{source} (model.safetensors)", file.name) from error


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _no_weights(name: str, source: str, file_name: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"the pretrained weights of {name} could not be downloaded from {source}; fetch that file elsewhere and put "
        f"it at {_checkpoints() / file_name}, or train from scratch with pretrained=False"
    )


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _replace_heads(network: nn.Module, n_classes: int) -> None:
    # the layers with ImageNet's 1000 outputs: the head, and auxiliary heads
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and module.out_features == 1000:
            _replace(network, name, nn.Linear(module.in_features, n_classes))
        elif isinstance(module, nn.Conv2d) and module.out_channels == 1000:  # SqueezeNet
            _replace(network, name, nn.Conv2d(module.in_channels, n_classes, kernel_size=1))


def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    name, old = first_convolution(network)
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        old.dilation,
        bias=old.bias is not None,
    )
    with torch.no_grad():  # the same response to a grey image as to its three equal colours
        new.weight.copy_(old.weight.sum(1, keepdim=True).expand_as(new.weight) / in_channels)
        if old.bias is not None:
            new.bias.copy_(old.bias)
    _replace(network, name, new)
