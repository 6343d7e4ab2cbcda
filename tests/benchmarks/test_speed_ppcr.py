"""Every comparison of PPCR returns its rows."""

import pytest
import speed_ppcr as ppcr
import torch
from speed_rows import COLUMNS

from medattn.attention import attention_sites

SMALL = "timm:test_resnet"


@pytest.fixture
def uncompiled():
    """Compiling takes seconds per stage; it has its own tests."""
    with torch.compiler.set_stance("force_eager"):
        yield


def test_every_stage_is_beside_its_floor(monkeypatch, uncompiled):
    monkeypatch.setitem(ppcr.STAGES, 28, ((8, 4),))
    table = ppcr.against_floor(batch_size=2, rounds=3)
    assert list(table) == COLUMNS
    assert sorted(set(table["setting"])) == [
        "8 x 4 x 4 of 28 px, channels_last",
        "8 x 4 x 4 of 28 px, contiguous_format",
    ]
    assert set(table["side"]) == {"compiled", "eager", "three poolings"}
    assert (table["low"] <= table["ratio"]).all() and (table["ratio"] <= table["high"]).all()


def test_step_of_each_method_is_beside_the_plain_one(uncompiled):
    table = ppcr.training_step(("ppcr", "se"), SMALL, 16, 4, rounds=1)
    assert list(table["side"]) == ["ppcr", "se", "ppcr, eager", "ppcr, three poolings"]
    assert set(table["base"]) == {"none"} and (table["ratio"] > 0).all()


def test_three_poolings_replace_ppcr():
    sites = attention_sites(ppcr.attended(SMALL, "ppcr, three poolings", 16))
    assert sites and all(isinstance(site.module, ppcr.ThreePoolings) for site in sites)


def test_operations_are_counted(monkeypatch):
    monkeypatch.setattr(ppcr, "count_kernels", lambda module, *shape: 2)
    table = ppcr.operations(("ppcr", "se"), SMALL, 16)
    plain, counts = table["base_value"].iloc[0], table.set_index("side")["value"]
    n_sites = len(attention_sites(ppcr.attended(SMALL, "ppcr", 16)))
    assert counts["ppcr, compiled"] == plain + 2 * n_sites
    assert counts["ppcr, compiled"] < counts["se"] < counts["ppcr, eager"]


def test_gate_hardly_moves_in_bf16():
    table = ppcr.gate_error(batch_size=8)
    assert (table["value"] < 1e-5).all()
    assert (table["base_value"] > 1e-3).all()  # without the float32 contexts it does
