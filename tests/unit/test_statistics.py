"""Paired comparisons: against tables, by simulation, and what the paper's t-test does to two runs of one method."""

import numpy as np
import pytest
from scipy import stats

from medattn.evaluation import exact_mcnemar, paired_over_seeds, t_test_as_printed


def test_mcnemar_counts_only_where_exactly_one_is_right():
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
    assert (result.low, result.high) == pytest.approx((difference.mean() - half, difference.mean() + half))
    assert result.p == pytest.approx(stats.ttest_rel(second, first).pvalue)
    assert paired_over_seeds([0.5, 0.6], [0.5, 0.6]).p == 1.0


def test_of_no_difference_five_in_a_hundred_intervals_miss():
    generator = np.random.default_rng(0)
    results = [paired_over_seeds(*generator.normal(0.9, 0.02, (2, 5))) for _ in range(2000)]
    missed = np.mean([not r.low <= 0 <= r.high for r in results])
    assert missed == pytest.approx(0.05, abs=0.015)


def test_the_printed_t_test_takes_epochs_for_runs():
    """Two runs of one method, each of 30 epochs close to its own end: "significant" far more often than 5 %."""
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
        (lambda: paired_over_seeds([0.5], [0.6]), "n >= 2"),
        (lambda: paired_over_seeds([0.5, 0.6], [0.6]), "seed by seed"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
