"""Intervals and comparisons: published examples, simulations, and the paper's t-test."""

import numpy as np
import pytest
from scipy import stats

from medattn.evaluation import (
    accuracy,
    compare,
    comparison,
    contrast,
    exact_mcnemar,
    holm,
    mean_over_seeds,
    paired_over_seeds,
    smallest_difference,
    t_test_as_printed,
    wilson,
)
from medattn.evaluation.statistics import LEVEL, Mean, Paired


def hierarchical_bootstrap(first, second, n=2000, seed=0):
    """Compare as `compare` does, by drawing seeds and images with replacement `n` times.

    It assumes nothing about distributions (Owen 2007), and needs many seeds.
    """
    difference = second.astype(float) - first
    n_seeds, n_images = difference.shape
    if np.ptp(difference) == 0:
        return Paired(difference[0, 0], np.nan, np.nan, np.nan, n_seeds)
    draw = np.random.default_rng(seed)
    seeds = draw.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n) / n_seeds  # weights
    images = draw.multinomial(n_images, np.full(n_images, 1 / n_images), n) / n_images
    means = ((seeds @ difference) * images).sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    extreme = 1 + min((means <= 0).sum(), (means >= 0).sum())  # none of n draws is not never
    return Paired(difference.mean(), low, high, min(1.0, 2 * extreme / (n + 1)), n_seeds)


def bootstrap_over_seeds(values):
    """Return the mean of one score per seed, (n,), with scipy's BCa bootstrap interval."""
    result = stats.bootstrap((values,), np.mean, confidence_level=LEVEL, rng=0)
    low, high = result.confidence_interval
    return Mean(values.mean(), values.std(ddof=1), low, high, len(values))


def two_equal_methods(generator, n_seeds, n_images, between_seeds, of_images=0.3):
    """Return (seeds, images) bool of two equally good methods on images of unequal difficulty."""
    difficulty = generator.normal(1, 1, n_images)
    return [
        difficulty
        + generator.normal(0, of_images, n_images)  # what this method finds easy
        + generator.normal(0, between_seeds, (n_seeds, 1))
        + generator.normal(0, 1, (n_seeds, n_images))
        > 0
        for _ in range(2)
    ]


def test_wilson_gives_the_published_example():
    """Newcombe 1998, Table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, method 3."""
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_holm_gives_the_worked_example():
    """By hand: the smallest p times 4, the next times 3, ..., never below one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_students_interval_of_a_mean():
    """Student 1908, sleep of ten patients under two drugs: 1.58 hours, 95 % 0.70 to 2.46."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    result = mean_over_seeds(np.subtract(second, first))
    assert (result.mean, result.low, result.high) == pytest.approx((1.58, 0.7001, 2.4599), abs=1e-4)
    assert paired_over_seeds(first, second).p == pytest.approx(0.002833, abs=1e-6)
    assert np.isnan(mean_over_seeds([0.8]).low)


def test_one_seed_is_about_images_only():
    right = np.arange(156)[None] < 135
    result = accuracy(right)
    assert (result.low, result.high) == wilson(135, 156)
    other = np.arange(156)[None] < 129
    paired = compare(other, right)
    assert paired.p == pytest.approx(2 * 0.5**6)
    assert paired.difference == pytest.approx(6 / 156)


@pytest.mark.parametrize(
    ("n_seeds", "n_images", "between"),
    [(3, 156, 0.0), (3, 156, 0.2), (5, 400, 0.2), (3, 1000, 0.3)],
)
def test_comparisons_of_equal_methods_miss_in_5_percent(n_seeds, n_images, between):
    generator = np.random.default_rng(n_seeds + n_images)
    results = [
        compare(*two_equal_methods(generator, n_seeds, n_images, between)) for _ in range(800)
    ]
    missed = np.mean([not r.low <= 0 <= r.high for r in results])
    assert 0.01 <= missed <= 0.075
    p = np.array([r.p for r in results])
    assert (p < 0.05).mean() == pytest.approx(missed, abs=1e-9)
    assert (p < 0.05 / 8).mean() <= 0.02  # what Holm's correction of eight comparisons rests on


def test_accidental_agreement_is_no_certainty():
    """Each of three seeds wins 8 images and loses 4: no difference, alone or all together."""
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        first, second = np.ones((3, 156), bool), np.ones((3, 156), bool)
        for row in range(3):
            chosen = generator.permutation(156)[:12]
            first[row, chosen[:8]], second[row, chosen[8:]] = False, False
        p_values.append(compare(first, second).p)
    assert min(p_values) > 0.03  # the sign test of all, 24 against 12: 0.065


