"""Scores, against MedMNIST's evaluator and counts made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medmnist.evaluator import getACC, getAUC

from medattn.evaluation import score


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(0, 2**16))
def test_accuracy_and_auc_are_medmnists(n_classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(60) % n_classes)
    probabilities = rng.dirichlet(np.ones(n_classes), 60)
    task = "binary-class" if n_classes == 2 else "multi-class"
    ours = score(labels, probabilities)
    assert ours.accuracy == pytest.approx(getACC(labels[:, None], probabilities, task), abs=1e-12)
    assert ours.auc == pytest.approx(getAUC(labels[:, None], probabilities, task), abs=1e-12)


def test_counts_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.eye(3)[[0, 0, 1, 1, 1, 0]]
    ours = score(labels, probabilities)
    assert ours.n_correct == 4
    assert ours.recall == (2 / 3, 1.0, 0.0)
    assert ours.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    f1 = np.array([4 / 6, 4 / 5, 0])  # 2 tp / (2 tp + fp + fn)
    assert ours.macro_f1 == pytest.approx(f1.mean())
    assert ours.weighted_f1 == pytest.approx((f1 * [3, 2, 1]).sum() / 6)


def test_class_without_images_has_no_recall():
    ours = score(
        np.array([0, 1, 0, 1]),
        np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]),
    )
    assert np.isnan(ours.recall[2])
    assert ours.auc == 1.0
    assert np.isnan(score(np.array([0, 0]), np.array([[0.7, 0.3], [0.6, 0.4]])).auc)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[1.0, 0.0]], r"labels \(2,\) and probabilities \(1, 2\)"),
        ([0, 2], [[1.0, 0.0], [0.0, 1.0]], "labels are 0 to 2; K=2 allows 0..1"),
        ([0, 1], [[np.nan, 0.0], [0.0, 1.0]], "not finite"),
        (
            [0, 1],
            [[5.0, 4.0], [-5.0, -4.0]],
            r"-5 or more and sum to -9\.\.9 per image; .* softmax.1. to logits",
        ),
        ([0, 1], [[0.7, 0.2], [0.5, 0.5]], r"sum to 0\.9\.\.1 per image"),
        ([], np.zeros((0, 2)), r"must be \(N,\) and \(N, K\)"),
    ],
)
def test_bad_predictions_are_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(np.array(labels), np.array(probabilities))
