"""The cost of a network on paper: parameters, and operations counted from shapes alone.

Paper: PPCR, section 3.4, and the columns Params and GFLOPs of Tables 1, 2 and 6. The paper's
counter skips a bare `nn.Parameter` (PPCR's W) and layer norms (GC's). Its "FLOPs" are the
multiply-accumulates of convolutions and linear layers, 2 per element of a batch norm, and 1 per
element that an adaptive average pool reads. It leaves out matrix products (NL's). `Cost` has both
this count and the full one.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from medattn.attention.places import first_convolution
from medattn.evaluation.timing import compile_quietly, forward_backward, profile_cpu
from medattn.preprocess import Size, height_width

aten = torch.ops.aten
CONVOLUTION_OR_LINEAR = (aten.convolution, aten.addmm, aten.mm)
# torch has no rule for these; left (..., m, k), right (..., k, n)
IN_PLACE: dict[Any, Callable[..., int]] = dict.fromkeys(
    (aten.addmm_, aten.baddbmm_), lambda _, left, right, **__: 2 * math.prod(left) * right[-1]
)
RULES = yaml.safe_load(Path(__file__).with_name("operations.yaml").read_text())
N_PER_ELEMENT = {"batch_norm": 2, "norm_or_softmax": 3, "others": 1}
PER_ELEMENT = {name: n for rule, n in N_PER_ELEMENT.items() for name in RULES[rule]}


@dataclass(frozen=True)
class Cost:
    """Parameters and operations of one forward pass of one image, in evaluation mode."""

    parameters: int
    parameters_as_printed: int  # without layer norms, and parameters that no layer of torch.nn owns
    macs_as_printed: int  # the paper's "FLOPs"
    macs: int  # multiply-accumulates of all convolutions, linear layers and matrix products
    elementwise: int  # all others: 1 per element, 2 for batch norm, 3 for layer norm and softmax
    by_operation: dict[str, int]  # the terms of `macs` and `elementwise`
    uncounted: dict[str, int]  # how often operations ran that have no rule


def cost(network: nn.Module, size: Size, in_channels: int | None = None) -> Cost:
    """Count the cost of `network` for one image of `size` (side or (H, W)), (1, in_channels, H, W).

    Nothing is computed and the network is not changed; it may be on the "meta" device. The default
    of `in_channels` is that of the first convolution. `uncounted` names what the count leaves out.
    """
    in_channels = in_channels or first_convolution(network)[1].in_channels
    weight = next(network.parameters())
    copied = copy.deepcopy(network).eval()
    copied = copied.to_empty(device="cpu") if weight.is_meta else copied.cpu()
    pooled: list[int] = []
    for module in copied.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0].numel()))
    products, others = FlopCounterMode(display=False, custom_mapping=IN_PLACE), _Elementwise()
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), products, others:
        copied(torch.empty(1, in_channels, *height_width(size), dtype=weight.dtype))
    flops = products.get_flop_counts().get("Global", {})
    macs = {operation: n // 2 for operation, n in flops.items()}
    as_printed = sum(macs.get(operation, 0) for operation in CONVOLUTION_OR_LINEAR)
    as_printed += sum(others.counted[name] for name in RULES["batch_norm"]) + sum(pooled)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        parameters_as_printed=_owned_by_layers(network),
        macs_as_printed=as_printed,
        macs=sum(macs.values()),
        elementwise=others.counted.total(),
        by_operation={_name(operation): n for operation, n in macs.items()} | dict(others.counted),
        uncounted=dict(others.uncounted),
    )


def count_operations(call: Callable[[], object]) -> int:
    """Count the operations that `call` launches, without views and allocations.

    On a GPU each is a kernel, and with a small batch a step waits for their launches.
    """
    with _Launches() as launches:
        call()
    return launches.n


def count_kernels(module: nn.Module, channels: int, height: int, width: int) -> int:
    """Count the kernels of a module that is compiled for a CPU, forward and backward."""
    x = torch.randn(2, channels, height, width).contiguous(memory_format=torch.channels_last)
    compiled = copy.deepcopy(module)
    compile_quietly(compiled, options={"cpp.enable_kernel_profile": True})
    call = forward_backward(compiled, x, x)
    call()  # compiles
    return sum("cpp_fused" in event.name for event in profile_cpu(call).events())


class _Elementwise(TorchDispatchMode):
    """Count all but matrix products: by torch's tags (pointwise, reduction), or by a rule above."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        operation, name = function.overloadpacket, _name(function.overloadpacket)
        if (
            function.is_view
            or name in RULES["moved"]
            or operation in flop_registry
            or operation in IN_PLACE
        ):
            return output
        if function.namespace == "prim" or not isinstance(output, Tensor | tuple):
            return output  # a query, such as the device
        tagged = torch.Tag.pointwise in function.tags or torch.Tag.reduction in function.tags
        if tagged or name in PER_ELEMENT:
            tensors = [*args, *(output if isinstance(output, tuple) else (output,))]
            sizes = [tensor.numel() for tensor in tensors if isinstance(tensor, Tensor)]
            self.counted[name] += PER_ELEMENT.get(name, 1) * max(sizes, default=0)
        else:
            self.uncounted[name] += 1
        return output


class _Launches(TorchDispatchMode):
    n = 0

    def __torch_dispatch__(self, operation, _types, args=(), kwargs=None):
        name = operation.name()
        self.n += not (operation.is_view or "empty" in name or "view" in name)
        return operation(*args, **(kwargs or {}))


def _name(operation: Any) -> str:
    return str(operation).removeprefix("aten.")


def _owned_by_layers(network: nn.Module) -> int:
    counts: dict[int, int] = {}
    for module in network.modules():
        origins = {base.__module__ for base in type(module).__mro__ if base is not nn.Module}
        origins = {name for name in origins if name.startswith("torch.nn.modules")}
        is_layer = any(not name.endswith("container") for name in origins)
        if is_layer and not isinstance(module, nn.LayerNorm):
            counts |= {id(p): p.numel() for p in module.parameters(recurse=False)}
    return sum(counts.values())
