"""Attention by name: how each method is built, and how its attention map is read.

Paper: PPCR, sections 4.1 and 4.3. Fig. 1 shows maps, and the text does not say how they are read.
To add a method, write its module in one file of this folder, and add one line to `METHODS`.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from pkgutil import resolve_name
from typing import Any, NamedTuple

from torch import Tensor, nn


class Method(NamedTuple):
    """A method, and how its map is read; SE and SPA weigh channels and have no map."""

    builder: str  # "file:callable" of this folder; (channels, **options) or (channels, size, ...)
    part: str = ""  # the submodule whose outputs are read
    read: Callable[..., Tensor] | None = None  # its outputs in one pass -> (N, H, W) or (N, HW)


METHODS = {  # in the order of the paper's tables
    "se": Method("rivals:squeeze_excitation"),
    "spa": Method("rivals:SpatialPyramidAttention"),
    "ca": Method("rivals:coordinate_attention", "gate", lambda rows, cols: (rows * cols).mean(1)),
    "sa": Method("rivals:spatial_gate", "gate", lambda gate: gate[:, 0]),  # in 0..1
    "nl": Method("rivals:NonLocal", "attend", lambda a: a.mean(1)),  # over queries; sums to 1
    "gc": Method("rivals:global_context", "conv_attn", lambda s: s.flatten(1).softmax(1)),
    "ea": Method("rivals:ExternalAttention", "norm", lambda a: a.amax(1)),  # strongest memory
    "ppcr": Method("ppcr:PPCR", "integrate", lambda gate: gate[:, 0]),  # G of Eq. (5), in 0..1
}


def _builder(path: str) -> Callable[..., nn.Module]:
    build = resolve_name(f"{__package__}.{path}")
    if "size" in signature(build).parameters:
        return build
    return wraps(build)(lambda channels, size, **options: build(channels, **options))


# name -> (channels, size, **options) -> module
ATTENTION: dict[str, Callable[..., nn.Module]] = {
    name: _builder(method.builder) for name, method in METHODS.items()
}
# name -> (the submodule to listen to, its outputs in one pass -> the map)
ATTENTION_MAPS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    name: (method.part, method.read) for name, method in METHODS.items() if method.read
}


def with_floats(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's options with 1.0 for 1 wherever a float is expected."""
    parameters = signature(ATTENTION[name]).parameters
    floats = {key for key, p in parameters.items() if isinstance(p.default, float)}
    return {k: float(v) if k in floats and type(v) is int else v for k, v in options.items()}


def options_of(name: str) -> str:
    """Return the options of a method with their defaults, such as "reduction=16"."""
    parameters = signature(ATTENTION[name]).parameters.values()
    return ", ".join(f"{p.name}={p.default!r}" for p in parameters if p.default is not p.empty)
