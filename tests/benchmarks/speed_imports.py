"""How long a notebook waits for `medattn`, beyond what PyTorch and torchvision take."""

import subprocess
import sys

import pandas as pd
from speed_rows import COLUMNS

BASE = "torch, torchvision"
PARTS = ("medattn", "medattn.attention", "medattn.training")
CODE = """
from time import perf_counter
start = perf_counter()
import {base}
middle = perf_counter()
import {part}
print(middle - start, perf_counter() - middle)
"""


def import_time(rounds: int = 5) -> pd.DataFrame:
    """Time each part's import in fresh processes that have imported torch and torchvision, in turn.

    `ratio`, `low` and `high` are the seconds beyond those two; `base_value` is theirs.
    """
    seconds = pd.DataFrame([(p, *_timed(p)) for _ in range(rounds) for p in PARTS])
    rows = []
    for part, times in seconds.groupby(0, sort=False):
        low, middle, high = times[2].quantile([0.25, 0.5, 0.75])
        row = ("import, s beyond torch", "", part, BASE, middle, low, high, middle)
        rows.append((*row, times[1].median(), "s"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _timed(part: str) -> tuple[float, float]:
    command = [sys.executable, "-c", CODE.format(base=BASE, part=part)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, beyond = map(float, output.split())
    return before, beyond
