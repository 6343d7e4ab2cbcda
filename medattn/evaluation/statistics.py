"""How certain is a number, and is a difference larger than chance? Over images, seeds, and both.

A result is a table of right and wrong answers: seeds x images. Both are samples: another seed gives
another network, and another hospital gives other images. Radiology calls this design multi-reader
multi-case (MRMC); here seeds take the place of readers.

Sources: Wilson 1927 (interval of a proportion). McNemar 1947, exact form (an image that exactly one
of two runs gets right is a coin toss if neither run is better). Obuchowski and Rockette 1995,
Hillis 2007 (seeds x images: crossed random effects with Hillis' degrees of freedom; here never more
certain than over images alone). Holm 1979 (many comparisons).
Paper: global spatial attention, section 4.6, uses a t-test over the 30 chosen epochs of one run per
method: `t_test_as_printed`. Those epochs are one network a few steps apart, not 30 measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.95
QUANTILE = (1 + LEVEL) / 2  # of Student's distribution, for a half-width
IN_PERCENT = ["accuracy", "low", "high", "difference", "difference_low", "difference_high"]
COMPARISON = ["method", "seeds", *IN_PERCENT, "p", "holm"]
DECIMALS = dict.fromkeys(IN_PERCENT, 1) | {"p": 3, "holm": 3}  # comparison(...).round(DECIMALS)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval; `deviation` is between the `n` seeds, nan for one seed."""

    mean: float
    deviation: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Paired:
    """The mean of second minus first over `n` pairs of seeds, with its 95 % interval."""

    difference: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True)
class Smallest:
    """How many more right images of `n` are significant at 5 %; None if too few are left."""

    n: int
    paired: int | None  # on the same images, if no image is lost
    unpaired: int | None  # if only the totals are known (Fisher's exact test)
    likely: int | None  # true difference that totals show in 80 % of experiments, by the z-test


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion, for `n_right` of `n` independent images."""
    if not 0 <= n_right <= n or n < 1 or n_right != int(n_right) or n != int(n):
        raise ValueError(
            f"n_right={n_right} and n={n} must be whole numbers, n_right in 0..n, n > 0"
        )
    interval = stats.binomtest(int(n_right), int(n)).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy(right: np.ndarray) -> Mean:
    """Return the accuracy of (seeds, images) bool with an interval for new seeds and images.

    With one seed it is Wilson's interval: for new images, and this one network only. Wilson's
    interval is also used if all seeds and images agree, because there is no spread to estimate.
    """
    right = _seeds_by_images("right", right)
    n_seeds, n_images = right.shape
    mean = float(right.mean())
    deviation = float(right.mean(1).std(ddof=1)) if n_seeds > 1 else float("nan")
    if n_seeds == 1 or _alike(right.astype(float)):
        return Mean(mean, deviation, *wilson(int(right[0].sum()), n_images), n_seeds)
    half_width, _ = _half_width_and_p(right.astype(float))
    return Mean(mean, deviation, max(mean - half_width, 0.0), min(mean + half_width, 1.0), n_seeds)


def compare(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two methods on the same seeds and images, (seeds, images) bool each.

    With one seed the result is about this pair of networks only: Student's interval over the
    images, and McNemar's exact p. The exact test is stricter if few images differ: with 5 won and
    none lost the interval excludes 0, but p is 0.06.

    With several seeds the result is about new seeds and images. Of two tests, over seeds and images
    and over images alone, the less certain one counts. The first alone would be overconfident if
    seeds agree by accident. If the methods do not differ, 5 % of the intervals should miss 0. In
    simulations with 156 and 400 images, 1 to 9 % missed with 2 seeds, 2 to 7 % with 3, and 2 to 6 %
    with 5. The rate grows with the spread of seeds. With 3 seeds, up to 2 % of p are below 0.00625.
    """
    first, second = _seeds_by_images("first", first), _seeds_by_images("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first {first.shape} and second {second.shape} must have equal shapes")
    pair = contrast(second.astype(float) - first)
    return replace(pair, p=exact_mcnemar(first[0], second[0])[2]) if pair.n == 1 else pair


