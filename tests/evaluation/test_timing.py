"""Timing in turn, ratios of rounds, and the time and memory of networks."""

import copy

import pandas as pd
import pytest
import torch
from torch import nn

from medattn.evaluation import alternate, measure, ratios
from medattn.evaluation.timing import peak_bytes
from medattn.networks import build_network


def test_sides_alternate_after_a_warm_up_round():
    calls = []
    seconds = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert seconds.shape == (3, 2) and (seconds >= 0).all(axis=None)
    with pytest.raises(ValueError, match="rounds=0"):
        alternate({"a": list}, rounds=0)


def test_ratios_are_of_rounds_with_quartiles():
    seconds = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 2.0]})
    (row,) = ratios(seconds, "a").itertuples()
    assert (row.side, row.base) == ("b", "a")
    assert (row.ratio, row.low, row.high) == (1.0, 0.75, 1.5)
    assert (row.value, row.base_value) == (2000.0, 2000.0)


def test_measuring_does_not_change_the_network():
    network = build_network("timm:test_resnet", 2, size=16).train()
    network.bn1.eval()
    before = copy.deepcopy(network.state_dict())
    measure(
        {"one": network, "auxiliary": build_network("googlenet", 2, size=32)},
        32,
        batch_size=2,
        rounds=1,
    )
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert network.training and not network.bn1.training


def test_networks_are_measured_in_turn():
    calls = []

    class Counted(nn.Sequential):
        def forward(self, x):
            calls.append((self[0].out_channels, self.training))
            return super().forward(x).mean((2, 3))

    table = measure(
        {"a": Counted(nn.Conv2d(3, 4, 1)), "b": Counted(nn.Conv2d(3, 64, 1))},
        16,
        batch_size=2,
        rounds=2,
    )
    assert calls[:4] == calls[4:8] == [(4, False), (4, True), (64, False), (64, True)]
    assert list(table.index) == ["a", "b"]
    assert (table.loc["a"].filter(like="ratio") == 1).all()
    assert table.loc["b", "step_mb"] / table.loc["a", "step_mb"] == pytest.approx(
        table.loc["b", "step_mb_ratio"]
    )
    output = 2 * 64 * 256 * 4 / 1e6
    assert (
        output <= table.loc["b", "forward_mb"] < 2.1 * output
    )  # with several threads there is a copy of it
    with pytest.raises(ValueError, match="0 networks, rounds=5"):
        measure({}, 16)


def test_peak_memory_is_the_most_at_one_time(capfd):
    def call():
        torch.zeros(250_000) + 1  # 1 MB and 1 MB
        torch.zeros(500_000)  # 2 MB, when the former are gone

    assert peak_bytes(call, torch.device("cpu")) == pytest.approx(2e6, rel=0.01)
    # a line of the profiler would appear in a notebook's next cell
    assert capfd.readouterr() == ("", "")
