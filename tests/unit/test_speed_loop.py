"""Both training loops do the same work, and every comparison gives its table."""

import torch
from torch.testing import assert_close

from medattn.networks import build_network
from medattn.speed import loop
from medattn.speed.timing import COLUMNS
from medattn.training import Recipe
from medattn.training.recipe import OPTIMIZERS

SMALL = {"network": "timm:test_resnet"}


def test_both_loops_follow_the_same_trajectory():
    parts = loop.random_parts((8, 4, 4))
    recipe = Recipe(**SMALL, batch_size=8)  # one batch: its order does not matter
    networks, losses = {}, {}
    for epoch in (loop.our_epoch, loop.their_epoch):
        torch.manual_seed(0)
        network = build_network(recipe.network, 2, 1, 28)
        start = network.conv1.weight.clone()
        optimizer = OPTIMIZERS["sgd"](network.parameters(), recipe)
        said = [epoch(network, optimizer, parts, recipe) for _ in range(3)]
        losses[epoch] = [row["train_loss"] if isinstance(row, dict) else row[0] for row in said]
        assert not torch.equal(network.conv1.weight, start)
        networks[epoch] = network.state_dict()
    assert_close(losses[loop.our_epoch], losses[loop.their_epoch], rtol=1e-4, atol=1e-5)
    assert_close(networks[loop.our_epoch], networks[loop.their_epoch], rtol=1e-4, atol=1e-5)


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


def test_a_sweep_of_small_runs_comes_to_its_end(monkeypatch):
    monkeypatch.setattr(loop, "NETWORK", "timm:test_resnet")
    loop._sweep(workers=1, threads=2, n_runs=2, epochs=1)
