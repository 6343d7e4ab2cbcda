"""How long a notebook waits for `medattn`, beyond what PyTorch and torchvision take."""

import subprocess
import sys

import pandas as pd

from medattn.speed.timing import COLUMNS, alternate

PARTS = ("medattn", "medattn.attention", "medattn.training")


def import_time(rounds: int = 7) -> pd.DataFrame:
    """Time each part's import in fresh processes, in turn with torch and torchvision alone.

    `ratio`, `low` and `high` are the seconds beyond those.
    """
    base = "torch, torchvision"
    sides = {names: lambda names=names: _run(f"import {names}") for names in (base, *(f"{base}, {p}" for p in PARTS))}
    seconds = alternate(sides, rounds, wall=True)
    rows = []
    for part in PARTS:
        beyond = seconds[f"{base}, {part}"] - seconds[base]
        low, middle, high = beyond.quantile([0.25, 0.5, 0.75])
        rows.append(("import, s beyond torch", "", part, base, middle, low, high, middle, seconds[base].median(), "s"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
