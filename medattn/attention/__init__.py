"""Attention modules, and their insertion into any CNN."""

from medattn.attention.compiling import compile_attention
from medattn.attention.global_map import (
    WEIGHT_MAPS,
    FixedMap,
    GlobalAttention,
    LearnedMap,
    PixelCNN,
    PixelWeights,
    WeightMapped,
    map_penalty,
)
from medattn.attention.insert import Site, attention_sites, insert_attention, resize_attention
from medattn.attention.methods import ATTENTION, ATTENTION_MAPS
from medattn.attention.pixels import PixelRepresentation
from medattn.attention.ppcr import (
    NORMALISATIONS,
    PPCR,
    PYRAMID_AXES,
    CrossChannelPyramidPooling,
    PixelContextIntegration,
    PixelNorm,
)
from medattn.attention.principal import Principal, principal_features, rotated
from medattn.attention.prior import PRIORS, set_prior
from medattn.attention.rivals import ExternalAttention, NonLocal, SpatialPyramidAttention

__all__ = [
    "ATTENTION",
    "ATTENTION_MAPS",
    "NORMALISATIONS",
    "PPCR",
    "PRIORS",
    "PYRAMID_AXES",
    "WEIGHT_MAPS",
    "CrossChannelPyramidPooling",
    "ExternalAttention",
    "FixedMap",
    "GlobalAttention",
    "LearnedMap",
    "NonLocal",
    "PixelCNN",
    "PixelContextIntegration",
    "PixelNorm",
    "PixelRepresentation",
    "PixelWeights",
    "Principal",
    "Site",
    "SpatialPyramidAttention",
    "WeightMapped",
    "attention_sites",
    "compile_attention",
    "insert_attention",
    "map_penalty",
    "principal_features",
    "resize_attention",
    "rotated",
    "set_prior",
]
