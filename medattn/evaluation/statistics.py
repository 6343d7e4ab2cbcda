"""How sure is a number, and is a difference larger than chance? Over images, over seeds, and over both.

A recorded result is a table of right and wrong: seeds x images. Both are samples: another seed gives another network,
another hospital other images. Radiology knows the design as multi-reader multi-case (MRMC), with seeds for readers.

Sources: Wilson 1927 (a share); McNemar 1947, exact form (one run against another: of the images that exactly one gets
right, each is a coin toss where neither is better); Obuchowski and Rockette 1995, Hillis 2007 (seeds x images: crossed
random effects, with Hillis' degrees of freedom; here never surer than over images alone); Owen 2007 (bootstrap of
both); Holm 1979 (many comparisons).
Paper: global spatial attention, section 4.6, takes a t-test over the 30 chosen epochs of one run a method:
`t_test_as_printed`. Those epochs are one network a few steps apart, not 30 independent measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
COMPARISON = [
    *("method", "seeds", "accuracy", "low", "high", "difference", "difference_low", "difference_high", "p", "holm")
]
PLACES = dict.fromkeys(COMPARISON[2:8], 1) | dict.fromkeys(COMPARISON[8:], 3)  # to print: comparison(...).round(PLACES)


@dataclass(frozen=True)
class Mean:
    """`mean` with its 95 % interval from `low` to `high`; `deviation` between the `n` seeds, nan for one."""

    mean: float
    deviation: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Paired:
    """`difference` is the mean of second minus first, `low` and `high` its 95 % interval, over `n` pairs of seeds."""

    difference: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True)
class Smallest:
    """How many images more make a difference significant at 5 %, on the same `n` images a method.

    `paired`: at the very least, when no image is lost. `unpaired`: when only the totals are known.
    `likely`: what two methods must truly differ by for totals to show it in 80 of 100 experiments, by the z-test; by
    Fisher's exact test, as for `unpaired`, in 76 to 80.
    None where the images that are left to win do not suffice.
    """

    n: int
    paired: int | None
    unpaired: int | None
    likely: int | None


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Give the 95 % interval of a share, for `n_right` of `n` independent images."""
    if not 0 <= n_right <= n or n < 1 or n_right != int(n_right) or n != int(n):
        raise ValueError(f"n_right={n_right} and n={n} must be whole numbers of images, 0 to n, and n 1 or more")
    interval = stats.binomtest(int(n_right), int(n)).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy(right: np.ndarray) -> Mean:
    """Give a method's accuracy with an interval for new seeds and new images, from (seeds, images) bool.

    One seed: Wilson's interval, which is about new images for this one network only. So it is where all seeds and
    images agree, from which no spread can be read.
    """
    right = _seeds_by_images("right", right)
    n_seeds, n_images = right.shape
    mean, deviation = float(right.mean()), float(right.mean(1).std(ddof=1)) if n_seeds > 1 else float("nan")
    if n_seeds == 1 or _alike(right.astype(float)):
        return Mean(mean, deviation, *wilson(int(right[0].sum()), n_images), n_seeds)
    reach, _ = _reach_and_p(right.astype(float))
    return Mean(mean, deviation, max(mean - reach, 0.0), min(mean + reach, 1.0), n_seeds)


