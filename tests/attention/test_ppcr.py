"""Attention modules by name, and PPCR above all: errors, compilation, export, copies."""

import copy
import io
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch.testing import assert_close

from medattn.attention import ATTENTION, NORMALISATIONS, PPCR


def trained_like(module):
    torch.manual_seed(1)
    torch.nn.init.normal_(
        next(p for n, p in module.named_parameters() if n.endswith("integrate.weight"))
    )
    return module


NO_GRADIENT = {
    "gc": {"conv_attn.bias"},  # a softmax does not see what is added to all its scores
    "nl": {"key.bias"},  # the same
    "ca": {"conv1.bias"},  # a batch norm does not see what is added to a whole channel
}


def every_parameter_moved(name, size):
    """Some start where others get no gradient: NL's scale and GC's last layer at 0."""
    torch.manual_seed(0)
    module = ATTENTION[name](64, size)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("size", [5, (4, 6)])
def test_every_method_learns_and_is_saved(name, size):
    module = every_parameter_moved(name, size).double()
    h, w = (size, size) if isinstance(size, int) else size
    x = torch.randn(2, 64, h, w, dtype=torch.float64, requires_grad=True)
    y = module(x)
    assert y.shape == x.shape
    y.pow(3).sum().backward()
    assert x.grad.abs().max() > 0
    largest = {key: parameter.grad.abs().max() for key, parameter in module.named_parameters()}
    scale = max(largest.values())
    assert {key for key, grad in largest.items() if grad < 1e-9 * scale} == NO_GRADIENT.get(
        name, set()
    )
    twin = ATTENTION[name](64, size).double()
    twin.load_state_dict(load(save(module.state_dict())))
    assert torch.equal(twin.eval()(x), module.eval()(x))


def compiled(module, backend="inductor"):
    """Compile one graph whose recompilations are counted apart from those of other tests."""
    return torch.compile(module, fullgraph=True, isolate_recompiles=True, backend=backend)


@pytest.mark.parametrize("name", ATTENTION)
def test_every_method_compiles_and_exports(name):
    module = every_parameter_moved(name, (4, 6)).eval()
    x = torch.randn(2, 64, 4, 6)
    expected = module(x)
    backend = (
        "inductor" if name == "ppcr" else "aot_eager"
    )  # of the rivals the graph, without kernels
    assert_close(compiled(module, backend)(x), expected, rtol=1e-4, atol=1e-5)
    assert_close(torch.export.export(module, (x,)).module()(x), expected)


@pytest.mark.parametrize("norm", NORMALISATIONS)
def test_compile_export_and_copies_agree(norm):
    module = trained_like(PPCR(16, (4, 6), norm=norm)).eval()
    x = torch.randn(2, 16, 4, 6)
    expected = module(x)
    assert_close(compiled(module)(x), expected)
    assert_close(torch.export.export(module, (x,)).module()(x), expected)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    twin = PPCR(16, (4, 6), norm=norm).eval()
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(twin(x), expected)


def test_compiled_gradients_agree():
    module = trained_like(PPCR(16, 4))
    x = torch.randn(2, 16, 4, 4)
    grads = []
    for forward in (module, compiled(module)):
        module.zero_grad()
        forward(x).square().sum().backward()
        grads.append(module.integrate.weight.grad.clone())
    assert_close(grads[0], grads[1])


def test_export_with_any_batch_size():
    module = trained_like(PPCR(16, 4)).eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        module, (torch.randn(2, 16, 4, 4),), dynamic_shapes=({0: batch},)
    ).module()
    x = torch.randn(7, 16, 4, 4)
    assert_close(program(x), module(x))


def test_onnx_returns_the_same_numbers(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module = trained_like(PPCR(16, (4, 6))).eval()
    x = torch.randn(2, 16, 4, 6)
    path = tmp_path / "ppcr.onnx"
    torch.onnx.export(module, (x,), path, dynamo=True)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close(torch.from_numpy(y), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_half_precision_keeps_the_gate_in_float32(dtype, layout):
    """Rounding the means on the way would move the gate by more than 0.1 (bf16)."""
    torch.manual_seed(0)
    module = trained_like(PPCR(64, 8))
    x = (torch.randn(4, 64, 8, 8) + 3).to(dtype).contiguous(memory_format=layout)
    exact = copy.deepcopy(module).double()
    gates = []
    hook = module.integrate.register_forward_hook(lambda m, i, o: gates.append(o))
    with torch.autocast("cpu", dtype):
        y = module(x)
        y.float().sum().backward()
    hook.remove()
    reference = exact.integrate(exact.norm(exact.pool(x.double())))
    assert gates[0].dtype == torch.float32
    assert (gates[0] - reference).abs().max() < 1e-4
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=layout)
    assert module.integrate.weight.grad.isfinite().all()


def test_channels_last_and_contiguous_agree():
    module = trained_like(PPCR(16, 5))
    x = torch.randn(2, 16, 5, 5)
    assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))


