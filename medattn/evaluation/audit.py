"""What printed figures can be, and what they cannot: an audit of a table by arithmetic alone.

Source: an accuracy is k of n test images, so few figures can be printed at all: Brown and Heathers 2017, "The GRIM
test", Social Psychological and Personality Science 8(4). The rest follows from definitions; each function says how.
Paper: notebook 16 audits every table of both papers; any other table will do, as a CSV (`audit`).

Figures are exact decimals, so they are read as text (`read_printed`): 85.90 is not 85.9. A column has the decimals of
its longest cell; shorter cells are taken to have lost their zeros. Decimals of which none is above 1 are shares
(0.859), everything else is percentages; `audit` refuses a column that may mix the two. Roundings: half up (2.5 is 3)
and half to even (2.5 is 2); they differ on exact ties only. A misfit is proof that a figure is not what its column
says; a fit is evidence, as strong as luck makes it (`fits`). An audit shows what a figure can be, never why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from scipy import stats

SIZES = range(1, 1001)  # the numbers of test images that are tried unless said
AVERAGES = ("weighted", "macro", "first", "second")  # of F1 over two classes; or the F1 of one of them


def read_printed(file: str | Path | TextIO) -> pd.DataFrame:
    """Read a CSV with every cell as the text that it is; only an empty cell is missing."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True)
    return table.rename(columns=str.strip)


@dataclass(frozen=True)
class Column:
    """Printed shares in units of their last digit: 85.90 % is 8590 of 10000, 0.859 is 859 of 1000."""

    units: np.ndarray  # (m,) whole numbers
    whole: int  # units of a perfect score
    decimals: int
    index: pd.Index  # the rows' names

    def text(self, units: int) -> str:
        """Write units as they would be printed."""
        return f"{Decimal(int(units)).scaleb(-self.decimals):f}"


def column(cells: Iterable | Column) -> Column:
    """Read printed shares or percentages, (m,) texts or whole numbers.

    Raises ValueError where there is none, for floats, and for a cell that is missing, no number, below 0 or above 100.
    """
    if isinstance(cells, Column):
        return cells
    series = cells if isinstance(cells, pd.Series) else pd.Series(list(cells), dtype=object)
    if not len(series):
        raise ValueError("cells is empty: there is nothing to audit")
    if any(isinstance(cell, float | np.floating) and cell == cell for cell in series):
        raise ValueError(
            "cells are floats, which have lost their zeros (85.90): read the CSV by read_printed, or give text"
        )
    values = [_decimal(cell, name) for name, cell in series.items()]
    decimals = max(0, *(-value.as_tuple().exponent for value in values))
    whole = 10**decimals * (1 if decimals and max(values) <= 1 else 100)
    return Column(np.array([int(value.scaleb(decimals)) for value in values]), whole, decimals, series.index)


def _in_one_way(cells: Iterable) -> Column:
    """Read cells that are all shares or all percentages; raises ValueError where some may be the other."""
    printed = column(cells)
    shares = [str(cell) for cell in cells if 0 < _decimal(cell, "") < 1 and "%" not in str(cell)]
    if shares and printed.whole > 10**printed.decimals:
        raise ValueError(
            f"cells go up to {printed.text(printed.units.max())}, so they are percentages, and {', '.join(shares[:5])} "
            "may be a share: write all in one way, or less than 1 % with its sign (0.91 %)"
        )
    return printed


def _decimal(cell: object, name: object) -> Decimal:
    try:
        value = Decimal(str(cell).strip().removesuffix("%").strip())
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or not 0 <= value <= 100:
        raise ValueError(
            f"cell {name}: {cell!r} is no share or percentage: a number in 0..100 is expected, with nothing beside it; "
            "leave a cell empty where nothing is printed"
        )
    return value


def _half_up(k, n, whole: int):
    return (2 * k * whole + n) // (2 * n)


def _half_even(k, n, whole: int):
    up = _half_up(k, n, whole)
    return up - ((2 * k * whole + n) % (2 * n) == 0) * (up % 2)


def _share_printable(sizes: np.ndarray, whole: int) -> np.ndarray:
    return np.array([_printable(n, whole) for n in sizes.tolist()]) / (whole + 1)


@cache
def _printable(n: int, whole: int) -> int:
    """Count the figures that some k of n prints by one rounding or the other."""
    if n >= whole:
        return whole + 1
    k = np.arange(n + 1)
    return len(np.union1d(_half_up(k, n, whole), _half_even(k, n, whole)))


def _sizes(sizes: Iterable[int]) -> np.ndarray:
    given = np.array(list(sizes))
    checked = given.astype(np.int64) if given.dtype.kind in "iuf" else given[:0]
    if not len(checked) or checked.min() < 1 or (checked != given).any():
        raise ValueError(f"sizes={sizes!r}: numbers of images, 1 or more, are expected")
    return checked