def compare(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two methods on the same images and seeds, (seeds, images) bool each, for new seeds and new images.

    One seed: Student's interval over the images and the exact p of McNemar, which are about this pair of networks only.
    The exact test is the stricter one: of few images that exactly one gets right, it may not see what the interval does
    (5 won and none lost: p = 0.06). Several seeds: the less sure of two tests, over new seeds and images, and over new
    images alone, since the first takes seeds that agree by accident for certainty. Under no difference at most 5 % of
    the intervals should miss; in simulations (156 and 400 images) 1 to 9 % did of 2 seeds, 2 to 7 % of 3, 2 to 6 % of
    5, the more the more seeds differ. Tails are heavier: of 3 seeds, p is below 0.00625 in up to 2 %.
    """
    first, second = _seeds_by_images("first", first), _seeds_by_images("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first {first.shape} and second {second.shape} must be the same seeds and images")
    pair = contrast(second.astype(float) - first)
    return replace(pair, p=exact_mcnemar(first[0], second[0])[2]) if pair.n == 1 else pair


def contrast(values: np.ndarray) -> Paired:
    """Ask whether a quantity with one value a seed and image, (seeds, images), is 0 in the mean of new ones of both.

    The quantity may be a difference of scores, or of differences (an interaction). One seed: Student's interval over
    its images, which is about this one network only. Images whose value is nan for any seed are left out. Values that
    are all the same show no spread: without one, interval and p are nan (p is 1 where all are 0).
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[0] < 1:
        raise ValueError(f"values {values.shape} must be (seeds, images)")
    values = values[:, np.isfinite(values).all(0)]
    n_seeds, n_images = values.shape
    if n_images < 2:
        raise ValueError(f"{n_images} images have a value for every seed; it takes 2 or more")
    if _alike(values):
        return _without_spread(float(values[0, 0]), n_seeds)
    mean, (reach, p) = float(values.mean()), _reach_and_p(values)
    return Paired(mean, mean - reach, mean + reach, p, n_seeds)


def comparison(methods: Mapping[str, Mapping[int, np.ndarray]], reference: str) -> pd.DataFrame:
    """Compare every method with `reference`: a row a method, in % and percentage points, with 95 % intervals.

    `methods` gives, by name and seed, which test images were right, (N,) bool. A comparison takes the seeds that both
    have. Columns: method, seeds, accuracy, low, high, difference, difference_low, difference_high, p, holm (p corrected
    for all comparisons of the table).
    """
    if reference not in methods:
        raise ValueError(f"reference={reference!r} is not among the methods {', '.join(methods)}")
    for name, by_seed in methods.items():
        if not isinstance(by_seed, Mapping):
            raise ValueError(f"{name!r} is {type(by_seed).__name__}: give its right answers by seed, {{0: right, ...}}")
        lengths = {seed: len(right) for seed, right in by_seed.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the seeds of {name!r} have different numbers of images: {lengths}")
    rows = []
    for name, by_seed in methods.items():
        own = accuracy(np.stack(list(by_seed.values())))
        row = {"method": name, "seeds": own.n, "accuracy": own.mean, "low": own.low, "high": own.high}
        shared = sorted(set(by_seed) & set(methods[reference]))
        if name != reference and shared:
            pair = compare(*(np.stack([methods[which][seed] for seed in shared]) for which in (reference, name)))
            row |= {"difference": pair.difference, "difference_low": pair.low, "difference_high": pair.high}
            row["p"] = pair.p
        rows.append(row)
    table = pd.DataFrame(rows, columns=COMPARISON)
    table[COMPARISON[2:8]] = 100 * table[COMPARISON[2:8]].astype(float)
    compared = table["p"].notna()
    if compared.any():
        table.loc[compared, "holm"] = holm(table.loc[compared, "p"])
    return table.astype({"p": float, "holm": float})


def hierarchical_bootstrap(first: np.ndarray, second: np.ndarray, n: int = 2000, seed: int = 0) -> Paired:
    """Compare as `compare` does, by drawing seeds and images anew, both with replacement, `n` times.

    It assumes nothing about distributions, and needs many seeds: under no difference and with 3 seeds its 95 %
    intervals miss in 0.3 to 18 % of simulations, depending on how much seeds differ. Hence `compare` is what the tables
    use.
    """
    first, second = _seeds_by_images("first", first), _seeds_by_images("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first {first.shape} and second {second.shape} must be the same seeds and images")
    difference = second.astype(float) - first
    n_seeds, n_images = difference.shape
    if _alike(difference):
        return _without_spread(float(difference[0, 0]), n_seeds)
    draw = np.random.default_rng(seed)
    seeds = draw.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n) / n_seeds  # (n, seeds): weights
    images = draw.multinomial(n_images, np.full(n_images, 1 / n_images), n) / n_images
    means = ((seeds @ difference) * images).sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = min(1.0, 2 * (1 + float(min((means <= 0).sum(), (means >= 0).sum()))) / (n + 1))  # none of n draws is not never
    return Paired(float(difference.mean()), float(low), float(high), p, n_seeds)


def mean_over_seeds(values: np.ndarray) -> Mean:
    """Give the mean of one score a seed, (n,), with Student's interval; nan to nan where nothing scatters."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values {values.shape} must be (n,), a score a seed")
    if _alike(values):
        deviation = 0.0 if len(values) > 1 else float("nan")
        return Mean(float(values[0]), deviation, float("nan"), float("nan"), len(values))
    deviation = float(values.std(ddof=1))
    reach = _t(len(values) - 1) * deviation / len(values) ** 0.5
    return Mean(
        float(values.mean()), deviation, float(values.mean() - reach), float(values.mean() + reach), len(values)
    )


def bootstrap_over_seeds(values: np.ndarray, seed: int = 0) -> Mean:
    """Give the mean of one score a seed, (n,), n >= 3, with scipy's BCa bootstrap interval.

    Of fewer than ten seeds it is too narrow: 3 values have 10 different samples. `mean_over_seeds` is the one to use.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 3:
        raise ValueError(f"values {values.shape} must be (n,), a score a seed, n >= 3")
    interval = stats.bootstrap((values,), np.mean, confidence_level=LEVEL, rng=seed).confidence_interval
    return Mean(float(values.mean()), float(values.std(ddof=1)), float(interval.low), float(interval.high), len(values))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Correct the p-values of one table, (n,), so that the chance of any false alarm in it stays below 5 %.

    As far as the p-values themselves are right: see `compare` for those of few seeds.
    """
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p_values must be (n,) numbers from 0 to 1, none missing; given: {p_values}")
    return multipletests(p_values, method="holm")[1]


def smallest_difference(n: int, share: float) -> Smallest:
    """Say what a table of `n` test images can show at all, beside a method that gets a `share` (0..1) of them right."""
    if n < 6 or not 0 < share < 1:
        raise ValueError(f"n={n} must be 6 or more, and share={share} above 0 and below 1")
    from statsmodels.stats.power import NormalIndPower  # takes a second to import

    right = round(share * n)
    left = n - right
    paired = next(k for k in range(1, n + 1) if stats.binomtest(0, k).pvalue < 0.05)
    unpaired = next(
        (k for k in range(1, left + 1) if stats.fisher_exact([[right, left], [right + k, left - k]])[1] < 0.05),
        None,
    )
    arc = 2 * np.arcsin(share**0.5) + NormalIndPower().solve_power(nobs1=n, alpha=0.05, power=0.8)  # Cohen's h
    likely = int(np.ceil(n * np.sin(arc / 2) ** 2 - right)) if arc < np.pi else None
    return Smallest(n, paired if paired <= left else None, unpaired, likely)


def exact_mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> tuple[int, int, float]:
    """Compare two methods on the same images, (N,) bool each: (only first right, only second right, exact p)."""
    first, second = np.asarray(first_right), np.asarray(second_right)
    if first.shape != second.shape or first.ndim != 1 or not first.dtype == second.dtype == bool:
        given = f"first_right {first.shape} {first.dtype} and second_right {second.shape} {second.dtype}"
        raise ValueError(f"{given} must both be (N,) of bool: which images each got right, image by image")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    return only_first, only_second, float(stats.binomtest(only_second, n).pvalue) if n else 1.0


def paired_over_seeds(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare two methods' scores of the same seeds, (n,) each, n >= 2; interval and p are nan of equal differences."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"first {first.shape} and second {second.shape} must both be (n,), seed by seed, n >= 2")
    difference = second - first
    if _alike(difference):
        return _without_spread(float(difference[0]), len(first))
    result = stats.ttest_rel(second, first)
    low, high = result.confidence_interval(0.95)
    return Paired(float(difference.mean()), float(low), float(high), float(result.pvalue), len(first))


def _alike(values: np.ndarray) -> bool:
    # 137/156 - 134/156 and 136/156 - 133/156 differ in their last bit
    return np.ptp(values) <= 1e-12 * max(1.0, np.abs(values).max())


def _without_spread(difference: float, n: int) -> Paired:
    # how sure it is, cannot be said from values that do not scatter
    none = Paired(0.0, 0.0, 0.0, 1.0, n)
    return none if abs(difference) <= 1e-12 else Paired(difference, np.nan, np.nan, np.nan, n)


def t_test_as_printed(first: np.ndarray, second: np.ndarray) -> float:
    """Give the p-value of a t-test between two sets of epochs of one run each, as the paper computed it."""
    return float(stats.ttest_ind(np.asarray(second, dtype=float), np.asarray(first, dtype=float)).pvalue)


def _seeds_by_images(name: str, right: np.ndarray) -> np.ndarray:
    right = np.asarray(right)
    if right.ndim != 2 or right.dtype != bool or right.shape[0] < 1 or right.shape[1] < 2:
        raise ValueError(
            f"{name} must be (seeds, images) of bool, 2 images or more; given: {right.shape} {right.dtype}"
        )
    return right


def _reach_and_p(values: np.ndarray) -> tuple[float, float]:
    """Give half the width of the 95 % interval of the mean of (seeds, images), not all alike, and the p of 0."""
    mean, spreads = abs(float(values.mean())), _spreads(values)
    reach = max(_t(freedom) * error for error, freedom in spreads)
    return reach, float(max(2 * stats.t.sf(mean / error, freedom) for error, freedom in spreads))


def _spreads(values: np.ndarray) -> list[tuple[float, float]]:
    """Give standard errors of the mean of (seeds, images), with their degrees of freedom, each above 0.

    Over new images, with these very seeds; and, of several, over new images and seeds. The variance of the second is
    (MS_seed + max(MS_image - MS_both, 0)) / (S N), of Obuchowski and Rockette, its freedom Hillis'.
    """
    n_seeds, n_images = values.shape
    by_seed, by_image = values.mean(1) - values.mean(), values.mean(0) - values.mean()
    ms_image = n_seeds * (by_image**2).sum() / (n_images - 1)
    if n_seeds == 1:
        found, ms_both = [(ms_image, n_images - 1)], 0.0
    else:
        both = values - values.mean() - by_seed[:, None] - by_image
        ms_both = (both**2).sum() / ((n_seeds - 1) * (n_images - 1))
        ms_seed = n_images * (by_seed**2).sum() / (n_seeds - 1)
        total = ms_seed + max(ms_image - ms_both, 0.0)
        freedom = total**2 / (ms_seed**2 / (n_seeds - 1)) if ms_seed else np.inf
        tied = total <= 1e-9 * ms_both  # equal means of all seeds, by accident, are no certainty
        found = [(ms_image, n_images - 1), (ms_both, np.inf) if tied else (total, freedom)]
    found = [(square, freedom) for square, freedom in found if square > 1e-9 * ms_both]
    return [((square / values.size) ** 0.5, float(freedom)) for square, freedom in found]


def _t(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
