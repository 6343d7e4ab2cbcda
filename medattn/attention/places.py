"""What a network looks like: its residual blocks, first convolution, output shapes and stages."""

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
import yaml
from torch import nn

from medattn.attention.global_map import WeightMapped
from medattn.preprocess import Size, height_width

# kind of residual block -> its last normalisation
LAST_NORM = yaml.safe_load(Path(__file__).with_name("last_norm.yaml").read_text())


def residual_norms(network: nn.Module) -> list[str]:
    """Name the last normalisation of every residual block of a kind in `LAST_NORM`."""
    names = []
    for name, block in network.named_modules():
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(block).__mro__]
        kind = next((kind for kind in kinds if kind in LAST_NORM), "")
        if not kind or (kind.endswith(".ConvBnAct") and not getattr(block, "has_skip", False)):
            continue
        path = LAST_NORM[kind]
        if path.endswith("."):
            path += str(len(list(block.get_submodule(path[:-1]).children())) - 1)
        names.append(f"{name}.{path}".lstrip("."))
    return names


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the name and the module of the convolution that sees the image."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError(f"{type(network).__name__} has no 2D convolution: set in_channels")


def output_shapes(
    network: nn.Module, names: Iterable[str], size: Size, in_channels: int | None = None
) -> dict[str, torch.Size]:
    """Return the output shapes (N, C, H, W) of named modules for an image of `size`.

    Modules that are not run, or that return no tensor, are left out. Raises ValueError if the
    network does not take the image, or runs a named module twice.
    """
    prefix = ""
    if isinstance(network, WeightMapped):  # the map changes no shape
        network, prefix = network.image_cnn, "image_cnn."
    paths = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    in_channels = in_channels or first_convolution(network)[1].in_channels
    shape = (1, in_channels, *height_width(size))
    try:
        outputs = _outputs(network, paths, shape, "meta")  # only shapes: no memory, no arithmetic
    except Exception:  # the network looks at values, or holds tensors that are not buffers
        try:
            outputs = _outputs(network, paths, shape, "cpu")
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"{type(network).__name__} does not take an image {shape}: {type(error).__name__}: "
                f"{reason}. Set another size or in_channels; of a detector, pass the backbone"
            ) from error
    for name, calls in outputs.items():
        if len(calls) > 1:
            raise ValueError(f"{name} is run more than once in a pass: choose another place")
    return {k: calls[0].shape for k, calls in outputs.items() if isinstance(calls[0], torch.Tensor)}


@torch.no_grad()
def _outputs(
    network: nn.Module, paths: dict[str, str], shape: tuple[int, ...], device: str
) -> dict[str, list]:
    """Return, by name, the outputs of the modules at these paths in one pass of a copy."""
    probe = copy.deepcopy(network).to(device).float().eval()  # of the image's type
    outputs: dict[str, list] = {}
    for name, path in paths.items():
        probe.get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.setdefault(name, []).append(output)
        )
    probe(torch.zeros(shape, device=device))
    return outputs


def stages(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the stage of each named module: "layer1" of "layer1.0.bn2".

    A stage is the name up to the first part in which the residual blocks differ, without the prefix
    of a weight map: RegNet's stages are "trunk_output.block1", ...
    """
    bare = {name: name.removeprefix("image_cnn.") for name in names}
    blocks = [name.removeprefix("image_cnn.") for name in residual_norms(network)] or bare.values()
    parts = zip(*(name.split(".") for name in blocks), strict=False)
    depth = next((k for k, names_at in enumerate(parts) if len(set(names_at)) > 1), 0)
    return {name: ".".join(path.split(".")[: depth + 1]) for name, path in bare.items()}
