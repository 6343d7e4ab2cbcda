"""Both training loops do the same work, and every comparison returns its rows."""

import io

import pandas as pd
import pytest
import speed_loops as loops
import speed_workers as workers
import torch
from speed_rows import COLUMNS
from torch.testing import assert_close
from torch.utils.data import DataLoader

from medattn.networks import build_network
from medattn.training import Recipe
from medattn.training.epoch import generator
from medattn.training.recipe import OPTIMIZERS

SMALL = "timm:test_resnet"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_both_loops_give_equal_weights(monkeypatch, optimizer):
    recipe = Recipe(network=SMALL, batch_size=4, optimizer=optimizer, channels_last=False)
    parts = loops.random_parts((10, 4, 4))  # three batches, the last one smaller
    order = torch.randperm(10, generator=generator("cpu", recipe.seed, 1, 0)).tolist()

    def in_our_order(data, batch_size, shuffle=False):
        return DataLoader(data, batch_size, sampler=order if shuffle else None)

    monkeypatch.setattr(loops, "DataLoader", in_our_order)
    ends = []
    for epoch in (loops.our_epoch, loops.their_epoch):
        torch.manual_seed(0)
        network = build_network(SMALL, 2, 1, 28)
        start = network.conv1.weight.clone()
        epoch(network, OPTIMIZERS[optimizer](network.parameters(), recipe), parts, recipe)
        assert not torch.equal(network.conv1.weight, start)
        ends.append(network.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_pictures_are_our_images():
    (part,) = loops.random_parts((3,))
    picture, label = loops.Pictures(part)[1]
    assert label == part.labels[1]
    assert_close(picture, (part.images[1].float() / 255 - 0.5) / 0.5)


def test_throughput_is_the_inverse_of_time(monkeypatch):
    def twice_as_slow(calls, rounds, device):
        return pd.DataFrame({name: [1.0 + k] * rounds for k, name in enumerate(calls)})

    monkeypatch.setattr(loops, "alternate", twice_as_slow)
    table = loops.throughput(SMALL, steps=1, batch_size=4)
    assert list(table) == COLUMNS
    assert table[["ratio", "low", "high"]].to_numpy().tolist() == [[2.0, 2.0, 2.0]]


def test_epochs_are_compared():
    table = loops.epoch(rounds=1, counts=(4, 2, 2), network=SMALL)
    assert list(table["side"]) == ["ours"] and table["ratio"].item() > 0


def test_sweeps_are_compared(monkeypatch):
    loops.sweep(workers=1, threads=2, n_runs=1, epochs=1, network=SMALL)  # raises if not finished
    calls = []
    monkeypatch.setattr(loops, "sweep", lambda *options: calls.append(options))
    [row] = loops.sweep_time(rounds=1, n_runs=2, epochs=1, network=SMALL).to_dict("records")
    assert set(calls) == {(2, 1, 2, 1, SMALL), (1, 2, 2, 1, SMALL)}
    assert (row["side"], row["base"]) == ("two workers", "one after the other")


def test_worker_trains_once_per_line(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        loops, "our_epoch", lambda network, optimizer, parts, recipe: calls.append(len(parts[0]))
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    workers.train_on_lines("our_epoch", SMALL, 1, 4, 3)
    assert calls == [12, 12]
    assert capsys.readouterr().out.split() == ["READY"] * 3


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Replace Python by a shell that logs its arguments and runs the test's commands."""

    def install(commands: str):
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{commands}\n')
        script.chmod(0o700)
        monkeypatch.setattr(workers.sys, "executable", str(script))
        return tmp_path / "calls"

    return install


def test_two_workers_train_as_many_images(interpreter):
    calls = interpreter("echo READY; while read -r line; do echo READY; done")
    table = workers.two_workers(SMALL, steps=2, rounds=3, batch_size=4)
    assert list(table) == COLUMNS
    assert table[["side", "base"]].to_numpy().tolist() == [["two workers", "MedMNIST's loop"]]
    assert (table["low"] <= table["ratio"]).all() and (table["ratio"] <= table["high"]).all()
    commands = [line.partition("speed_workers.py ")[2] for line in calls.read_text().splitlines()]
    ours, theirs = f"our_epoch {SMALL} 1 4 2", f"their_epoch {SMALL} 2 4 4"
    assert commands == [ours, ours, theirs]


def test_worker_that_ends_is_reported(interpreter):
    interpreter("exit 3")
    with pytest.raises(RuntimeError, match="ended with 3"):
        workers.two_workers(SMALL, steps=1, rounds=1)
