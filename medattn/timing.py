"""Two or more things timed side by side: only their ratios hold, from machine to machine and from hour to hour."""

import time
from collections.abc import Callable, Hashable, Mapping

import pandas as pd
import torch


def alternate(
    sides: Mapping[Hashable, Callable[[], object]],
    rounds: int = 7,
    device: str | torch.device = "cpu",
    wall: bool = False,
) -> pd.DataFrame:
    """Time every side once a round, one after the other, after a round that is not counted.

    Gives seconds, one row a round and one column a side: processor time where one CPU thread does the work, which other
    programs disturb least, and else the clock's, with `wall` always. On a GPU the device is waited for.
    Raises ValueError for fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be 1 or more")
    one_thread = torch.device(device).type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if one_thread and not wall else time.perf_counter
    seconds = {name: [] for name in sides}
    for k in range(rounds + 1):
        for name, call in sides.items():
            wait(device)
            began = now()
            call()
            wait(device)
            if k:
                seconds[name].append(now() - began)
    return pd.DataFrame(seconds)


def wait(device: str | torch.device) -> None:
    """Wait until a GPU has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
