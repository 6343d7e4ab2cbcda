"""PPCR against its equations in plain tensor code, and the algebra of pixel normalisation."""

import copy

import pytest
import torch
from torch.testing import assert_close

from medattn.attention import (
    NORMALISATIONS,
    PPCR,
    PYRAMID_AXES,
    CrossChannelPyramidPooling,
    PixelNorm,
)


def written_out(x, weight, scales, eps=1e-5):
    """Eqs. (1)-(7), one pixel and one context at a time."""
    n, c, h, w = x.shape
    y = torch.empty_like(x)
    for b in range(n):
        for i in range(h):
            for j in range(w):
                t = []
                for scale in scales:  # Eq. (1)
                    k = c // scale
                    t += [
                        x[b, g * k : (g + 1) * k, i, j].sum() / k for g in range(scale)
                    ]  # Eq. (2)
                t = torch.stack(t)
                mu = t.sum() / len(t)  # Eq. (4)
                delta = (((t - mu) ** 2).sum() / len(t) + eps).sqrt()  # Eq. (4)
                t_hat = (t - mu) / delta  # Eq. (3)
                z = (weight[:, i, j] * t_hat).sum()  # Eq. (6)
                y[b, :, i, j] = x[b, :, i, j] / (1 + torch.exp(-z))  # Eqs. (5), (7)
    return y


def float64_ppcr(channels, size, **options):
    module = PPCR(channels, size, **options).double()
    torch.nn.init.normal_(module.integrate.weight)
    return module


@pytest.mark.parametrize(
    "scales", [(1,), (1, 2), (1, 2, 4), (1, 2, 4, 8), (1, 3, 6), (4, 1), (2, 3, 12)]
)
@pytest.mark.parametrize("size", [(2, 3), (1, 1), (3, 2)])
def test_module_equals_the_equations(scales, size):
    torch.manual_seed(0)
    module = float64_ppcr(24, size, scales=scales)
    x = torch.randn(2, 24, *size, dtype=torch.float64)
    assert_close(module(x), written_out(x, module.integrate.weight, scales), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", NORMALISATIONS)
def test_gradients_by_gradcheck(norm):
    torch.manual_seed(0)
    module = float64_ppcr(8, (2, 3), norm=norm).eval()
    x = torch.randn(2, 8, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = module.integrate.weight.detach().clone().requires_grad_()

    def function(x, weight):
        return torch.func.functional_call(module, {"integrate.weight": weight}, (x,))

    assert torch.autograd.gradcheck(function, (x, weight))


@pytest.mark.parametrize(
    ("norm", "dims"),
    [("batch", (0, 2, 3)), ("instance", (2, 3)), ("layer", (1, 2, 3)), ("pixel", (1,))],
)
def test_table_4_norms_standardise_their_dimensions(norm, dims):
    t = torch.randn(4, 7, 5, 6, dtype=torch.float64) * 3 + 2
    out = NORMALISATIONS[norm](7, 1e-12).double().train()(t)
    mean = out.mean(dims)
    assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
    variance = out.var(dims, correction=0)
    assert_close(variance, torch.ones_like(variance), rtol=0, atol=1e-9)


# --- the algebra of pixel normalisation: six statements


def test_1_global_context_vanishes():
    torch.manual_seed(0)
    module = float64_ppcr(16, 3)
    x = torch.randn(5, 16, 3, 3, dtype=torch.float64)
    contexts = module.pool(x)
    assert_close(contexts[:, 0], contexts.mean(1))  # the mean over D is the global context
    assert module.norm(contexts)[:, 0].abs().max() < 1e-12
    module(x).square().sum().backward()
    gradient = module.integrate.weight.grad
    assert gradient[0].abs().max() < 1e-12 < gradient[1:].abs().min()


def test_2_one_scale_is_no_attention():
    module = float64_ppcr(16, 3, scales=(1,))
    x = torch.randn(2, 16, 3, 3, dtype=torch.float64)
    assert torch.equal(module(x), 0.5 * x)


def test_3_two_scales_leave_one_sign_bit():
    torch.manual_seed(0)
    module = float64_ppcr(16, 9, scales=(1, 2), eps=1e-14)
    t_hat = module.norm(module.pool(torch.randn(2, 16, 9, 9, dtype=torch.float64)))
    assert t_hat[:, 0].abs().max() < 1e-5
    root = 1.5**0.5  # 1.2247
    assert_close(t_hat[:, 1].abs(), torch.full_like(t_hat[:, 1], root), rtol=1e-6, atol=0)
    assert_close(t_hat[:, 1], -t_hat[:, 2], rtol=1e-6, atol=0)
    assert len(t_hat[:, 1].sign().unique()) == 2


@pytest.mark.parametrize(("scales", "rank"), [((1, 2), 1), ((1, 2, 4), 3), ((1, 2, 4, 8), 7)])
def test_4_rank_of_the_centred_contexts(scales, rank):
    torch.manual_seed(0)
    pool = CrossChannelPyramidPooling(32, scales)
    t = pool(torch.randn(1, 32, 40, 40, dtype=torch.float64))[0].flatten(1)
    assert torch.linalg.matrix_rank(t - t.mean(0)) == rank
    assert torch.linalg.matrix_rank(t) == rank + 1  # with the pixel mean itself: the finest means


def test_5_zero_and_one_are_the_same_start():
    torch.manual_seed(0)
    gates = {init: PPCR(8, 5, init=init).double() for init in (0.0, 1.0)}
    head = torch.nn.Conv2d(8, 3, 5).double()
    x, y = torch.randn(12, 8, 5, 5, dtype=torch.float64), torch.randint(0, 3, (12,))
    logits = {}
    for init, gate in gates.items():
        network = torch.nn.Sequential(gate, copy.deepcopy(head))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        for _ in range(300):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x).flatten(1), y).backward()
            optimizer.step()
        logits[init] = network(x)
    assert (logits[0.0] - logits[1.0]).abs().max() < 1e-8
    assert gates[0.0].integrate.weight.abs().max() > 1e-3  # it did train
    start = PPCR(8, 5, init=1.0).double()(x)
    assert_close(start, 0.5 * x)


