"""Attention in a network: inserted after the last normalisation of each residual block.

Paper: PPCR, section 1, does not name the place. This is the one of the authors' later public code:
after the last batch norm of a block, before the shortcut is added.
"""

import copy
import os
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import nn

from medattn.attention.global_map import WeightMapped
from medattn.attention.methods import ATTENTION, options_of
from medattn.attention.places import output_shapes, residual_norms
from medattn.attention.ppcr import PPCR
from medattn.preprocess import Size, height_width

RECOMPILE_LIMIT = 64  # feature-map sizes, in training and evaluation; PyTorch allows 8


class Site(NamedTuple):
    """One attention module of a network, and the feature map that it sees."""

    name: str  # in the network
    module: nn.Module
    attention: str  # its name in `ATTENTION`
    channels: int
    size: tuple[int, int]  # (H, W)


class Attended(nn.Sequential):
    """A module followed by attention, under the module's name in the network."""

    def __init__(self, module: nn.Module, attention: nn.Module, name: str, shape: torch.Size):
        super().__init__()
        self.module, self.attention, self.name = module, attention, name
        self.channels, self.size = shape[1], (shape[2], shape[3])


def attention_sites(network: nn.Module) -> list[Site]:
    """List the attention modules of a network, in its order: inserted ones, and PPCR of its own."""
    sites: list[Site] = []
    for name, module in network.named_modules():
        if isinstance(module, Attended):
            sites.append(Site(name, module.attention, module.name, module.channels, module.size))
        elif isinstance(module, PPCR) and name and all(module is not site.module for site in sites):
            sites.append(Site(name, module, "ppcr", module.channels, module.size))
    return sites


def insert_attention(
    network: nn.Module,
    name: str,
    size: Size,
    where: str | type | Iterable[str] | None = None,
    in_channels: int | None = None,
    **options,
) -> list[Site]:
    """Insert attention `name` into a network, in place, and return all its sites.

    `size` is the image's side or (H, W). Attention follows the last normalisation of every residual
    block, or the modules of the names or the type `where`. `options` go to the attention module.
    `in_channels` is read off the first convolution by default. Load pretrained weights first, since
    parameters at a site change their names. On a ValueError nothing changes.
    """
    if name not in ATTENTION:
        raise ValueError(f"attention {name!r} is unknown; there are {', '.join(ATTENTION)}")
    places = _places(network, where)
    taken = [site.name for site in attention_sites(network)]
    for place in places:
        if any(f"{place}.".startswith(f"{site}.") for site in taken):
            raise ValueError(f"{place} has attention already: set where to other places")
    shapes = output_shapes(network, places, size, in_channels)
    modules = {place: _build(name, place, shapes, size, options) for place in places}
    for place in sorted(places, key=lambda place: -place.count(".")):  # the innermost first
        module, attention = network.get_submodule(place), modules[place]
        reference = next(module.parameters(), next(network.parameters()))
        attention.to(reference.device, reference.dtype).train(network.training)
        attended = Attended(module, attention, name, shapes[place])
        attended.training = network.training  # the module keeps its own mode: a norm stays frozen
        named = list(network.named_modules(remove_duplicate=False))
        for path in [path for path, other in named if other is module]:
            network.set_submodule(path, attended)  # under every name that the forward pass may use
    return attention_sites(network)


def _places(network: nn.Module, where: str | type | Iterable[str] | None) -> list[str]:
    kind, modules = type(network).__name__, dict(network.named_modules(remove_duplicate=False))
    if where is None:
        names = residual_norms(network)
        if not names:
            children = ", ".join([name for name, _ in network.named_children()][:6])
            raise ValueError(
                f"{kind} has no residual block that is known here: set where (in a recipe: "
                f"attention_where) to module names ({children}, ...) or to a module type"
            )
    elif isinstance(where, type):
        names = [name for name, module in modules.items() if name and isinstance(module, where)]
    elif isinstance(where, nn.Module):
        names = []
    else:
        names = [where] if isinstance(where, str) else list(where)
    unknown = [name for name in names if not name or name not in modules]
    if unknown or not names:
        wrong = repr(unknown[0] if unknown else where)
        raise ValueError(f"where={wrong} matches no module of {kind}: pass module names or a type")
    first_names: dict[nn.Module, str] = {}
    for name in names:
        first_names.setdefault(modules[name], name)
    return list(first_names.values())


def _build(name: str, place: str, shapes: dict, size: Size, options: dict) -> nn.Module:
    shape, (height, width) = tuple(shapes.get(place, ())), height_width(size)
    if not shape:
        problem = "is not run by the network's forward pass, or returns no tensor"
    elif len(shape) != 4:
        problem = f"returns {shape}, not a feature map (N, C, H, W)"
    elif height == width and shape[1] == shape[2] != shape[3]:
        problem = f"returns {shape} for a square image, which looks like (N, H, W, C)"
    else:
        try:
            return ATTENTION[name](shape[1], shape[2:], **options)
        except (RuntimeError, TypeError, ValueError) as error:
            problem = f"attention {name!r} cannot follow {place} ({shape[1]} channels): {error}"
            raise ValueError(f"{problem}. Its options are {options_of(name)}") from error
    raise ValueError(f"{place} {problem}: choose another place")


def resize_attention(network: nn.Module, size: Size, in_channels: int | None = None) -> list[Site]:
    """Fit every site to images of another `size` (side or (H, W)), and return the sites.

    Only modules with weights per pixel change: PPCR's W is resampled. Raises ValueError for a
    network without attention, and for one behind a weight map of another size.
    """
    if isinstance(network, WeightMapped):
        with torch.no_grad():
            map_size = tuple(network.weight_map().shape[2:])
        if map_size != height_width(size):
            raise ValueError(f"size={size}: there is a weight map of {map_size}: build it anew")
    sites = attention_sites(network)
    if not sites:
        raise ValueError(f"{type(network).__name__} has no attention: call insert_attention first")
    probe, paths = copy.deepcopy(network), []
    for site in sites:
        inserted = isinstance(network.get_submodule(site.name), Attended)
        paths.append(f"{site.name}.attention" if inserted else site.name)
        probe.set_submodule(paths[-1], nn.Identity())  # which takes feature maps of any size
    shapes = output_shapes(probe, paths, size, in_channels)
    if unknown := [path for path in paths if path not in shapes]:
        raise ValueError(f"{unknown[0]} is not run by the network's forward pass")
    for site, path in zip(sites, paths, strict=True):
        module, (_, _, height, width) = network.get_submodule(site.name), shapes[path]
        if resize_weights := getattr(site.module, "resize_weights", None):
            resize_weights((height, width))
        if isinstance(module, Attended):
            module.size = (height, width)
    return attention_sites(network)


def compile_attention(network: nn.Module) -> bool:
    """Compile each attention module by itself, in place, and return whether there is a compiler.

    PPCR becomes one kernel each way and differs in its last bits. The first step takes some seconds
    longer. A CPU needs a C++ compiler, and a GPU needs Triton; without one nothing changes.
    """
    on_gpu = next(network.parameters()).device.type == "cuda"
    for_cpu = [name for name in (os.environ.get("CXX"), "g++", "clang++") if name]
    compiler = find_spec("triton") if on_gpu else any(map(shutil.which, for_cpu))
    if compiler:
        for site in attention_sites(network):
            site.module.compile(dynamic=True, recompile_limit=RECOMPILE_LIMIT)
    return bool(compiler)
