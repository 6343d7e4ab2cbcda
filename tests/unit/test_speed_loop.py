"""Both training loops do the same work, and every comparison gives its table."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from medattn.networks import build_network
from medattn.speed import loop
from medattn.speed.rows import COLUMNS
from medattn.training import Recipe
from medattn.training.fit import _generator
from medattn.training.recipe import OPTIMIZERS

SMALL = {"network": "timm:test_resnet"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_one_order_both_loops_go_through_the_same_weights_to_the_last_bit(monkeypatch, optimizer):
    recipe = Recipe(**SMALL, batch_size=4, optimizer=optimizer, channels_last=False)
    parts = loop.random_parts((10, 4, 4))  # three batches, the last one smaller
    order = torch.randperm(10, generator=_generator("cpu", recipe.seed, 1, 0)).tolist()

    def in_our_order(data, batch_size, shuffle=False):
        return DataLoader(data, batch_size, sampler=order if shuffle else None)

    monkeypatch.setattr(loop, "DataLoader", in_our_order)
    ends = []
    for epoch in (loop.our_epoch, loop.their_epoch):
        torch.manual_seed(0)
        network = build_network(SMALL["network"], 2, 1, 28)
        start = network.conv1.weight.clone()
        epoch(network, OPTIMIZERS[optimizer](network.parameters(), recipe), parts, recipe)
        assert not torch.equal(network.conv1.weight, start)
        ends.append(network.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_their_pictures_are_our_images():
    (part,) = loop.random_parts((3,))
    picture, label = loop.Pictures(part)[1]
    assert label == part.labels[1]
    assert_close(picture, (part.images[1].float() / 255 - 0.5) / 0.5)


def test_a_throughput_is_the_more_the_better(monkeypatch):
    sides = {"ours": 1.0, "MedMNIST's loop": 2.0}
    monkeypatch.setattr(
        loop, "alternate", lambda calls, rounds: loop.pd.DataFrame({n: [sides[n]] * rounds for n in calls})
    )
    table = loop.throughput(**SMALL, steps=1, batch_size=4)
    assert tuple(table.columns) == COLUMNS
    assert table[["ratio", "low", "high"]].to_numpy().tolist() == [[2.0, 2.0, 2.0]]


def test_an_epoch_is_compared():
    table = loop.epoch(rounds=1, counts=(4, 2, 2), **SMALL)
    assert list(table["side"]) == ["ours"] and table["ratio"].item() > 0


def test_a_sweep_of_small_runs_comes_to_its_end():
    loop._sweep(workers=1, threads=2, n_runs=2, epochs=1, network="timm:test_resnet")


def test_a_sweep_is_compared_with_one_run_after_the_other(monkeypatch):
    loop._sweep(workers=1, threads=1, n_runs=1, epochs=1, **SMALL)  # raises where a run does not come to its end
    asked = []
    monkeypatch.setattr(loop, "_sweep", lambda *options: asked.append(options))
    [row] = loop.sweep_time(rounds=1, n_runs=2, epochs=1, **SMALL).to_dict("records")
    assert set(asked) == {(2, 1, 2, 1, SMALL["network"]), (1, 2, 2, 1, SMALL["network"])}
    assert row["side"] == "two workers" and row["base"] == "one after the other" and row["ratio"] > 0
