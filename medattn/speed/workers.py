"""Training by several processes at once: two workers of one thread beside MedMNIST's published loop with two threads.

Both loops are those of `medattn.speed.loop`; every process keeps its network and waits while the other side trains.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
import torch

from medattn.speed import loop
from medattn.speed.rows import throughputs
from medattn.timing import alternate
from medattn.training import Recipe

READY = "READY"


def two_workers(network: str = "resnet18", steps: int = 3, rounds: int = 7, batch_size: int = 32) -> pd.DataFrame:
    """Compare training throughput: two workers of one thread, `steps` each, over MedMNIST's loop with two threads.

    Each side trains while the other waits; only the clock's time counts, without starting up. The machine needs
    two free cores: two threads wait for each other, so that another program's work can slow them more than the workers.
    """
    base = "MedMNIST's loop"
    with (
        _trainer("our_epoch", network, 1, batch_size, steps) as one,
        _trainer("our_epoch", network, 1, batch_size, steps) as other,
        _trainer("their_epoch", network, 2, batch_size, 2 * steps) as theirs,
    ):
        sides = {"two workers": lambda: _train([one, other]), base: lambda: _train([theirs])}
        seconds = alternate(sides, rounds, wall=True)
    setting = f"{network} at 28 px, batch {batch_size}, two threads in all"
    return throughputs("throughput / MedMNIST's loop", setting, seconds, base)


def train_on_lines(epoch: str, network: str, threads: int, batch_size: int, steps: int) -> None:
    """Train that many steps in a loop of `medattn.speed.loop`, by its name, for every line of the standard input."""
    torch.set_num_threads(threads)
    recipe = Recipe(network=network, batch_size=batch_size)
    train = loop.training_side(getattr(loop, epoch), loop.random_parts((steps * batch_size,)), recipe)
    print(READY, flush=True)
    for _ in sys.stdin:
        train()
        print(READY, flush=True)


@contextmanager
def _trainer(*arguments: str | int) -> Iterator[subprocess.Popen]:
    """Give a process of `train_on_lines` that is ready; it ends when its input does."""
    code = f"from medattn.speed.workers import train_on_lines; train_on_lines{arguments}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        try:
            _wait(it)
            yield it
        finally:
            it.stdin.close()


def _train(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        _wait(process)


def _wait(process: subprocess.Popen) -> None:
    """Wait until a process has done what it was told. Raises RuntimeError where it ended instead."""
    said = process.stdout.readline().strip()
    if said != READY:
        raise RuntimeError(f"a process that was to train ended with {process.wait()}; its last words: {said!r}")
