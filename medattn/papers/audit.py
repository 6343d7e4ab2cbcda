"""Audit printed accuracies by arithmetic alone: which figures are possible, and which are not.

Source: an accuracy is k of n test images, so few figures can be printed: Brown and Heathers 2017,
"The GRIM test", Social Psychological and Personality Science 8(4).
Paper: notebook 16 audits every table of both papers; `audit` takes any CSV.

Figures are exact decimals and are read as text. A column has the decimals of its longest cell. It
holds shares (0.859) if it has decimals and no cell above 1, and percentages otherwise. A misfit by
both roundings, half up and half to even, proves that a figure is not what its column says. A fit
is evidence, as strong as luck makes it (`fits`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from scipy import stats

SIZES = range(1, 1001)  # numbers of test images that are tried by default


def read_printed(file: str | Path | TextIO) -> pd.DataFrame:
    """Read a CSV with every cell as text; only empty cells are missing."""
    missing = {"na_values": [""], "keep_default_na": False}
    return pd.read_csv(file, dtype=str, skipinitialspace=True, **missing).rename(columns=str.strip)


@dataclass(frozen=True)
class Column:
    """Printed shares in units of their last digit: 85.90 % is 8590 of 10000."""

    units: np.ndarray  # (m,) whole numbers
    whole: int  # units of a perfect score
    decimals: int
    index: pd.Index  # names of the rows

    def text(self, units: int) -> str:
        """Return units as they would be printed."""
        return f"{Decimal(int(units)).scaleb(-self.decimals):f}"


Cells = Iterable[Any] | Column  # texts or whole numbers, (m,)


def column(cells: Cells, mixed: bool = True) -> Column:
    """Read printed shares or percentages.

    Raises ValueError for no cells, floats and numbers outside 0..100. Unless `mixed`, it also
    raises ValueError for cells that may be shares among percentages.
    """
    if isinstance(cells, Column):
        return cells
    series = cells if isinstance(cells, pd.Series) else pd.Series(list(cells), dtype=object)
    if not len(series):
        raise ValueError("cells is empty: there is nothing to audit")
    values = [_decimal(cell, name) for name, cell in series.items()]
    decimals = max(0, *(-int(value.as_tuple().exponent) for value in values))
    highest, texts = max(values), series.astype(str)
    shares = [text for text in texts if "%" not in text and 0 < float(text) < 1]
    if shares and highest > 1 and not mixed:
        raise ValueError(
            f"cells go up to {highest}, so they are percentages, and {', '.join(shares[:5])} may "
            "be a share: write percentages below 1 as 0.91 %"
        )
    whole = 10**decimals * (1 if decimals and highest <= 1 else 100)
    units = np.array([int(value.scaleb(decimals)) for value in values])
    return Column(units, whole, decimals, series.index)


def _decimal(cell: object, name: object) -> Decimal:
    if isinstance(cell, float | np.floating) and cell == cell:
        raise ValueError("cells are floats, which have lost their zeros (85.90): pass text")
    try:
        value = Decimal(str(cell).strip().removesuffix("%").strip())
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or not 0 <= value <= 100:
        allowed = "write a number in 0..100, or leave the cell empty"
        raise ValueError(f"cell {name}: {cell!r} is not a share or percentage: {allowed}")
    return value


def roundings(k: Any, n: Any, whole: int) -> tuple[Any, Any]:
    """Return k of n in units, rounded half up and half to even, for numbers or arrays."""
    half_up = (2 * k * whole + n) // (2 * n)
    tie = (2 * k * whole + n) % (2 * n) == 0
    return half_up, half_up - tie * (half_up % 2)


@cache
def _share_printable(n: int, whole: int) -> float:
    """Return the share of all figures that some k of n prints by either rounding."""
    if n >= whole:
        return 1.0
    return len(np.union1d(*roundings(np.arange(n + 1), n, whole))) / (whole + 1)


def fits(cells: Cells, sizes: Iterable[int] = SIZES) -> pd.DataFrame:
    """Count the cells that are some k of n at the printed rounding: one row per n.

    `half_up` and `half_even` count fits by that rounding, `cells` by either. `by_luck` is the mean
    number of fits if figures were spread evenly over all that can be printed. `p` is the
    probability that at least as many of the *different* figures fit by luck.
    """
    printed, sizes = column(cells), list(sizes)
    if not sizes or not all(n >= 1 and n == int(n) for n in sizes):
        raise ValueError(f"sizes={sizes!r} must be numbers of images, 1 or more")
    whole, n = printed.whole, np.array(sizes, dtype=np.int64)[:, None]
    figures, copies = np.unique(printed.units, return_counts=True)
    below = figures * n // whole  # k is this or the next, if any k prints the figure
    rounded = np.array([roundings(k, n, whole) for k in (below, below + 1)])  # (2, 2, n, figures)
    half_up, half_even = (rounded == figures).any(0)
    either = half_up | half_even
    share = np.array([_share_printable(int(n), whole) for n in sizes])
    counted = pd.DataFrame(index=pd.Index(sizes, dtype=int, name="n"))
    counted["half_up"], counted["half_even"] = half_up @ copies, half_even @ copies
    counted["cells"], counted["by_luck"] = either @ copies, share * copies.sum()
    counted["p"] = stats.binom.sf(either.sum(1) - 1, len(figures), share)
    return counted


def possible_sizes(cells: Cells, sizes: Iterable[int] = SIZES) -> pd.DataFrame:
    """Return the rows of `fits` whose n fits every cell by one rounding."""
    printed = column(cells)
    counted = fits(printed, sizes)
    return counted[counted[["half_up", "half_even"]].max(axis=1) == len(printed.units)]


def misfits(cells: Cells, n: int) -> pd.DataFrame:
    """Return the cells that are not k of n by either rounding.

    Columns: the cell as `printed`, the nearest `k`, what k `would_print`, and a `slip` that may
    explain the cell: "cut off" (not rounded) or "a decimal less" (rounded, filled with a zero).
    """
    printed = column(cells)
    if isinstance(n, str) or n < 1 or n != int(n):
        raise ValueError(f"n={n!r} must be a number of images, 1 or more")
    units, whole = printed.units, printed.whole
    k = roundings(units, whole, n)[0]
    half_up, half_even = roundings(k, n, whole)
    cut = k * whole // n
    coarser = 10 * roundings(k, n, whole // 10)[0] if printed.decimals else cut
    slip = np.select([units == cut, units == coarser], ["cut off", "a decimal less"], "")
    wrong = (units != half_up) & (units != half_even)
    table = pd.DataFrame({"printed": units, "k": k, "would_print": half_up, "slip": slip})
    table = table.set_axis(printed.index)[wrong]
    return table.assign(**{c: table[c].map(printed.text) for c in ("printed", "would_print")})


def images(cells: Cells, n: int) -> pd.Series:
    """Return the number k of n images that is nearest to each cell.

    Raises ValueError if several k print the same figure: for n above 10000 with two decimals in %.
    """
    printed = column(cells)
    if not 1 <= n <= printed.whole:
        raise ValueError(f"n={n} must be in 1..{printed.whole} with {printed.decimals} decimals")
    k = roundings(printed.units, printed.whole, n)[0]
    return pd.Series(k, index=printed.index, name="k")


@dataclass(frozen=True)
class Difference:
    """The difference of two accuracies on the same images; every p is exact and two-sided."""

    images: int  # how many more the second has right
    unpaired: float  # Fisher's p, as if they had been tested on different images
    least: float  # the smallest possible McNemar's p: one is right wherever the other is
    significant_up_to: int  # most images that only one may have right for p < level; 0 is never
    if_independent: float  # how many images that would be if the two erred independently


def difference_in_images(first: object, second: object, n: int, level: float = 0.05) -> Difference:
    """Compare two printed accuracies on n images each, as counts of images.

    A cell that is not k of n counts as the nearest k. McNemar's test depends on the number of
    images that only one method has right. No table prints it, so the result gives bounds.
    """
    k_first, k_second = (int(k) for k in images(column([first, second], mixed=False), n))
    lead, fewer, more = abs(k_second - k_first), min(k_first, k_second), max(k_first, k_second)
    lost = np.arange(min(fewer, n - more) + 1)  # images that only the method with fewer has right
    p = np.minimum(1, 2 * stats.binom.cdf(lost, lead + 2 * lost, 0.5))  # two-sided: a fair coin
    significant = lost[p < level]
    first_split, second_split = (k_first, n - k_first), (k_second, n - k_second)
    return Difference(
        images=k_second - k_first,
        unpaired=float(stats.fisher_exact([first_split, second_split]).pvalue),
        least=float(p[0]),
        significant_up_to=int(lead + 2 * significant[-1]) if len(significant) else 0,
        if_independent=(k_first * (n - k_second) + k_second * (n - k_first)) / n,
    )


def repeated(table: pd.DataFrame, columns: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Find figures of `columns` that are printed twice, digit for digit: one row per pair.

    Rows are named by their cells in `names`. An experiment quoted in two tables counts as repeated.
    """
    table = table.set_axis(table[list(names)].fillna("").agg(" ".join, axis=1))
    cells = [(figure, row, c) for c in columns for row, figure in table[c].dropna().items()]
    pairs = [(*a, *b[1:]) for a, b in combinations(cells, 2) if a[0] == b[0]]
    return pd.DataFrame(pairs, columns=["figure", "row", "column", "other_row", "other_column"])


