"""Is a difference larger than chance? Paired comparisons of two methods, over images and over seeds.

Source: McNemar 1947, exact form: of the images that exactly one method classifies correctly, each is a coin toss where
neither is better. Over seeds: Student's paired t-test, whose unit is a run, as it should be.
Paper: global spatial attention, section 4.6, takes a t-test over the 30 chosen epochs of one run a method:
`t_test_as_printed`. Those epochs are one network a few steps apart, not 30 independent measurements.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Paired:
    """`difference` is the mean of second minus first, `low` and `high` its 95 % interval, over `n` pairs."""

    difference: float
    low: float
    high: float
    p: float
    n: int


def exact_mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> tuple[int, int, float]:
    """Compare two methods on the same images, (N,) bool each: (only first right, only second right, exact p)."""
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"first_right {first.shape} and second_right {second.shape} must both be (N,), image by image")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    return only_first, only_second, float(stats.binomtest(only_second, n).pvalue) if n else 1.0


def paired_over_seeds(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two methods' scores of the same seeds, (n,) each, n >= 2."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"first {first.shape} and second {second.shape} must both be (n,), seed by seed, n >= 2")
    difference = second - first
    if np.ptp(difference) == 0:  # no spread to test with
        value = float(difference[0])
        return Paired(value, value, value, 1.0 if value == 0 else 0.0, len(first))
    result = stats.ttest_rel(second, first)
    low, high = result.confidence_interval(0.95)
    return Paired(float(difference.mean()), float(low), float(high), float(result.pvalue), len(first))


def t_test_as_printed(first: np.ndarray, second: np.ndarray) -> float:
    """Give the p-value of a t-test between two sets of epochs of one run each, as the paper computed it."""
    return float(stats.ttest_ind(np.asarray(second, dtype=float), np.asarray(first, dtype=float)).pvalue)
