"""What a network costs on paper: parameters, and operations of one forward pass, counted by shapes alone.

Paper: PPCR, section 3.4 and the columns Params and GFLOPs of Tables 1, 2 and 6. They were made by a counter that
skips a bare `nn.Parameter` (PPCR's W) and layer norms (GC's), and whose "FLOPs" are multiply-accumulates of
convolutions and linear layers, 2 an element of a batch norm and 1 an element of what an adaptive average pool reads;
matrix products (NL's) are not in them. `Cost` has both that and everything.
"""

import copy
import math
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from medattn.attention.insert import first_convolution
from medattn.attention.ppcr import Size, height_width

aten = torch.ops.aten
CONVOLUTION_OR_LINEAR = (aten.convolution, aten.addmm, aten.mm)
IN_PLACE = dict.fromkeys(  # torch has no rule for these: shapes (..., m, k) and (..., k, n)
    (aten.addmm_, aten.baddbmm_), lambda _sum, left, right, **_kwargs: 2 * math.prod(left) * right[-1]
)
BATCH_NORM = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
PER_ELEMENT = {  # operations an element of the larger of input and output, where it is not 1
    **dict.fromkeys(BATCH_NORM, 2),  # as the paper's counter: a product and a sum
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_softmax", "_log_softmax", "var_mean", "var"), 3),
}
ALSO_COUNTED = ("hardswish", "hardswish_", "cumsum", "avg_pool2d", "_adaptive_avg_pool2d", "max_pool2d_with_indices")
MOVED = (  # memory is read and written, nothing is computed
    *("cat", "stack", "clone", "copy_", "_to_copy", "empty", "empty_like", "new_empty", "new_zeros", "zeros"),
    *("ones", "full", "fill_", "zero_", "arange", "constant_pad_nd", "index", "index_select", "_unsafe_view"),
)


@dataclass(frozen=True)
class Cost:
    """Parameters and operations of one forward pass of one image, in evaluation mode."""

    parameters: int
    parameters_as_printed: int  # without bare parameters, which no layer of torch.nn owns, and layer norms
    macs_as_printed: int  # the paper's "FLOPs"
    macs: int  # multiply-accumulates of all convolutions, linear layers and matrix products
    elementwise: int  # operations of everything else: 1 an element, 2 for batch norm, 3 for layer norm and softmax
    by_operation: dict[str, int] = field(default_factory=dict)  # what `macs` and `elementwise` are made of
    uncounted: dict[str, int] = field(default_factory=dict)  # operations there is no rule for, and how often they ran


def cost(network: nn.Module, size: Size, in_channels: int | None = None) -> Cost:
    """Count what `network` costs for one image of `size` (side or (H, W)), (1, in_channels, H, W).

    Nothing is computed, and the network is left as it is; it may be on the "meta" device, without memory.
    `in_channels` is read off the first convolution unless said. Look at `uncounted`: it names what is left out.
    """
    in_channels = in_channels or first_convolution(network)[1].in_channels
    twin, pooled = copy.deepcopy(network).eval(), []
    twin = twin.to_empty(device="cpu") if next(network.parameters()).is_meta else twin.cpu()
    for module in twin.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(lambda _module, inputs: pooled.append(inputs[0].numel()))
    products = FlopCounterMode(display=False, custom_mapping=IN_PLACE)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), products, _Elementwise() as others:
        twin(torch.empty(1, in_channels, *height_width(size), dtype=next(network.parameters()).dtype))
    macs = {operation: flops // 2 for operation, flops in products.get_flop_counts().get("Global", {}).items()}
    as_printed = sum(macs.get(operation, 0) for operation in CONVOLUTION_OR_LINEAR)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        parameters_as_printed=_owned_by_layers(network),
        macs_as_printed=as_printed + sum(others.counted[name] for name in BATCH_NORM) + sum(pooled),
        macs=sum(macs.values()),
        elementwise=others.counted.total(),
        by_operation={_name(operation): n for operation, n in macs.items()} | dict(others.counted),
        uncounted=dict(others.uncounted),
    )


class _Elementwise(TorchDispatchMode):
    """Count what is no matrix product: by torch's own tags for pointwise operations and reductions, or a rule here."""

    def __init__(self):
        super().__init__()
        self.counted, self.uncounted = Counter(), Counter()

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        operation, name = function.overloadpacket, _name(function.overloadpacket)
        if function.is_view or name in MOVED or operation in flop_registry or operation in IN_PLACE:
            return output
        if function.namespace == "prim" or not isinstance(output, Tensor | tuple):  # a question, such as a device
            return output
        tagged = torch.Tag.pointwise in function.tags or torch.Tag.reduction in function.tags
        if tagged or name in PER_ELEMENT or name in ALSO_COUNTED:
            self.counted[name] += PER_ELEMENT.get(name, 1) * _largest(args, output)
        else:
            self.uncounted[name] += 1
        return output


def _largest(args: tuple, output: Tensor | tuple) -> int:
    tensors = [*args, *(output if isinstance(output, tuple) else (output,))]
    return max((tensor.numel() for tensor in tensors if isinstance(tensor, Tensor)), default=0)


def _name(operation) -> str:
    return str(operation).removeprefix("aten.")


def _owned_by_layers(network: nn.Module) -> int:
    owned = {}
    for module in network.modules():
        bases = {base for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules")}
        containers = {base for base in bases if base.__module__.endswith("container")}
        if bases - containers - {nn.Module} and not isinstance(module, nn.LayerNorm):
            owned |= {id(parameter): parameter.numel() for parameter in module.parameters(recurse=False)}
    return sum(owned.values())