def test_less_certain_of_both_tests_counts():
    generator = np.random.default_rng(1)
    for between in (0.0, 0.5):  # seeds that agree, and that do not
        first, second = two_equal_methods(generator, 3, 300, between)
        by_image = (second.astype(float) - first).mean(0)
        over_images = stats.ttest_1samp(by_image, 0)
        pair = compare(first, second)
        assert pair.p >= over_images.pvalue - 1e-12
        low, high = over_images.confidence_interval(0.95)
        assert pair.low <= low + 1e-12 and pair.high >= high - 1e-12


@pytest.mark.parametrize(("gain", "n_seeds", "n_images"), [(0.0, 3, 156), (0.1, 5, 300)])
def test_interactions_of_added_gains_miss_in_5_percent(gain, n_seeds, n_images):
    """Both - second - (first - none), of four arms by seed and image, with independent gains."""
    generator = np.random.default_rng(n_seeds)
    results = []
    for _ in range(800):
        shared = generator.normal(0, 0.3, (4, 1, n_images)) + generator.normal(
            0, 0.05, (4, n_seeds, 1)
        )
        chance = 0.6 + gain * np.array([0, 1, 1, 2])[:, None, None] + 0.3 * shared
        none, first, second, both = (generator.random((4, n_seeds, n_images)) < chance).astype(
            float
        )
        results.append(contrast((both - second) - (first - none)))
    missed = np.mean([not r.low <= 0 <= r.high for r in results])
    assert 0.01 <= missed <= 0.075
    assert np.mean([r.p < 0.05 for r in results]) == pytest.approx(missed, abs=1e-9)


def test_bootstrap_of_few_seeds_is_too_narrow():
    generator = np.random.default_rng(0)
    missed = {"compare": [], "bootstrap": []}
    for _ in range(300):
        pair = two_equal_methods(generator, 3, 1000, 0.3)
        for name, result in (
            ("compare", compare(*pair)),
            ("bootstrap", hierarchical_bootstrap(*pair, n=400)),
        ):
            missed[name].append(not result.low <= 0 <= result.high)
    assert np.mean(missed["compare"]) < 0.09 < 0.13 < np.mean(missed["bootstrap"])
    values = generator.normal(0.8, 0.02, 3)
    bootstrap, student = bootstrap_over_seeds(values), mean_over_seeds(values)
    assert student.low < bootstrap.low < bootstrap.mean < bootstrap.high < student.high


def test_bootstrap_of_many_seeds_agrees():
    first, second = two_equal_methods(np.random.default_rng(2), 40, 300, 0.2)
    by_formula, by_drawing = compare(first, second), hierarchical_bootstrap(first, second)
    assert by_drawing.difference == pytest.approx(by_formula.difference)
    assert (by_drawing.low, by_drawing.high) == pytest.approx(
        (by_formula.low, by_formula.high), abs=0.012
    )


def test_method_does_not_differ_from_itself():
    right = np.random.default_rng(0).random((3, 50)) < 0.8
    result = compare(right, right)
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_table_compares_methods_on_shared_seeds():
    generator = np.random.default_rng(0)
    a, b, c = (
        {seed: generator.random(100) < share for seed in seeds}
        for share, seeds in ((0.8, (0, 1, 2)), (0.7, (0, 2)), (0.8, (5,)))
    )
    table = comparison({"a": a, "b": b, "c": c}, "a").set_index("method")
    assert table["seeds"].tolist() == [3, 2, 1]
    assert table.loc["a", ["difference", "p", "holm"]].isna().all()
    assert table.loc["c", ["difference", "p", "holm"]].isna().all()  # no seed in common
    pair = compare(np.stack([a[0], a[2]]), np.stack([b[0], b[2]]))
    assert table.loc["b", "difference"] == pytest.approx(100 * pair.difference)
    assert table.loc["b", "p"] == table.loc["b", "holm"] == pytest.approx(pair.p)
    assert table.loc["b", "low"] == pytest.approx(100 * accuracy(np.stack(list(b.values()))).low)
    both = comparison({"a": a, "b": b, "d": b}, "a")
    assert both["holm"].iloc[1] == pytest.approx(min(1, 2 * pair.p))
    right = np.ones(5, dtype=bool)
    with pytest.raises(ValueError, match="'a' is ndarray: give its answers by seed"):
        comparison({"a": right}, "a")
    with pytest.raises(
        ValueError, match=r"seeds of 'a' have different numbers of images: \{0: 5, 1: 4\}"
    ):
        comparison({"a": {0: right, 1: right[:4]}}, "a")
    with pytest.raises(ValueError, match="reference='z' is not among the methods a, b"):
        comparison({"a": a, "b": b}, "z")


