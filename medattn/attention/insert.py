"""The place of attention in a network: after the last normalisation of every residual block.

Paper: PPCR, section 1, says that it "can be easily plugged into modern CNNs", and not where. The place is that of the
authors' later public code: after the last batch norm of a block, before the shortcut is added.
"""

import copy
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from medattn.attention.global_map import WeightMapped
from medattn.attention.methods import ATTENTION, options_of
from medattn.attention.ppcr import PPCR, Size, height_width

# the last normalisation within each kind of residual block; named, not imported, so that timm loads only when used
LAST_NORM = {
    "torchvision.models.resnet.BasicBlock": "bn2",
    "torchvision.models.resnet.Bottleneck": "bn3",
    "torchvision.models.regnet.ResBottleneckBlock": "f.c",
    "timm.models.resnet.BasicBlock": "bn2",
    "timm.models.resnet.Bottleneck": "bn3",
    "timm.models.res2net.Bottle2neck": "bn3",
    "timm.models.resnest.ResNestBottleneck": "bn3",
    "timm.models.sknet.SelectiveKernelBasic": "conv2",
    "timm.models.sknet.SelectiveKernelBottleneck": "conv3",
    "timm.models.regnet.Bottleneck": "conv3",
}


class Site(NamedTuple):
    """One place where attention sits: its name in the network, the module, and the feature map it sees."""

    name: str
    module: nn.Module
    attention: str  # its name in `ATTENTION`
    channels: int
    size: tuple[int, int]  # (H, W)


class Attended(nn.Sequential):
    """A module followed by attention; the place keeps the module's name in the network."""

    def __init__(self, module: nn.Module, attention: nn.Module, name: str, shape: torch.Size):
        super().__init__()
        self.module, self.attention = module, attention
        self.name, self.channels, self.size = name, shape[1], tuple(shape[2:])


def attention_sites(network: nn.Module) -> list[Site]:
    """List the attention modules of a network, in the order of its modules: inserted ones, and PPCR of its own."""
    sites: list[Site] = []
    for name, place in network.named_modules():
        if isinstance(place, Attended):
            sites.append(Site(name, place.attention, place.name, place.channels, place.size))
        elif isinstance(place, PPCR) and name and not any(place is site.module for site in sites):
            sites.append(Site(name, place, "ppcr", place.channels, place.size))
    return sites


def residual_norms(network: nn.Module) -> list[str]:
    """Name the last normalisation of every residual block that is known (`LAST_NORM`)."""
    names = []
    for name, block in network.named_modules():
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(block).__mro__]  # a block of one's own, too
        known = next((kind for kind in kinds if kind in LAST_NORM), None)
        if known:
            names.append(f"{name}.{LAST_NORM[known]}".lstrip("."))
    return names


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Give the name and the module of the convolution that sees the image."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError(f"{type(network).__name__} has no 2D convolution: say in_channels")


def output_shapes(network: nn.Module, names: Iterable[str], in_channels: int, size: Size) -> dict[str, torch.Size]:
    """Find the output shapes (N, C, H, W) of named modules for an image of `size`; nothing of the network changes.

    Modules that are not run are left out, and so are those that do not give a tensor.
    """
    # the map of a `WeightMapped` changes no shape
    inner, prefix = (network.image_cnn, "image_cnn.") if isinstance(network, WeightMapped) else (network, "")
    places = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    shape = (1, in_channels, *height_width(size))
    try:
        outputs = _outputs(inner, places, shape, "meta")  # shapes alone: no memory, no arithmetic
    except Exception:  # a network that looks at values, or brings tensors of its own
        try:
            outputs = _outputs(inner, places, shape, "cpu")
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"{type(inner).__name__} does not take an image {shape}: {type(error).__name__}: {said}. "
                "Say another size or in_channels; of a detector, give the backbone"
            ) from error
    for name, given in outputs.items():
        if len(given) > 1:
            raise ValueError(f"{name} is run more than once in a pass: choose a place that is run once")
    return {name: given[0].shape for name, given in outputs.items() if isinstance(given[0], torch.Tensor)}


@torch.no_grad()
def _outputs(network: nn.Module, places: dict[str, str], shape: tuple[int, ...], device: str) -> dict[str, list]:
    """Give, by name, what the modules at these places give in one pass of a copy; those that are run."""
    copied = copy.deepcopy(network).to(device).float().eval()  # of the image's type, whatever the network's
    outputs: dict[str, list] = {}
    for name, place in places.items():
        copied.get_submodule(place).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.setdefault(name, []).append(output)
        )
    copied(torch.zeros(shape, device=device))
    return outputs


def _named(network: nn.Module, where: str | type | Iterable[str] | None) -> list[str]:
    if where is None:
        names = residual_norms(network)
        if not names:
            raise ValueError(
                f"{type(network).__name__} has no residual block that is known here: say where= (of a recipe: "
                f"attention_where) as module names ({', '.join([n for n, _ in network.named_children()][:6])}, ...) or "
                "as a module type"
            )
        return names
    if isinstance(where, type):
        names = [name for name, module in network.named_modules() if name and isinstance(module, where)]
        if not names:
            raise ValueError(f"where={where.__name__}: {type(network).__name__} has no such module")
        return names
    if isinstance(where, nn.Module):
        raise ValueError(f"where is a module ({type(where).__name__}): say its name, or the type")
    names = [where] if isinstance(where, str) else list(where)
    if not names:
        raise ValueError("where names no module: leave it out for every residual block, or say names or a type")
    known = dict(network.named_modules(remove_duplicate=False))
    for name in names:
        if name not in known or name == "":
            raise ValueError(f"where={name!r} is no module of {type(network).__name__}; see network.named_modules()")
    once: dict[nn.Module, str] = {}
    for name in names:
        once.setdefault(known[name], name)
    return list(once.values())


