"""Two workers and MedMNIST's loop train the same; what they are compared by, and what happens when one ends."""

import io

import pytest

from medattn.speed import loop, workers
from medattn.speed.rows import COLUMNS

SMALL = "timm:test_resnet"


def test_a_trainer_trains_once_for_every_line(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(loop, "our_epoch", lambda network, optimizer, parts, recipe: calls.append(len(parts[0])))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    workers.train_on_lines("our_epoch", SMALL, 1, 4, 3)
    assert calls == [12, 12]
    assert capsys.readouterr().out.split() == ["READY"] * 3


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell in Python's place: it writes down what it was to run, and does as the test says."""

    def does(commands: str):
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/asked\n{commands}\n')
        script.chmod(0o700)
        monkeypatch.setattr(workers.sys, "executable", str(script))
        return tmp_path / "asked"

    return does


def test_two_workers_are_put_beside_two_threads_with_as_many_images(interpreter):
    asked = interpreter("echo READY; while read -r line; do echo READY; done")
    table = workers.two_workers(SMALL, steps=2, rounds=3, batch_size=4)
    assert tuple(table.columns) == COLUMNS
    assert table[["side", "base"]].to_numpy().tolist() == [["two workers", "MedMNIST's loop"]]
    assert (table["low"] <= table["ratio"]).all() and (table["ratio"] <= table["high"]).all()
    ours, theirs = f"('our_epoch', '{SMALL}', 1, 4, 2)", f"('their_epoch', '{SMALL}', 2, 4, 4)"
    assert [line.partition("; train_on_lines")[2] for line in asked.read_text().split("\n")[:3]] == [ours, ours, theirs]


def test_a_trainer_that_ends_is_told_and_not_waited_for(interpreter):
    interpreter("exit 3")
    with pytest.raises(RuntimeError, match="ended with 3"):
        workers.two_workers(SMALL, steps=1, rounds=1)
