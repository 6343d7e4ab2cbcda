"""Backbones: any torchvision, timm or pytorchcv classifier, with the stem that fits the image and any channels.

Paper: PPCR, section 4.1, names ResNet18 and ResNet50. Its printed GFLOPs at 28 and 32 px fit a 3x3 stride-1 stem
without max-pool, those at 224 px the usual stem. Global attention, section 4.3, compares with VGG-att3 ("vgg_att3")
and ResAttNet-92 ("pytorchcv:resattnet92", from the repository that its supplement, section 2.3, names).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from medattn.attention.insert import first_convolution, output_shapes
from medattn.datasets.augment import NORMALISE
from medattn.near import near
from medattn.vgg_att3 import VGGAtt3

log = logging.getLogger(__name__)

SMALL_STEM_UP_TO = 64  # px
OURS: dict[str, Callable[[int, int, int], nn.Module]] = {"vgg_att3": VGGAtt3}  # n_classes, in_channels, size
AUXILIARY_HEADS = ("googlenet", "inception_v3")  # torchvision's, with logits beside the main ones in training
FORM_WITH_WEIGHTS = {  # what torchvision changes in a network where it loads weights
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


def build_network(
    name: str,
    n_classes: int,
    in_channels: int = 3,
    size: int = 224,
    pretrained: bool = False,
    stem: str | None = None,
    weights_follow: bool = False,
) -> nn.Module:
    """Build a classifier for (N, in_channels, size, size) -> (N, n_classes).

    `name` is a torchvision classifier ("resnet18"), "timm:" and a timm model ("timm:resnet26"), "pytorchcv:" and a
    pytorchcv classifier ("pytorchcv:resattnet92", for 64 px and other multiples of 32), or "vgg_att3". `stem` is
    "small" (3x3, stride 1, no max-pool), "usual", or None: small up to 64 px for ResNets, and logged; pretrained ones
    keep the convolution that they have. `pretrained` loads ImageNet weights (torchvision and timm only); a grey network
    sums the first convolution's weights over colours. With `weights_follow` it only has the form that these weights
    need, for others to be loaded.
    Raises ValueError for an unknown name, a stem or a size the network cannot have, or weights there are none of;
    FileNotFoundError where weights cannot be downloaded, with the place to put the file.
    """
    if stem not in (None, "small", "usual"):
        raise ValueError(f"stem={stem!r} is unknown; there are 'small', 'usual' and None (by the image size)")
    source, _, model = name.rpartition(":")
    if source not in SOURCES:
        prefixes = ", ".join(f"'{known}:...'" for known in SOURCES if known)
        raise ValueError(f"network {name!r}: {source!r} is no source of networks; there are {prefixes}, or no prefix")
    network = SOURCES[source](model, n_classes, in_channels, size, pretrained, weights_follow)
    has_small_stem = isinstance(getattr(network, "maxpool", None), nn.Module) and hasattr(network, "layer1")
    if stem == "small" and not has_small_stem:
        raise ValueError(f"stem='small' is for ResNet-like networks; {name} keeps its usual stem")
    if stem == "small" or (stem is None and size <= SMALL_STEM_UP_TO and has_small_stem and not pretrained):
        _make_stem_small(network)
        log.info("%s: 3x3 stride-1 stem without max-pool, for %d px (stem='usual' for the other)", name, size)
    else:
        log.info("%s: usual stem, for %d px", name, size)
    return network


def _make_stem_small(network: nn.Module) -> None:
    old = first_convolution(network)[1]
    norm = network.bn1  # its width is a deep stem's last
    width = norm.num_features if hasattr(norm, "num_features") else norm.num_channels
    network.conv1 = nn.Conv2d(old.in_channels, width, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNet
    network.maxpool = nn.Identity()


def _network_without_prefix(
    name: str, n_classes: int, in_channels: int, size: int, pretrained: bool, weights_follow: bool
) -> nn.Module:
    if name not in OURS:
        return _torchvision_network(name, n_classes, in_channels, pretrained, weights_follow)
    if pretrained:
        raise _never_pretrained(name)
    return OURS[name](n_classes, in_channels, size)


def _torchvision_network(
    name: str, n_classes: int, in_channels: int, pretrained: bool, weights_follow: bool
) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(
            f"network {name!r}{near(name, [*known, *OURS])} is no torchvision classifier, such as resnet18, nor "
            f"{', '.join(OURS)}, 'timm:...' or 'pytorchcv:...'"
        )
    options = {"init_weights": True} if name in AUXILIARY_HEADS else {}
    if not pretrained:
        network = torchvision.models.get_model(name, weights=None, num_classes=n_classes, **options)
    elif weights_follow:
        network = torchvision.models.get_model(name, weights=None, **FORM_WITH_WEIGHTS.get(name, {}))
        _replace_heads(network, n_classes)
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


def _timm_network(
    name: str, n_classes: int, in_channels: int, _size: int, pretrained: bool, weights_follow: bool
) -> nn.Module:
    import timm  # only where asked for: it takes seconds to import

    if not timm.is_model(name):
        raise ValueError(f"network 'timm:{name}' is unknown to timm{near(name, timm.list_models())}")
    if not pretrained or weights_follow:
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


def _pytorchcv_network(
    name: str, n_classes: int, in_channels: int, size: int, pretrained: bool, _weights_follow: bool
) -> nn.Module:
    from pytorchcv.model_provider import _models as known  # only where asked for: it takes seconds to import

    if name not in known:
        raise ValueError(f"network 'pytorchcv:{name}' is unknown to pytorchcv{near(name, known)}")
    if pretrained:
        raise _never_pretrained(f"pytorchcv:{name}")
    try:
        network = known[name](num_classes=n_classes, in_channels=in_channels, in_size=(size, size))
        if isinstance(getattr(network.features, "final_pool", None), nn.AvgPool2d):  # of 7x7, for 224 px alone
            network.features.final_pool = nn.AdaptiveAvgPool2d(1)  # the same there
        shape = tuple(output_shapes(network, [""], in_channels, size)[""])
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        why = (str(error) or "its code refuses them").splitlines()[0]
        raise ValueError(
            f"network 'pytorchcv:{name}' does not classify images ({in_channels}, {size}, {size}): {why}; "
            "for a classifier try a multiple of 32 px, such as 64 or 224"
        ) from error
    if shape != (1, n_classes):
        raise ValueError(f"network 'pytorchcv:{name}' gives {shape} for an image, not (1, {n_classes}) logits")
    return network


def _never_pretrained(name: str) -> ValueError:
    return ValueError(
        f"pretrained=True: there are no weights for {name} here; train it from scratch with pretrained=False, as the "
        "global attention paper did with its attention networks (section 4.6)"
    )


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
        bias=old.bias is not None or getattr(network, "transform_input", False),
    )
    weight, shift = old.weight, torch.zeros(old.out_channels)
    if getattr(network, "transform_input", False):  # GoogLeNet and Inception with weights begin with x * scale + offset
        network.transform_input = False
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in NORMALISE["imagenet"])
        weight, shift = weight * std / 0.5, (weight * (mean - 0.5) / 0.5).sum((1, 2, 3))
    with torch.no_grad():  # a grey image gives what its three equal, equally standardised colours gave, but at borders
        new.weight.copy_(weight.sum(1, keepdim=True).expand_as(new.weight) / in_channels)
        if new.bias is not None:
            new.bias.copy_(shift if old.bias is None else old.bias + shift)
    _replace(network, name, new)


SOURCES: dict[str, Callable[[str, int, int, int, bool, bool], nn.Module]] = {  # by the prefix of a network's name
    "": _network_without_prefix,
    "timm": _timm_network,
    "pytorchcv": _pytorchcv_network,
}