def _built(name: str, place: str, shape: torch.Size, options: dict) -> nn.Module:
    try:
        return ATTENTION[name](shape[1], tuple(shape[2:]), **options)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"attention {name!r} cannot follow {place} ({shape[1]} channels): {error}. Its options are "
            f"{options_of(name)}"
        ) from error


def insert_attention(
    network: nn.Module,
    name: str,
    size: Size,
    where: str | type | Iterable[str] | None = None,
    in_channels: int | None = None,
    **options,
) -> list[Site]:
    """Put attention `name` into a network, in place, and give its sites.

    `size` is the image's side or (H, W). Without `where`, the module follows the last normalisation of every
    residual block; with it, the modules of these names or of this type. `options` go to the module (for
    PPCR: scales, norm, init; for most rivals: reduction; an error names them all). Insert after pretrained weights
    were loaded: the names of the parameters at a site change. `in_channels` is read off the first convolution unless
    said. A network may be given attention several times, of another kind or at other places each: one place has one.
    Nothing is changed on an error.
    """
    if name not in ATTENTION:
        raise ValueError(f"attention {name!r} is unknown; there are {', '.join(ATTENTION)}")
    names = _named(network, where)
    taken = [site.name for site in attention_sites(network)]
    twice = [place for place in names if any(f"{place}.".startswith(f"{site}.") for site in taken)]
    if twice:
        raise ValueError(f"{twice[0]} has attention already: build a fresh network, or say other places by where=")
    in_channels = in_channels or first_convolution(network)[1].in_channels
    shapes = output_shapes(network, names, in_channels, size)
    modules = {}
    for place in names:
        shape = shapes.get(place)
        if shape is None:
            raise ValueError(
                f"{place} is not run by the network's forward pass, or gives no tensor: choose another place"
            )
        if len(shape) != 4:
            raise ValueError(f"{place} gives {tuple(shape)}, not a feature map (N, C, H, W): choose another place")
        height, width = height_width(size)
        if height == width and shape[1] == shape[2] != shape[3]:
            raise ValueError(
                f"{place} gives {tuple(shape)} for a square image, which looks like (N, H, W, C): choose a place whose "
                "output has its channels first"
            )
        modules[place] = _built(name, place, shape, options)
    for place, attention in sorted(modules.items(), key=lambda item: -item[0].count(".")):  # the innermost first
        module = network.get_submodule(place)
        same = [name for name, other in network.named_modules(remove_duplicate=False) if other is module]
        reference = next(module.parameters(), next(network.parameters()))
        attention.to(reference.device, reference.dtype).train(network.training)
        attended = Attended(module, attention, name, shapes[place])
        attended.training = network.training  # the module keeps its own mode: a frozen norm stays frozen
        for each in same:  # whatever name the forward pass calls it by
            parent, _, child = each.rpartition(".")
            setattr(network.get_submodule(parent), child, attended)
    return attention_sites(network)


def resize_attention(network: nn.Module, size: Size, in_channels: int | None = None) -> list[Site]:
    """Make every site fit images of another `size` (side or (H, W)), and give the sites.

    Of the modules, only those that have weights per pixel position change (PPCR's W is resampled). `in_channels` is
    read off the first convolution unless said. Raises ValueError for a network without attention, and for one behind a
    weight map of another size.
    """
    if isinstance(network, WeightMapped):
        with torch.no_grad():
            of_map = tuple(network.weight_map().shape[2:])
        if of_map != height_width(size):
            raise ValueError(
                f"size={size}: this network stands behind a weight map of {of_map}, whose pixels are those of its "
                "images: build it anew for the other size"
            )
    sites = attention_sites(network)
    if not sites:
        raise ValueError(f"{type(network).__name__} has no attention to resize: insert_attention comes first")
    fresh, inputs = copy.deepcopy(network), {}
    for site in sites:  # the feature-map sizes, with nothing in the way that minds them
        place = fresh.get_submodule(site.name)
        if isinstance(place, Attended):
            place.attention, inputs[site.name] = nn.Identity(), f"{site.name}.module"
        else:
            fresh.set_submodule(site.name, nn.Identity())
            inputs[site.name] = site.name
    in_channels = in_channels or first_convolution(network)[1].in_channels
    shapes = output_shapes(fresh, inputs.values(), in_channels, size)
    unseen = [name for name, place in inputs.items() if place not in shapes]
    if unseen:
        raise ValueError(f"{unseen[0]} is not run by the network's forward pass: its size cannot be known")
    for site in sites:
        fitting = tuple(shapes[inputs[site.name]][2:])
        if hasattr(site.module, "resize_weights"):
            site.module.resize_weights(fitting)
        network.get_submodule(site.name).size = fitting
    return attention_sites(network)
