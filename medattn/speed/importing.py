"""How long a notebook waits for `medattn`, beyond what PyTorch and torchvision take."""

import subprocess
import sys

import pandas as pd

from medattn.speed.rows import COLUMNS

BASE = "torch, torchvision"
PARTS = ("medattn", "medattn.attention", "medattn.training")
TIMED = """
from time import perf_counter
began = perf_counter()
import {base}
between = perf_counter()
import {part}
print(between - began, perf_counter() - between)
"""


def import_time(rounds: int = 5) -> pd.DataFrame:
    """Time each part's import in fresh processes that have imported torch and torchvision, in turn.

    `ratio`, `low` and `high` are the seconds that come on top of those two; `base_value` is theirs.
    """
    seconds = pd.DataFrame(
        [(part, *_timed(part)) for _ in range(rounds) for part in PARTS], columns=["part", "base", "beyond"]
    )
    rows = []
    for part, times in seconds.groupby("part", sort=False):
        low, middle, high = times["beyond"].quantile([0.25, 0.5, 0.75])
        rows.append(("import, s beyond torch", "", part, BASE, middle, low, high, middle, times["base"].median(), "s"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _timed(part: str) -> tuple[float, float]:
    """Give the seconds that importing `BASE`, and then `part`, takes in a fresh process."""
    code = TIMED.format(base=BASE, part=part)
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, beyond = map(float, answer.stdout.split())
    return before, beyond