def test_zero_image_has_finite_gradients():
    module = trained_like(PPCR(16, 4))
    x = torch.zeros(2, 16, 4, 4, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros_like(y))
    assert_close(x.grad, torch.full_like(x.grad, 0.5))  # G = sigmoid(0)
    assert module.integrate.weight.grad.isfinite().all()


def test_one_group_and_as_many_groups_as_channels():
    assert PPCR(5, 3, scales=(1,))(torch.ones(1, 5, 3, 3)).shape == (1, 5, 3, 3)
    assert PPCR(4, 3, scales=(1, 2, 4))(torch.ones(1, 4, 3, 3)).shape == (1, 4, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((6, 4), {}, r"channels=6 and scales=\(1, 2, 4\) do not fit"),
        ((8, 4), {"scales": (3, 4)}, r"channels=8 and scales=\(3, 4\) do not fit"),
        ((24, 4), {"scales": (2, 3)}, r"scales=\(2, 3\) do not fit: .* every scale the largest"),
        ((8, 4), {"scales": ()}, r"scales=\(\) do not fit: .* whole numbers"),
        ((8, 4), {"scales": (1, 1)}, "different whole"),
        ((8, 4), {"scales": (0, 2)}, "1 or more"),
        ((8, 4), {"scales": (1, 2.0)}, "whole numbers"),
        (
            (8, 4),
            {"norm": "group"},
            "norm='group' is unknown; there are none, batch, instance, layer, pixel",
        ),
        ((8, 0), {}, "size=0 is neither"),
        ((8, (4, 4, 4)), {}, r"size=\(4, 4, 4\) is neither"),
        ((8, 4.0), {}, "size=4.0 is neither"),
        ((8, True), {}, "size=True is neither"),
        ((0, 4), {}, "channels=0 and .* 1 or more"),
        ((8.0, 4), {}, "channels=8.0 and .* whole numbers"),
        ((8, 4), {"eps": -1.0}, "eps=-1.0 must be 0 or more"),
        ((8, 4), {"gain": 0}, "gain=0 must be above 0"),
    ],
)
def test_bad_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        PPCR(*arguments, **options)


@pytest.mark.parametrize("shape", [(2, 4, 4, 4), (8, 4, 4), (2, 8, 4, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_features_of_another_kind_are_refused(shape, dtype):
    given = rf"and got {dtype} {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=rf"PPCR takes floats \(N, 8, 4, 4\) {given}"):
        PPCR(8, 4)(torch.zeros(shape, dtype=dtype))


def test_sizes_may_be_numpy_numbers():
    module = PPCR(np.int64(8), (np.int64(4), np.int64(6)))
    assert module.size == (4, 6)
    assert module.to("meta")(torch.zeros(2, 8, 4, 6, device="meta")).shape == (2, 8, 4, 6)


def test_resize_weights_fits_another_size():
    module = trained_like(PPCR(8, (4, 6)))
    with pytest.raises(ValueError, match=r"\(N, 8, 4, 6\) .* \(2, 8, 8, 12\).* resize_weights"):
        module(torch.randn(2, 8, 8, 12))
    mean = module.integrate.weight.mean((1, 2)).clone()
    module.resize_weights((8, 12))
    assert module(torch.randn(2, 8, 8, 12)).shape == (2, 8, 8, 12)
    assert module.integrate.weight.shape == (7, 8, 12)
    assert_close(module.integrate.weight.mean((1, 2)), mean, rtol=0, atol=0.05)


def test_resize_to_the_same_size_changes_nothing():
    module = trained_like(PPCR(8, 5))
    weight = module.integrate.weight.clone()
    module.resize_weights(5)
    assert_close(module.integrate.weight, weight)