def fits(cells: Iterable | Column, sizes: Iterable[int] = SIZES) -> pd.DataFrame:
    """Count, for each number of images n, the cells that are some k of n at the printed rounding.

    One row an n: `half_up` and `half_even` count the cells that fit by each rounding, `cells` by one or the other.
    Luck means that figures are spread evenly over all that can be printed with these decimals, of which n + 1 are some
    k of n, and a few more where both roundings print something (with two decimals in %, any figure fits n = 10000).
    `by_luck` cells then fit on average, and `p` is the probability that as many of the *different* figures do as here.
    """
    printed, n = column(cells), _sizes(sizes)[:, None]
    different, copies = np.unique(printed.units, return_counts=True)
    below = different * n // printed.whole  # k is this or the next: all k that print one figure are neighbours
    found = [
        (rounding(below, n, printed.whole) == different) | (rounding(below + 1, n, printed.whole) == different)
        for rounding in (_half_up, _half_even)
    ]
    either = found[0] | found[1]
    share = _share_printable(n[:, 0], printed.whole)
    return pd.DataFrame(
        {
            "half_up": found[0] @ copies,
            "half_even": found[1] @ copies,
            "cells": either @ copies,
            "by_luck": share * copies.sum(),
            "p": stats.binom.sf(either.sum(1) - 1, len(different), share),
        },
        index=pd.Index(n[:, 0], name="n"),
    )


def possible_sizes(cells: Iterable | Column, sizes: Iterable[int] = SIZES) -> pd.DataFrame:
    """Give the rows of `fits` for the numbers of images that fit every cell by one rounding; multiples fit as well."""
    printed = column(cells)
    counted = fits(printed, sizes)
    return counted[counted[["half_up", "half_even"]].max(axis=1) == len(printed.units)]