def equal_pairs(cells: Cells, within: int = 50) -> tuple[int, float]:
    """Return the number of pairs of equal figures, and the number expected by chance.

    Chance is estimated from the pairs that are 1 to `within` units of the last digit apart. The
    estimate holds for figures on a fine grid, such as AUC and F1. Accuracies of n images repeat.
    """
    units = column(cells).units
    apart = np.abs(units[:, None] - units)[np.triu_indices(len(units), 1)]
    return int((apart == 0).sum()), float(((apart > 0) & (apart <= within)).sum() / (2 * within))


def audit(
    table: pd.DataFrame | str | Path | TextIO,
    columns: str | Sequence[str],
    by: str | Sequence[str] = (),
    n: int | Mapping[str, int] | None = None,
    sizes: Iterable[int] = SIZES,
) -> pd.DataFrame:
    """Audit accuracies in a CSV or a frame of text: one row per group of `by` and column.

    `sizes` of the result are the numbers of images that fit every cell by one rounding, or else
    those that fit most. `lucky_sizes` is how many would fit every cell by luck, on average. If n is
    given, for all or by group, `misfits` are the cells that it cannot give.
    """
    table = table if isinstance(table, pd.DataFrame) else read_printed(table)
    table = table.reset_index(drop=True)
    columns, by = ([names] if isinstance(names, str) else list(names) for names in (columns, by))
    if missing := [name for name in [*columns, *by] if name not in table]:
        there = ", ".join(map(str, table.columns))
        raise ValueError(f"there is no column {', '.join(missing)}; there are {there}")
    if unnamed := [str(row) for row in table.index if table.loc[row, by].isna().any()]:
        raise ValueError(f"rows {', '.join(unnamed)} have no {' or '.join(by)}: fill in every row")
    whole_columns = {name: column(table[name].dropna(), mixed=False) for name in columns}
    keys = table[by].astype(str).agg(" ".join, axis=1) if by else pd.Series("all", table.index)
    groups = dict(iter(table.groupby(keys, sort=False)))
    for key, rows in groups.items():
        if by and len(rows[by].drop_duplicates()) > 1:
            raise ValueError(f"several groups are named {key!r}: rename one")
    if isinstance(n, Mapping) and (unknown := n.keys() - groups.keys()):
        there = ", ".join(map(repr, groups))
        raise ValueError(f"n names {', '.join(map(repr, unknown))}; the groups are {there}")
    sizes, results = list(sizes), {}
    for key, rows in groups.items():
        for name, whole in whole_columns.items():
            inside = whole.index.isin(rows.index)
            if inside.any():
                printed = replace(whole, units=whole.units[inside], index=whole.index[inside])
                known = n.get(key) if isinstance(n, Mapping) else n
                results[key, name] = _audit_column(printed, sizes, known)
    return pd.DataFrame.from_dict(results, orient="index").rename_axis(["group", "column"])


def _audit_column(printed: Column, sizes: list[int], n: int | None) -> dict[str, object]:
    counted, n_cells = fits(printed, sizes), len(printed.units)
    n_fit = counted[["half_up", "half_even"]].max(axis=1)
    best = [str(size) for size in n_fit.index[n_fit == n_fit.max()]]
    text = ", ".join(best[:4] + ["..."] * (len(best) > 4))
    luck = (counted["by_luck"] / n_cells) ** len(np.unique(printed.units))
    sizes_text = text if n_fit.max() == n_cells else f"none; {n_fit.max()} fit {text}"
    row = {"cells": n_cells, "sizes": sizes_text, "lucky_sizes": float(luck.sum())}
    if n is not None:
        row |= {"n": n, "misfits": ", ".join(misfits(printed, n)["printed"]) or "none"}
    return row