def test_smallest_difference_of_a_table():
    """By hand: 2 * 0.5^6 is the first sign test below 5 %; of the totals, all pairs are tried."""
    found = smallest_difference(156, 135 / 156)
    assert found.paired == 6
    for more in (found.unpaired - 1, found.unpaired):
        p = stats.fisher_exact([[135, 21], [135 + more, 21 - more]])[1]
        assert (p < 0.05) == (more == found.unpaired)
    assert found.likely > found.unpaired
    generator = np.random.default_rng(0)
    right = (
        generator.binomial(1000, 0.7, 2000),
        generator.binomial(1000, 0.7 + smallest_difference(1000, 0.7).likely / 1000, 2000),
    )
    shown = [
        stats.chi2_contingency([[a, 1000 - a], [b, 1000 - b]], correction=False)[1] < 0.05
        for a, b in zip(*right, strict=True)
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.03)


def test_mcnemar_counts_where_exactly_one_is_right():
    first = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    second = np.array([1, 0, 1, 1, 1, 1], dtype=bool)
    assert exact_mcnemar(first, second) == (1, 2, 1.0)
    only_first, only_second, p = exact_mcnemar(np.zeros(6, bool), np.ones(6, bool))
    assert (only_first, only_second) == (0, 6)
    assert p == pytest.approx(2 * 0.5**6)
    assert exact_mcnemar(first, first) == (0, 0, 1.0)


def test_over_seeds_it_is_students_paired_test():
    first, second = [0.91, 0.93, 0.90, 0.95], [0.94, 0.93, 0.95, 0.96]
    result = paired_over_seeds(first, second)
    difference = np.subtract(second, first)
    half = stats.t.ppf(0.975, 3) * difference.std(ddof=1) / 2
    assert result.difference == pytest.approx(difference.mean())
    assert (result.low, result.high) == pytest.approx(
        (difference.mean() - half, difference.mean() + half)
    )
    assert result.p == pytest.approx(stats.ttest_rel(second, first).pvalue)
    assert paired_over_seeds([0.5, 0.6], [0.5, 0.6]).p == 1.0


def test_intervals_over_seeds_miss_in_5_percent():
    generator = np.random.default_rng(0)
    results = [paired_over_seeds(*generator.normal(0.9, 0.02, (2, 5))) for _ in range(2000)]
    missed = np.mean([not r.low <= 0 <= r.high for r in results])
    assert missed == pytest.approx(0.05, abs=0.015)