def contrast(values: np.ndarray) -> Paired:
    """Test whether a quantity with one value per seed and image, (seeds, images), has the mean 0.

    The quantity may be a difference of scores, or a difference of differences (an interaction). The
    interval is for new seeds and images; with one seed it is Student's, for this one network only.
    Images with a nan for any seed are left out. If all values are equal there is no spread: the
    interval and p are nan, unless all are 0 (p is 1).
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[0] < 1:
        raise ValueError(f"values {values.shape} must be (seeds, images)")
    values = values[:, np.isfinite(values).all(0)]
    n_seeds, n_images = values.shape
    if n_images < 2:
        raise ValueError(f"{n_images} images have a value for every seed; at least 2 are needed")
    if _alike(values):
        return _without_spread(float(values[0, 0]), n_seeds)
    mean, (half_width, p) = float(values.mean()), _half_width_and_p(values)
    return Paired(mean, mean - half_width, mean + half_width, p, n_seeds)


def comparison(methods: Mapping[str, Mapping[int, np.ndarray]], reference: str) -> pd.DataFrame:
    """Compare every method with `reference`, one row per method, in % with 95 % intervals.

    `methods` maps name and seed to the right test images, (N,) bool. A difference is over the seeds
    that both methods have. Columns: method, seeds, accuracy, low, high, difference, difference_low,
    difference_high, p, and holm (p corrected for all comparisons of the table).
    """
    if reference not in methods:
        raise ValueError(f"reference={reference!r} is not among the methods {', '.join(methods)}")
    for name, by_seed in methods.items():
        if not isinstance(by_seed, Mapping):
            kind = type(by_seed).__name__
            raise ValueError(f"{name!r} is {kind}: give its answers by seed, {{0: right, ...}}")
        lengths = {seed: len(right) for seed, right in by_seed.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the seeds of {name!r} have different numbers of images: {lengths}")
    rows = []
    for name, by_seed in methods.items():
        mean = accuracy(np.stack(list(by_seed.values())))
        shared, paired = sorted(set(by_seed) & set(methods[reference])), [np.nan] * 4
        if name != reference and shared:
            both = (np.stack([m[seed] for seed in shared]) for m in (methods[reference], by_seed))
            pair = compare(*both)
            paired = [pair.difference, pair.low, pair.high, pair.p]
        rows.append([name, mean.n, mean.mean, mean.low, mean.high, *paired, np.nan])
    table = pd.DataFrame(rows, columns=COMPARISON)
    table[IN_PERCENT] = 100 * table[IN_PERCENT].astype(float)
    compared = table["p"].notna()
    if compared.any():
        table.loc[compared, "holm"] = holm(table.loc[compared, "p"])
    return table.astype({"p": float, "holm": float})


def mean_over_seeds(values: ArrayLike) -> Mean:
    """Return the mean of one score per seed, (n,), with Student's interval; nan without spread."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values {values.shape} must be (n,), one score per seed")
    n = len(values)
    if _alike(values):
        return Mean(float(values[0]), 0.0 if n > 1 else np.nan, np.nan, np.nan, n)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    half_width = float(stats.t.ppf(QUANTILE, n - 1)) * deviation / n**0.5
    return Mean(mean, deviation, mean - half_width, mean + half_width, n)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct the p-values of one table, (n,), for a chance below 5 % of any false alarm.

    This assumes that the p-values themselves are right; see `compare` for few seeds.
    """
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p_values must be (n,) numbers in 0..1 without nan; given: {p_values}")
    return multipletests(p_values, method="holm")[1]


def smallest_difference(n: int, share: float) -> Smallest:
    """Return what `n` test images can show, beside a method with a `share` (0..1) of them right."""
    if n < 6 or not 0 < share < 1:
        raise ValueError(f"n={n} must be 6 or more, and share={share} above 0 and below 1")
    from statsmodels.stats.power import NormalIndPower  # takes a second to import

    def by_totals(more: int) -> float:
        return stats.fisher_exact([[right, left], [right + more, left - more]])[1]

    right = round(share * n)
    left = n - right
    paired = next(k for k in range(1, n + 1) if stats.binomtest(0, k).pvalue < 0.05)
    unpaired = next((k for k in range(1, left + 1) if by_totals(k) < 0.05), None)
    effect = NormalIndPower().solve_power(nobs1=n, alpha=0.05, power=0.8)  # Cohen's h
    arc = 2 * np.arcsin(share**0.5) + effect
    likely = int(np.ceil(n * np.sin(arc / 2) ** 2 - right)) if arc < np.pi else None
    return Smallest(n, paired if paired <= left else None, unpaired, likely)


def exact_mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> tuple[int, int, float]:
    """Compare two methods on the same images, (N,) bool: (only first, only second right, p)."""
    first, second = np.asarray(first_right), np.asarray(second_right)
    if first.shape != second.shape or first.ndim != 1 or not first.dtype == second.dtype == bool:
        given = f"{first.shape} {first.dtype} and {second.shape} {second.dtype}"
        raise ValueError(f"{given} must both be (N,) of bool: the right answers image by image")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    return only_first, only_second, float(stats.binomtest(only_second, n).pvalue) if n else 1.0


def paired_over_seeds(first: ArrayLike, second: ArrayLike) -> Paired:
    """Compare two methods by scores of the same seeds, (n,) each, n >= 2 (Student's paired test).

    The interval and p are nan if all differences are equal.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"first {first.shape} and second {second.shape} must be (n,), n >= 2")
    difference = second - first
    if _alike(difference):
        return _without_spread(float(difference[0]), len(first))
    result = stats.ttest_rel(second, first)
    low, high = map(float, result.confidence_interval(LEVEL))
    return Paired(float(difference.mean()), low, high, float(result.pvalue), len(first))


