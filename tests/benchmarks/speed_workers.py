"""Two workers of one thread beside MedMNIST's loop with two threads; each side waits for the other.

A worker is this file as a script: `speed_workers.py EPOCH NETWORK THREADS BATCH_SIZE STEPS`.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
import speed_loops
import torch
from speed_rows import throughputs

from medattn.evaluation import alternate
from medattn.training import Recipe

READY = "READY"


def two_workers(
    network: str = "resnet18", steps: int = 3, rounds: int = 7, batch_size: int = 32
) -> pd.DataFrame:
    """Compare training throughput: two workers with `steps` each over MedMNIST's loop with both.

    The clock's time counts, without starting the processes. The machine needs two free cores.
    """
    ours, theirs = ("our_epoch", network, 1, batch_size, steps), speed_loops.THEIRS
    other = ("their_epoch", network, 2, batch_size, 2 * steps)
    with _worker(*ours) as first, _worker(*ours) as second, _worker(*other) as third:
        calls = {"two workers": lambda: _train([first, second]), theirs: lambda: _train([third])}
        seconds = alternate(calls, rounds, wall=True)
    setting = f"{network} at 28 px, batch {batch_size}, two threads in all"
    return throughputs("throughput / MedMNIST's loop", setting, seconds, theirs)


def train_on_lines(epoch: str, network: str, threads: int, batch_size: int, steps: int) -> None:
    """Train `steps` batches in a loop of `speed_loops` for every line of the standard input."""
    torch.set_num_threads(threads)
    recipe = Recipe(network=network, batch_size=batch_size)
    parts = speed_loops.random_parts((steps * batch_size,))
    train = speed_loops.trainer(getattr(speed_loops, epoch), parts, recipe)
    print(READY, flush=True)
    for _ in sys.stdin:
        train()
        print(READY, flush=True)


@contextmanager
def _worker(*arguments: str | int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, __file__, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            _wait(process)
            yield process
        finally:
            process.stdin.close()  # ends it


def _train(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        _wait(process)


def _wait(process: subprocess.Popen) -> None:
    line = process.stdout.readline().strip()
    if line != READY:
        raise RuntimeError(f"a worker ended with {process.wait()}; its last line: {line!r}")


if __name__ == "__main__":
    name, architecture, *numbers = sys.argv[1:]
    train_on_lines(name, architecture, *map(int, numbers))
