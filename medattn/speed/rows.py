"""What was timed side by side (`medattn.timing`) or counted, as rows of one table."""

import numpy as np
import pandas as pd

COLUMNS = ("what", "setting", "side", "base", "ratio", "low", "high", "value", "base_value", "unit")


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
