"""What must hold for all inputs."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from medattn.attention import PPCR, PixelNorm

shapes = st.tuples(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 2**16),
)


def draw(shape):
    n, groups, h, w, seed = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4 * groups, h, w, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(shapes)
def test_ppcr_is_pixel_independent(shape):
    """Changing one pixel changes the output at that pixel and nowhere else."""
    x = draw(shape)
    torch.manual_seed(0)
    module = PPCR(x.shape[1], tuple(x.shape[2:])).double()
    torch.nn.init.normal_(module.integrate.weight)
    changed = x.clone()
    changed[0, :, 0, 0] += 1 + torch.arange(x.shape[1])
    same = torch.ones_like(x, dtype=torch.bool)
    same[0, :, 0, 0] = False
    before, after = module(x), module(changed)
    assert torch.equal(before[same], after[same])
    assert not torch.equal(before[~same], after[~same])


@settings(deadline=None, max_examples=50)
@given(shapes, st.floats(0.1, 100))
def test_pixel_norm_standardises_every_pixel(shape, spread):
    t = draw(shape) * spread
    out = PixelNorm(eps=1e-12)(t)
    zero = torch.zeros_like(out[:, 0])
    assert_close(out.mean(1), zero, rtol=0, atol=1e-9)
    assert_close(out.var(1, correction=0), zero + 1, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(shapes)
def test_gate_lies_between_0_and_1(shape):
    x = draw(shape)
    module = PPCR(x.shape[1], tuple(x.shape[2:])).double()
    torch.nn.init.normal_(module.integrate.weight, std=5)
    y = module(x)
    assert (y.abs() <= x.abs()).all()
    assert (y * x >= 0).all()