def test_6_gate_ignores_strength_and_offset():
    torch.manual_seed(0)
    module = float64_ppcr(16, 4, eps=0.0)
    x = torch.randn(2, 16, 4, 4, dtype=torch.float64)
    strength = torch.rand(2, 1, 4, 4, dtype=torch.float64) * 100 + 0.01
    gate = module(x) / x
    assert_close(module(strength * x) / (strength * x), gate)
    shift = torch.randn(
        2, 1, 4, 4, dtype=torch.float64
    )  # nor its offset: PN is affine-invariant in every pixel
    assert_close(module.norm(module.pool(x + shift)), module.norm(module.pool(x)))


def test_coarser_scales_equal_direct_averages():
    x = torch.randn(3, 32, 4, 4, dtype=torch.float64)
    contexts = CrossChannelPyramidPooling(32, (1, 2, 4))(x)
    direct = torch.cat([x.unflatten(1, (s, -1)).mean(2) for s in (1, 2, 4)], 1)
    assert_close(contexts, direct, rtol=1e-13, atol=1e-14)


def test_pixel_norm_has_xi_inside_the_root():
    t = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).view(1, 3, 1, 1)
    expected = (t - 3) / (14 / 3 + 0.1) ** 0.5
    assert_close(PixelNorm(eps=0.1)(t), expected)


def test_pyramid_axes_span_the_normalised_contexts():
    axes = PYRAMID_AXES
    assert_close(axes @ axes.T, torch.eye(3, dtype=torch.float64))
    t_hat = PixelNorm(eps=0)(
        CrossChannelPyramidPooling(8)(torch.randn(4, 8, 3, 3, dtype=torch.float64))
    )
    points = axes @ t_hat.movedim(1, 0).flatten(1)
    assert_close(axes.T @ points, t_hat.movedim(1, 0).flatten(1))
    assert_close(points.square().sum(0), torch.full((36,), 7.0, dtype=torch.float64))