def misfits(cells: Iterable | Column, n: int) -> pd.DataFrame:
    """Give the cells that are no k of n, by neither rounding.

    Each with the nearest `k`, what that would print, and the `slip` by which k would print this figure all the same, if
    it is one of two common ones: cut off instead of rounded, or rounded to a decimal less and filled with a zero.
    """
    printed = column(cells)
    if isinstance(n, str) or n < 1 or n != int(n):
        raise ValueError(f"n={n!r}: a number of images, 1 or more, is expected")
    k = _half_up(printed.units, printed.whole, n)
    would, cut = _half_up(k, n, printed.whole), k * printed.whole // n
    coarser = 10 * _half_up(k, n, printed.whole // 10) if printed.decimals else cut
    slip = np.select([printed.units == cut, printed.units == coarser], ["cut off", "a decimal less"], "")
    no_k = (printed.units != would) & (printed.units != _half_even(k, n, printed.whole))
    return pd.DataFrame(
        {
            "printed": [printed.text(units) for units in printed.units[no_k]],
            "k": k[no_k],
            "would_print": [printed.text(units) for units in would[no_k]],
            "slip": slip[no_k],
        },
        index=printed.index[no_k],
    )


def images(cells: Iterable | Column, n: int) -> pd.Series:
    """Give the number k of n images that is nearest to each cell.

    Raises ValueError where several k print the same: for n above 10000 with two decimals in %.
    """
    printed = column(cells)
    if not 1 <= n <= printed.whole:
        raise ValueError(f"n={n}: with {printed.decimals} decimals, counts can be read off for n in 1..{printed.whole}")
    return pd.Series(_half_up(printed.units, printed.whole, n), index=printed.index, name="k")


def constant_predictor(counts: Mapping[str, int] | Sequence[int]) -> pd.DataFrame:
    """Score a classifier that names one class whatever the image: one row a class named, in %.

    `counts` are the test images of each class. With a share p of them in the class named, recall is 1 and precision p
    there, so F1 = 2p / (1 + p), and F1 = 0 for all other classes. Weighted by the counts that is p * F1, as a mean over
    K classes (macro) F1 / K. Constant scores rank nothing: the AUC is 50.
    """
    classes = pd.Series(counts, dtype=np.int64)
    if not len(classes) or classes.min() < 0 or not classes.sum():
        raise ValueError(f"counts={counts!r}: the images of each class, 0 or more, and one at least")
    p = classes / classes.sum()
    f1 = 2 * p / (1 + p)
    return 100 * pd.DataFrame({"accuracy": p, "weighted_f1": p * f1, "macro_f1": f1 / len(p), "auc": 0.5})


def constant_rows(accuracy: Iterable | Column, f1: Iterable | Column, n: int, n_classes: int) -> pd.DataFrame:
    """Give the rows whose F1 is that of a constant predictor with their accuracy k of n.

    Class counts need not be known: that F1 depends on p = k / n and `n_classes` alone (`constant_predictor`), and if a
    row is constant, its k is the count of the class it names. `average` says which F1 it is, weighted or macro.
    """
    printed, right = _same_rows(f1, accuracy, n)
    places, rows = [], []
    for place, (k, units) in enumerate(zip(right, printed.units, strict=True)):
        scores = {"weighted": Fraction(2 * k * k, n * (n + k)), "macro": Fraction(2 * k, (n + k) * n_classes)}
        for average, score in scores.items():
            if units in _printings(score, printed.whole):
                places.append(place)
                rows.append((k, printed.text(units), average))
    return pd.DataFrame(rows, columns=["k", "f1", "average"], index=printed.index[places])


def _same_rows(f1: Iterable | Column, accuracy: Iterable | Column, n: int) -> tuple[Column, list[int]]:
    printed, right = column(f1), images(accuracy, n).tolist()
    if len(printed.units) != len(right):
        raise ValueError(f"accuracy has {len(right)} cells and f1 {len(printed.units)}: they must be of the same rows")
    return printed, right


def _printings(share: Fraction, whole: int) -> tuple[int, int]:
    pair = share.numerator, share.denominator
    return _half_up(*pair, whole), _half_even(*pair, whole)


def confusions(k: int, counts: tuple[int, int]) -> pd.DataFrame:
    """List every confusion matrix of two classes with k images right, one a row, with its F1 in exact fractions.

    `counts` are the images of the first and the second class, `right_0` and `right_1` those of them that are right.
    F1 is that of the first class, of the second, their mean (macro), and their mean weighted by counts.
    """
    first, second = counts
    if min(counts) < 1 or not 0 <= k <= first + second:
        raise ValueError(f"k={k}, counts={counts}: two classes of 1 or more images, and k of their sum")
    rows = []
    for right_0 in range(max(0, k - second), min(first, k) + 1):
        right_1 = k - right_0
        f_0 = Fraction(2 * right_0, first + right_0 + second - right_1)  # 2 TP / (images + predictions) of the class
        f_1 = Fraction(2 * right_1, second + right_1 + first - right_0)
        weighted = (first * f_0 + second * f_1) / (first + second)
        rows.append((right_0, right_1, weighted, (f_0 + f_1) / 2, f_0, f_1))
    return pd.DataFrame(rows, columns=["right_0", "right_1", *AVERAGES])


def two_classes(
    accuracy: Iterable | Column, f1: Iterable | Column, counts: tuple[int, int], average: str = "weighted"
) -> pd.DataFrame:
    """Find the confusion matrices behind a printed accuracy and F1 of two classes with these counts of test images.

    One row a printed row: `k` images right, the `lowest` and `highest` F1 that k allows, in the printed units, how many
    `matrices` print that F1, and the images right in each class where it is one matrix alone.
    """
    if average not in AVERAGES:
        raise ValueError(f"average={average!r} is not one of {', '.join(AVERAGES)}")
    printed, right = _same_rows(f1, accuracy, sum(counts))
    rows = []
    for k, units in zip(right, printed.units, strict=True):
        possible = confusions(k, counts)
        prints = [_printings(share, printed.whole) for share in possible[average]]
        fitting = possible[[units in pair for pair in prints]]
        alone = fitting[["right_0", "right_1"]].iloc[0].tolist() if len(fitting) == 1 else [pd.NA, pd.NA]
        lowest, highest = (printed.text(end(prints)[0]) for end in (min, max))
        rows.append([k, printed.text(units), lowest, highest, len(fitting), *alone])
    names = ["k", "f1", "lowest", "highest", "matrices", "right_0", "right_1"]
    table = pd.DataFrame(rows, columns=names, index=printed.index)
    return table.astype({"right_0": "Int64", "right_1": "Int64"})


@dataclass(frozen=True)
class Difference:
    """What two accuracies on the same n images say of each other; every p is exact and two-sided."""

    images: int  # more that the second has right
    unpaired: float  # Fisher's p, as if they had been tested on different images
    least: float  # McNemar's p if one is right wherever the other is: the smallest that can be
    significant_up_to: int  # the most images that exactly one may have right for McNemar's p < level; 0: never
    if_independent: float  # how many those would be if the two erred independently


def difference_in_images(first: object, second: object, n: int, level: float = 0.05) -> Difference:
    """Compare two printed accuracies on n images each, as counts of images.

    A cell that is no k of n counts as the nearest. The table does not say on how many images exactly one method is
    right; McNemar's test depends on it, so the ends are given: the best case, and how far significance reaches.
    """
    one, two = (int(k) for k in images(_in_one_way([first, second]), n))
    lead, fewer, more = abs(two - one), min(one, two), max(one, two)
    lost = np.arange(min(fewer, n - more) + 1)  # images that only the method with fewer has right
    p = np.minimum(1, 2 * stats.binom.cdf(lost, lead + 2 * lost, 0.5))  # a fair coin: two-sided is twice one-sided
    significant = lost[p < level]
    return Difference(
        images=two - one,
        unpaired=float(stats.fisher_exact([[one, n - one], [two, n - two]]).pvalue),
        least=float(p[0]),
        significant_up_to=int(lead + 2 * significant[-1]) if len(significant) else 0,
        if_independent=(one * (n - two) + two * (n - one)) / n,
    )


def repeated(table: pd.DataFrame, columns: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Find the figures of `columns` that are printed more than once, digit for digit: one row a pair of cells.

    A row is called by its cells in `names`. An experiment that is quoted in two tables is a repeat as well.
    """
    table = table.reset_index(drop=True)
    rows = table[list(names)].fillna("").agg(" ".join, axis=1)
    cells = [(table.loc[i, c], rows[i], c) for c in columns for i in table.index if pd.notna(table.loc[i, c])]
    pairs = [(a[0], *a[1:], *b[1:]) for a, b in combinations(cells, 2) if a[0] == b[0]]
    return pd.DataFrame(pairs, columns=["figure", "row", "column", "other_row", "other_column"])


def equal_pairs(cells: Iterable | Column, within: int = 50) -> tuple[int, float]:
    """Count the pairs of equal figures, and say how many to expect by chance.

    The chance is read off the pairs that nearly agree: those 1 to `within` units of the last digit apart, as many a
    step as there are. It holds for figures on a fine grid, such as AUC and F1; accuracies of n images repeat anyway.
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
    """Audit the accuracies of a table: one row for each of `columns` within each group of `by`, missing cells left out.

    `table` is a CSV or a frame of text. Of the numbers of images tried, `sizes` names those that fit every cell by one
    rounding, or else those that fit most; `lucky_sizes` is how many would fit every cell by luck, on average. With n,
    one number of images or one a group, `misfits` are the cells that it cannot give.
    """
    table = (table if isinstance(table, pd.DataFrame) else read_printed(table)).reset_index(drop=True)
    columns, by = ([names] if isinstance(names, str) else list(names) for names in (columns, by))
    missing = [name for name in [*columns, *by] if name not in table]
    if missing:
        raise ValueError(f"there is no column {', '.join(missing)}; there are {', '.join(map(str, table.columns))}")
    unnamed = table.index[table[by].isna().any(axis=1)] if by else []
    if len(unnamed):
        raise ValueError(f"rows {', '.join(map(str, unnamed))} have no {' or '.join(by)}: fill in every row's own")
    whole = {name: _in_one_way(table[name].dropna()) for name in columns}
    groups = table.groupby(by, sort=False) if by else [(("all",), table)]
    groups = [(" ".join(map(str, key)), group) for key, group in groups]
    repeated_names = sorted({name for name, _ in groups if [other for other, _ in groups].count(name) > 1})
    if repeated_names:
        raise ValueError(f"several groups are named {', '.join(map(repr, repeated_names))}: rename one of them")
    groups = dict(groups)
    if isinstance(n, Mapping) and not n.keys() <= groups.keys():
        unknown = ", ".join(map(repr, n.keys() - groups.keys()))
        raise ValueError(f"n names {unknown}; the groups are {', '.join(map(repr, groups))}")
    tried, rows = _sizes(sizes), {}
    for group_name, group in groups.items():
        known = n.get(group_name) if isinstance(n, Mapping) else n
        for name in columns:
            own = whole[name].index.isin(group.index)
            if own.any():
                printed = replace(whole[name], units=whole[name].units[own], index=whole[name].index[own])
                rows[group_name, name] = _audited(printed, tried, known)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["group", "column"])


def _audited(printed: Column, sizes: np.ndarray, n: int | None) -> dict[str, object]:
    counted, m = fits(printed, sizes), len(printed.units)
    cells = counted[["half_up", "half_even"]].max(axis=1)
    best = cells.max()
    named = [*map(str, counted.index[cells == best][:4])]
    more = ", ..." if (cells == best).sum() > len(named) else ""
    share = _share_printable(sizes, printed.whole)
    row = {
        "cells": m,
        "sizes": ("" if best == m else f"none; {best} fit ") + ", ".join(named) + more,
        "lucky_sizes": float((share ** len(np.unique(printed.units))).sum()),
    }
    if n is not None:
        row |= {"n": n, "misfits": ", ".join(misfits(printed, n)["printed"]) or "none"}
    return row
