"""Attention modules, and their insertion into any CNN."""

from medattn.attention.insert import ATTENTION, Site, attention_sites, insert_attention, resize_attention
from medattn.attention.ppcr import (
    NORMALISATIONS,
    PPCR,
    CrossChannelPyramidPooling,
    PixelContextIntegration,
    PixelNorm,
)

__all__ = [
    "ATTENTION",
    "NORMALISATIONS",
    "PPCR",
    "CrossChannelPyramidPooling",
    "PixelContextIntegration",
    "PixelNorm",
    "Site",
    "attention_sites",
    "insert_attention",
    "resize_attention",
]
