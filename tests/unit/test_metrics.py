"""Scores, against MedMNIST's evaluator and counts made by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medmnist.evaluator import getACC, getAUC
from sklearn.metrics import roc_auc_score

from medattn.evaluation import chance_of_pointing, pixel_auc, pointing_game, score


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


def test_a_class_without_images_has_no_recall_and_no_part_in_auc():
    ours = score(np.array([0, 1, 0, 1]), np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]))
    assert np.isnan(ours.recall[2])
    assert ours.auc == 1.0
    assert np.isnan(score(np.array([0, 0]), np.array([[0.7, 0.3], [0.6, 0.4]])).auc)


@pytest.mark.parametrize(
    ("labels", "probabilities", "said"),
    [
        ([0, 1], [[1.0, 0.0]], r"labels \(2,\) and probabilities \(1, 2\)"),
        ([0, 2], [[1.0, 0.0], [0.0, 1.0]], "labels run from 0 to 2; with K=2 columns, 0..1"),
        ([0, 1], [[np.nan, 0.0], [0.0, 1.0]], "not finite"),
        ([0, 1], [[5.0, 4.0], [-5.0, -4.0]], r"-5 or more and sum to -9\.\.9 an image; .* of logits take softmax"),
        ([0, 1], [[0.7, 0.2], [0.5, 0.5]], r"sum to 0\.9\.\.1 an image"),
        ([], np.zeros((0, 2)), r"must be \(N,\) and \(N, K\)"),
    ],
)
def test_what_does_not_fit_is_refused(labels, probabilities, said):
    with pytest.raises(ValueError, match=said):
        score(np.array(labels), np.array(probabilities))


def test_pointing_game_counts_the_highest_pixel_and_not_the_first_of_a_flat_map():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[:, 0, 0] = True
    maps = torch.zeros(3, 4, 4)
    maps[0, 0, 0] = maps[1, 2, 2] = 1.0  # a hit, a miss, a flat map
    assert pointing_game(maps, masks).tolist() == [True, False, False]
    assert chance_of_pointing(masks) == pytest.approx(1 / 16)
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:2, :2] = True
    assert chance_of_pointing(masks, within=region) == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        pointing_game(maps[0], masks)


def test_pixel_auc_is_the_area_under_the_roc_curve_of_every_image():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 20, (4, 6, 5), generator=generator) / 20  # with ties
    masks = torch.rand(4, 6, 5, generator=generator) < 0.3
    masks[3] = False
    region = torch.ones(6, 5, dtype=torch.bool)
    region[0] = False
    areas, inside = pixel_auc(maps, masks), pixel_auc(maps, masks, within=region)
    for k in range(3):
        assert areas[k] == pytest.approx(roc_auc_score(masks[k].flatten(), maps[k].flatten()))
        assert inside[k] == pytest.approx(roc_auc_score(masks[k, 1:].flatten(), maps[k, 1:].flatten()))
    assert areas[3].isnan()
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        pixel_auc(maps[0], masks[0])
