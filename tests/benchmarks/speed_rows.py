"""The rows of one table, for everything that was timed in turn or counted; and random images."""

import pandas as pd
import torch
from torch import Tensor

from medattn.evaluation import ratios

COLUMNS = ["what", "setting", "side", "base", "ratio", "low", "high", "value", "base_value", "unit"]


def timed(what: str, setting: str, seconds: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare every other side with `base`, one row per side, in milliseconds; see `ratios`."""
    return ratios(seconds, base).assign(what=what, setting=setting, unit="ms")[COLUMNS]


def throughputs(what: str, setting: str, seconds: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare as `timed` does, but by work per second: more is better."""
    table = timed(what, setting, seconds, base)
    table[["ratio", "low", "high"]] = 1 / table[["ratio", "high", "low"]]
    return table


def counted(
    what: str, setting: str, side: str, value: float, base: str, base_value: float, unit: str
) -> pd.DataFrame:
    """Return the row of something without spread, such as operations or bytes."""
    ratio = value / base_value
    row = (what, setting, side, base, ratio, ratio, ratio, value, base_value, unit)
    return pd.DataFrame([row], columns=COLUMNS)


def random_images(n: int, channels: int, size: int) -> Tensor:
    """Return random images (n, channels, size, size) of uint8; speed does not depend on pixels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)
