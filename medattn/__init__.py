"""A research companion to two papers on spatial attention in medical image classification."""

__version__ = "0.1.0"
