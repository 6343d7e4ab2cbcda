"""Attention by name: how each method is built, and how its attention map is read.

Paper: PPCR, sections 4.1 and 4.3 (Fig. 1 draws the maps of NL, GC, EA and PPCR; it does not say how they are read).
"""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any

from torch import Tensor, nn

from medattn.attention import rivals
from medattn.attention.ppcr import PPCR


def _at_any_size(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    return wraps(build)(lambda channels, size, **options: build(channels, **options))


ATTENTION: dict[str, Callable[..., nn.Module]] = {  # name -> (channels, size, **options) -> module
    "ppcr": PPCR,
    "se": _at_any_size(rivals.squeeze_excitation),
    "spa": _at_any_size(rivals.SpatialPyramidAttention),
    "ca": _at_any_size(rivals.coordinate_attention),
    "sa": _at_any_size(rivals.spatial_gate),
    "nl": _at_any_size(rivals.NonLocal),
    "gc": _at_any_size(rivals.global_context),
    "ea": _at_any_size(rivals.ExternalAttention),
}

# name -> (the part of the module to listen to, what it put out in one pass -> the map (N, H, W) or (N, HW)).
# SE and SPA weigh channels and have no map.
ATTENTION_MAPS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "ppcr": ("integrate", lambda gate: gate[:, 0]),  # G, Eq. (5), in 0..1
    "sa": ("gate", lambda gate: gate[:, 0]),  # in 0..1
    "ca": ("gate", lambda rows, columns: (rows * columns).mean(1)),  # two gates, in 0..1; mean over channels
    "nl": ("attend", lambda attention: attention.mean(1)),  # received by each key, mean over queries; sums to 1
    "gc": ("conv_attn", lambda scores: scores.flatten(1).softmax(1)),  # the mask; sums to 1
    "ea": ("norm", lambda attention: attention.amax(1)),  # the strongest memory, in 1/64..1
}


def with_floats(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give a method's options with 1.0 for 1 where a float is expected, so that equal options are written alike."""
    floats = [p.name for p in signature(ATTENTION[name]).parameters.values() if isinstance(p.default, float)]
    return {key: float(value) if key in floats and type(value) is int else value for key, value in options.items()}


def options_of(name: str) -> str:
    """Say the options of a method with their defaults, such as "reduction=16"."""
    parameters = signature(ATTENTION[name]).parameters.values()
    return ", ".join(f"{p.name}={p.default!r}" for p in parameters if p.name not in ("channels", "size"))