def test_printed_t_test_takes_epochs_for_runs():
    """Two runs of one method, 30 epochs each near its end: "significant" far beyond 5 %."""
    generator = np.random.default_rng(0)
    false = []
    for _ in range(300):
        ends = generator.normal(0.8, 0.02, 2)  # of two seeds of one method
        epochs = [end + generator.normal(0, 0.01, 30) for end in ends]
        false.append(t_test_as_printed(*epochs) < 0.05)
    assert np.mean(false) > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact_mcnemar([True], [True, False]), "image by image"),
        (lambda: exact_mcnemar([0, 1, 2], [0, 2, 2]), "int64 must both be .N,. of bool"),
        (lambda: paired_over_seeds([0.5], [0.6]), "n >= 2"),
        (lambda: paired_over_seeds([0.5, 0.6], [0.6]), "must be .n,., n >= 2"),
        (lambda: wilson(7, 6), "n_right=7 and n=6 must be whole numbers, n_right in 0..n"),
        (lambda: wilson(0.8, 10), "n_right=0.8 and n=10 must be whole numbers"),
        (lambda: holm([0.1, 1.2]), "p_values must be"),
        (lambda: holm([0.1, np.nan]), "without nan"),
        (lambda: contrast(np.zeros(4)), r"values \(4,\) must be \(seeds, images\)"),
        (lambda: contrast(np.full((2, 3), np.nan)), "0 images have a value for every seed"),
        (lambda: accuracy(np.ones(5, bool)), r"right must be \(seeds, images\) of bool"),
        (lambda: accuracy(np.ones((2, 5))), "given: .2, 5. float64"),
        (lambda: compare(np.ones((2, 5), bool), np.ones((3, 5), bool)), "must have equal shapes"),
        (lambda: mean_over_seeds([]), "one score per seed"),
        (lambda: smallest_difference(156, 1.0), "share=1.0 above 0 and below 1"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_contrast_of_differences_equals_compare():
    first, second = two_equal_methods(np.random.default_rng(1), 3, 80, 0.3)
    pair, values = compare(first, second), second.astype(float) - first
    assert contrast(values) == pair
    scaled = contrast(2.5 * values)
    assert scaled.p == pytest.approx(pair.p) and scaled.low == pytest.approx(2.5 * pair.low)
    with_gap = np.column_stack([values, [np.nan, 1, 1]])
    assert contrast(with_gap) == pair  # an image without a value for every seed is left out
    one = contrast(values[:1])  # one network: Student's interval over its images
    expected = stats.ttest_1samp(values[0], 0)
    assert (one.n, one.p) == (1, pytest.approx(expected.pvalue))
    assert (one.low, one.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize("won", [0.5, 0.65, 0.8, 0.95])
def test_intervals_of_one_pair_miss_in_5_percent(won):
    """`won`: what the second wins of the images that exactly one gets right, 13 % of all."""
    generator, missed, truth = np.random.default_rng(0), 0, 0.13 * (2 * won - 1)
    for _ in range(2000):
        answers = generator.choice(3, size=156, p=[0.87, 0.13 * (1 - won), 0.13 * won])
        pair = compare((answers == 1)[None], (answers == 2)[None])
        missed += not pair.low <= truth <= pair.high
    assert 0.035 < missed / 2000 < 0.07


def test_differences_equal_up_to_rounding_have_no_spre():
    first = np.array([134, 133, 131]) / 156
    second = np.array([137, 136, 134]) / 156  # three images more, with each seed
    assert len(set(second - first)) > 1
    same = paired_over_seeds(first, second)
    assert (
        same.difference == pytest.approx(3 / 156) and np.isnan([same.low, same.high, same.p]).all()
    )
    assert np.isnan(contrast(np.array([[0.3, 0.4, 0.5]] * 2) - np.array([[0.2, 0.3, 0.4]] * 2)).p)


def test_without_spread_nothing_is_certain():
    right = np.ones((3, 100), bool)
    assert (accuracy(right).low, accuracy(right).high) == wilson(100, 100)
    assert accuracy(~right).high == wilson(0, 100)[1] > 0
    for pair in (
        compare(~right, right),
        contrast(np.ones((3, 20))),
        paired_over_seeds([0.5, 0.75], [0.625, 0.875]),
    ):
        assert pair.difference > 0 and np.isnan([pair.low, pair.high, pair.p]).all()
    assert compare(right, right).p == 1.0


def test_bootstrap_and_mean_without_spread():
    none, all_ = np.zeros((3, 20), bool), np.ones((3, 20), bool)
    found = hierarchical_bootstrap(none, all_)
    assert found.difference == 1 and np.isnan([found.low, found.high, found.p]).all()
    won = np.arange(20)[None].repeat(3, 0) < np.array(
        [[9], [10], [11]]
    )  # every draw of seeds and images is a gain
    assert hierarchical_bootstrap(none, won, n=200).p == pytest.approx(
        2 / 201
    )  # none of 200 draws is not never
    mean = mean_over_seeds(np.full(3, 0.5))
    assert (mean.mean, mean.deviation) == (0.5, 0.0) and np.isnan([mean.low, mean.high]).all()


def test_impossible_difference_is_none():
    assert smallest_difference(20, 0.9).paired is None  # two images are left to win
    assert smallest_difference(6, 0.99).unpaired is None


def test_seeds_of_equal_means_are_no_certainty():
    values = np.array([[1, 0, 0, -1], [0, 1, -1, 0], [-1, 0, 0, 1]], dtype=float)  # every mean is 0
    pair = contrast(values)
    assert (
        pair.difference == 0 and pair.low < -0.1 and pair.high > 0.1 and pair.p == pytest.approx(1)
    )
