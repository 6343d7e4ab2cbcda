"""PPCR as printed, PPCR as it is built, and the floor beside both."""

import logging

import torch
from torch.testing import assert_close

from medattn.attention import PPCR
from medattn.evaluation import ThreePoolings, forward_backward, ppcr_seconds
from medattn.evaluation.timing import compile_quietly


def test_three_poolings_compute_what_ppcr_computes():
    torch.manual_seed(0)
    module = PPCR(8, 4).double()
    torch.nn.init.normal_(module.integrate.weight)
    naive = ThreePoolings(8, 4).double()
    naive.load_state_dict(module.state_dict())
    x, gradient = (torch.randn(2, 8, 4, 4, dtype=torch.double) for _ in range(2))
    ours, theirs = (forward_backward(m, x.clone(), gradient)() for m in (module, naive))
    assert_close(ours, theirs)
    assert_close(module(x), naive(x))


def test_ppcr_is_timed_beside_its_floor():
    with torch.compiler.set_stance("force_eager"):
        seconds = ppcr_seconds(8, 4, batch_size=2, rounds=2)
    assert list(seconds) == ["floor", "compiled", "eager", "three poolings"]
    assert seconds.shape == (2, 4) and (seconds > 0).all(axis=None)


def test_compiling_does_not_warn_of_a_missing_gpu():
    compile_quietly(torch.nn.Identity())
    assert not logging.getLogger("torch.utils.cpp_extension").isEnabledFor(logging.WARNING)
