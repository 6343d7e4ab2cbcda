"""Audit a printed F1 beside its accuracy, by exact fractions.

Source: the definition of F1. Paper: notebook 16 audits the tables of PPCR.
"""

from fractions import Fraction

import pandas as pd

from medattn.papers.audit import Cells, Column, column, images, roundings

AVERAGES = ("weighted", "macro", "first", "second")  # F1 over two classes, or of one of them


def constant_rows(accuracy: Cells, f1: Cells, n: int, n_classes: int) -> pd.DataFrame:
    """Return the rows whose F1 is that of a constant predictor with their accuracy k of n.

    That F1 depends on k / n and `n_classes` alone, so class counts need not be known. If a row is
    constant, its k is the count of the class it predicts. `average` is the F1 that fits.
    """
    printed, right = _same_rows(f1, accuracy, n)
    positions, rows = [], []
    for position, (k, units) in enumerate(zip(right, printed.units, strict=True)):
        weighted, macro = Fraction(2 * k * k, n * (n + k)), Fraction(2 * k, (n + k) * n_classes)
        for average, share in (("weighted", weighted), ("macro", macro)):
            if units in _print(share, printed.whole):
                positions.append(position)
                rows.append((k, printed.text(units), average))
    return pd.DataFrame(rows, columns=["k", "f1", "average"], index=printed.index[positions])


def _same_rows(f1: Cells, accuracy: Cells, n: int) -> tuple[Column, list[int]]:
    printed, right = column(f1), images(accuracy, n).tolist()
    if (n_f1 := len(printed.units)) != len(right):
        raise ValueError(f"accuracy has {len(right)} cells and f1 {n_f1}: pass the same rows")
    return printed, right


def _print(share: Fraction, whole: int) -> tuple[int, int]:
    return roundings(share.numerator, share.denominator, whole)


def confusions(k: int, counts: tuple[int, int]) -> pd.DataFrame:
    """List all confusion matrices of two classes with k images right, one per row.

    `counts` are the images of the first and the second class, `right_0` and `right_1` those that
    are right. F1 is an exact fraction: for each class, and as their macro and weighted means.
    """
    first, second = counts
    if min(counts) < 1 or not 0 <= k <= first + second:
        raise ValueError(f"k={k} of counts={counts}: each class must have 1 or more images")
    rows = []
    for right_0 in range(max(0, k - second), min(first, k) + 1):
        right_1 = k - right_0
        # F1 of a class = 2 TP / (images + predictions)
        f1_first = Fraction(2 * right_0, first + right_0 + second - right_1)
        f1_second = Fraction(2 * right_1, second + right_1 + first - right_0)
        weighted = (first * f1_first + second * f1_second) / (first + second)
        rows.append((right_0, right_1, weighted, (f1_first + f1_second) / 2, f1_first, f1_second))
    return pd.DataFrame(rows, columns=["right_0", "right_1", *AVERAGES])


def two_classes(
    accuracy: Cells, f1: Cells, counts: tuple[int, int], average: str = "weighted"
) -> pd.DataFrame:
    """Find the confusion matrices behind printed accuracies and F1 of two classes.

    `counts` are the test images of each class. Columns: `k` images right, the printed `f1`, the
    `lowest` and `highest` F1 that k allows, and the number of `matrices` that print this F1. If
    there is one, `right_0` and `right_1` are the images right in each class.
    """
    if average not in AVERAGES:
        raise ValueError(f"average={average!r} is not one of {', '.join(AVERAGES)}")
    printed, right = _same_rows(f1, accuracy, sum(counts))
    rows = []
    for k, units in zip(right, printed.units, strict=True):
        possible = confusions(k, counts)
        prints = [_print(share, printed.whole) for share in possible[average]]
        fitting = possible.loc[[units in pair for pair in prints], ["right_0", "right_1"]]
        by_class = fitting.iloc[0].tolist() if len(fitting) == 1 else [pd.NA, pd.NA]
        lowest, highest = (printed.text(end(prints)[0]) for end in (min, max))
        rows.append([k, printed.text(units), lowest, highest, len(fitting), *by_class])
    names = ["k", "f1", "lowest", "highest", "matrices", "right_0", "right_1"]
    table = pd.DataFrame(rows, columns=names, index=printed.index)
    return table.astype({"right_0": "Int64", "right_1": "Int64"})
