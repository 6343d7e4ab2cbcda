"""Backbones by name: `build_network("resnet18", n_classes=5)`."""

from medattn.networks.build import build_network

__all__ = ["build_network"]