def t_test_as_printed(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p-value of a t-test between epochs of one run each, as the paper computed it."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return float(stats.ttest_ind(second, first).pvalue)


def _alike(values: np.ndarray) -> bool:
    # 137/156 - 134/156 and 136/156 - 133/156 differ in their last bit
    return bool(np.ptp(values) <= 1e-12 * max(1.0, np.abs(values).max()))


def _without_spread(difference: float, n: int) -> Paired:
    if abs(difference) <= 1e-12:
        return Paired(0.0, 0.0, 0.0, 1.0, n)
    return Paired(difference, np.nan, np.nan, np.nan, n)


def _seeds_by_images(name: str, right: np.ndarray) -> np.ndarray:
    right = np.asarray(right)
    if right.ndim != 2 or right.dtype != bool or right.shape[0] < 1 or right.shape[1] < 2:
        rule = f"{name} must be (seeds, images) of bool with at least 2 images"
        raise ValueError(f"{rule}; given: {right.shape} {right.dtype}")
    return right


def _half_width_and_p(values: np.ndarray) -> tuple[float, float]:
    """Return half the 95 % interval of the mean of (seeds, images), and the p-value of mean 0."""
    mean, errors = abs(float(values.mean())), _standard_errors(values)
    half_width = max(stats.t.ppf(QUANTILE, freedom) * error for error, freedom in errors)
    p = max(2 * stats.t.sf(mean / error, freedom) for error, freedom in errors)
    return float(half_width), float(p)


def _standard_errors(values: np.ndarray) -> list[tuple[float, float]]:
    """Return the positive standard errors of the mean of (seeds, images), with degrees of freedom.

    The first is over new images with the same seeds. With several seeds, a second is over new
    images and seeds: (MS_seed + max(MS_image - MS_both, 0)) / (S N), after Obuchowski and Rockette,
    with Hillis' degrees of freedom.
    """
    n_seeds, n_images = values.shape
    by_seed, by_image = values.mean(1) - values.mean(), values.mean(0) - values.mean()
    ms_image = n_seeds * (by_image**2).sum() / (n_images - 1)
    squares, ms_both = [(ms_image, n_images - 1.0)], 0.0
    if n_seeds > 1:
        both = values - values.mean() - by_seed[:, None] - by_image
        ms_both = (both**2).sum() / ((n_seeds - 1) * (n_images - 1))
        ms_seed = n_images * (by_seed**2).sum() / (n_seeds - 1)
        total = ms_seed + max(ms_image - ms_both, 0.0)
        freedom = total**2 / (ms_seed**2 / (n_seeds - 1)) if ms_seed else np.inf
        tied = total <= 1e-9 * ms_both  # all seeds have equal means by accident: no certainty
        squares.append((ms_both, np.inf) if tied else (total, freedom))
    squares = [(square, freedom) for square, freedom in squares if square > 1e-9 * ms_both]
    return [((square / values.size) ** 0.5, float(freedom)) for square, freedom in squares]
