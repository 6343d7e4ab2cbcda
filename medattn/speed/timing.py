"""Two or more things timed side by side: only their ratios hold, from machine to machine and from hour to hour."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

COLUMNS = ("what", "setting", "side", "base", "ratio", "low", "high", "value", "base_value", "unit")


def alternate(
    sides: Mapping[str, Callable[[], object]],
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


def ratios(what: str, setting: str, seconds: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare every other side with `base`, round by round: one row a side, with the columns of `COLUMNS`.

    `ratio` is the median of the rounds' ratios, `low` and `high` their quartiles, `value` and `base_value` the median
    milliseconds of the two sides.
    """
    rows = []
    for side in seconds.columns.drop(base):
        low, middle, high = np.percentile(seconds[side] / seconds[base], (25, 50, 75))
        values = 1000 * seconds[side].median(), 1000 * seconds[base].median()
        rows.append((what, setting, side, base, middle, low, high, *values, "ms"))
    return pd.DataFrame(rows, columns=COLUMNS)


def throughputs(what: str, setting: str, seconds: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare as `ratios` does, but work done in a second: the more, the better."""
    table = ratios(what, setting, seconds, base)
    table[["ratio", "low", "high"]] = 1 / table[["ratio", "high", "low"]]
    return table


def counted(what: str, setting: str, side: str, value: float, base: str, base_value: float, unit: str) -> pd.DataFrame:
    """Give the row of something that is counted and has no spread, such as operations or bytes."""
    ratio = value / base_value
    return pd.DataFrame([(what, setting, side, base, ratio, ratio, ratio, value, base_value, unit)], columns=COLUMNS)


def wait(device: str | torch.device) -> None:
    """Wait until a GPU has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
