"""Attention as fused kernels: every attention module compiled by itself, with the network around it left as it is.

PPCR is one kernel forward and one backward then, instead of some forty operations (`medattn.speed`). The numbers move
in their last bits.
"""

import os
import shutil
from importlib.util import find_spec

import torch
from torch import nn

from medattn.attention.insert import attention_sites

RECOMPILE_LIMIT = 64  # stages, times training and evaluation; PyTorch's own limit of 8 is less than a deep network has


def compile_attention(network: nn.Module) -> bool:
    """Have `torch.compile` fuse the attention modules of a network, in place; say whether it will.

    Without a compiler on the machine (C++ for a CPU, Triton for a GPU) nothing is changed. The first step and the first
    evaluation take longer, some seconds a stage; state dicts stay as they are.
    """
    if not _has_compiler(next(network.parameters()).device):
        return False
    for site in attention_sites(network):
        site.module.compile(dynamic=True, recompile_limit=RECOMPILE_LIMIT)
    return True


def _has_compiler(device: torch.device) -> bool:
    if device.type == "cuda":
        return find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
