import pytest
import torch
from torch.testing import assert_close

from medattn.attention import PPCR
from medattn.speed import ppcr
from medattn.speed.rows import COLUMNS


def test_the_naive_side_computes_what_ppcr_computes():
    torch.manual_seed(0)
    module = PPCR(8, 4).double()
    torch.nn.init.normal_(module.integrate.weight)
    naive = ppcr.ThreePoolings(8, 4).double()
    naive.load_state_dict(module.state_dict())
    x, gradient = (torch.randn(2, 8, 4, 4, dtype=torch.double) for _ in range(2))
    ours, theirs = (ppcr.both_ways(m, x.clone(), gradient)() for m in (module, naive))
    assert_close(ours, theirs)
    assert_close(module(x), naive(x))


@pytest.fixture
def uncompiled():
    """Compiling takes seconds a stage; it has its own tests."""
    with torch.compiler.set_stance("force_eager"):
        yield


def test_every_stage_is_put_beside_the_floor(monkeypatch, uncompiled):
    monkeypatch.setitem(ppcr.STAGES, 28, ((8, 4),))
    table = ppcr.against_floor(batch_size=2, rounds=3)
    assert tuple(table.columns) == COLUMNS
    assert sorted(set(table["setting"])) == [
        "8 x 4 x 4 of 28 px, channels_last",
        "8 x 4 x 4 of 28 px, contiguous_format",
    ]
    assert set(table["side"]) == {"compiled", "eager", "three poolings"}
    assert (table["low"] <= table["ratio"]).all() and (table["ratio"] <= table["high"]).all()


def test_a_step_with_each_method_is_put_beside_the_plain_one(uncompiled):
    table = ppcr.training_step(("ppcr", "se"), "timm:test_resnet", 16, 4, rounds=1)
    assert list(table["side"]) == ["ppcr", "se", "ppcr, eager", "ppcr, three poolings"]
    assert set(table["base"]) == {"none"} and (table["ratio"] > 0).all()


def test_operations_are_counted(monkeypatch):
    monkeypatch.setattr(ppcr, "fused_kernels", lambda module, *shape: 2)
    table = ppcr.operations(("ppcr", "se"), "timm:test_resnet", 16).set_index("side")["value"]
    plain = ppcr.operations((), "timm:test_resnet", 16)["base_value"].iloc[0]
    places = len(ppcr.attention_sites(ppcr.attended("timm:test_resnet", "ppcr", 16)))
    assert table["ppcr, compiled"] == plain + 2 * places
    assert table["ppcr, compiled"] < table["se"] < table["ppcr, eager"]


@pytest.mark.parametrize(("channels", "side"), [(8, 4), (32, 7)])  # `operations` takes one place for all
def test_a_compiled_module_is_one_kernel_each_way(channels, side):
    assert ppcr.fused_kernels(PPCR(channels, side), channels, side, side) == 2


def test_counting_sees_work_and_no_views():
    x = torch.randn(3, 4)
    with ppcr.Counting() as counting:
        (x.T.reshape(-1) + 1).mul_(2)
    assert counting.operations == 3  # a copy, an addition, a product


def test_the_gate_hardly_moves_in_bf16():
    table = ppcr.gate_error(batch_size=8)
    assert (table["value"] < 1e-5).all()
    assert (table["base_value"] > 1e-3).all()  # the control: without the float32 contexts it does


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match=r"size=32.*28, 224"):
        ppcr.against_floor(size=32)
