"""Logistic regression and support vector machines against scikit-learn on raw pixels."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch.nn import functional as F

from medattn.datasets import Dataset, Split
from medattn.papers.classical import CLASSICAL, fit_classical, pixel_coordinates


def toy(n_classes=3, size=12, counts=(30, 9, 24), seed=0, shift=60):
    """Noise, brighter in one column band per class."""
    rng = np.random.default_rng(seed)

    def split(n):
        labels = np.arange(n) % n_classes
        images = rng.integers(0, 180, (n, 3, size, size))
        for image, label in zip(images, labels, strict=True):
            image[:, :, label * 3 : label * 3 + 3] += shift
        return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))

    return Dataset(
        "toy", size, tuple(f"class {k}" for k in range(n_classes)), *(split(n) for n in counts)
    )


def raw_pixels(data):
    images = [split.images.flatten(1).numpy() / 255 for split in (data.train, data.val, data.test)]
    return (
        np.concatenate(images[:2]),
        torch.cat([data.train.labels, data.val.labels]).numpy(),
        images[2],
    )


def test_coordinates_keep_inner_products():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20_000), dtype=np.uint8)
    pixels[7] = pixels[3]  # a repeated image: one dimension less
    z = pixel_coordinates(pixels)
    scaled = pixels / 255 / 20_000**0.5
    assert z.shape == (20, 19)
    np.testing.assert_allclose(z @ z.T, scaled @ scaled.T, rtol=1e-12)
    few = pixels[:, :12]
    np.testing.assert_allclose(pixel_coordinates(few), few / 255 / 12**0.5, rtol=1e-15)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_lr_equals_lr_on_raw_pixels(n_classes, monkeypatch):
    data = toy(n_classes, shift=15)
    x, y, test = raw_pixels(data)
    exact = LogisticRegression(max_iter=20_000, tol=1e-10)
    monkeypatch.setitem(CLASSICAL, "lr", CLASSICAL["lr"]._replace(estimator=exact))
    found = fit_classical(data, "lr", {"C": [30.0]}, folds=3)
    on_pixels = LogisticRegression(C=30 / x.shape[1], max_iter=20_000, tol=1e-10).fit(x, y)
    np.testing.assert_allclose(found.probabilities, on_pixels.predict_proba(test), atol=1e-6)
    assert (
        found.probabilities.max(1).min() < 0.9
    )  # not all are certain: the comparison has something to see


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_svm_equals_svm_on_raw_pixels(n_classes, kernel, monkeypatch):
    data = toy(n_classes, shift=15)
    x, y, test = raw_pixels(data)
    exact = CLASSICAL["svm"].estimator.__class__(break_ties=True, tol=1e-9)
    monkeypatch.setitem(CLASSICAL, "svm", CLASSICAL["svm"]._replace(estimator=exact))
    found = fit_classical(data, "svm", {"kernel": [kernel], "C": [30.0], "gamma": [5.0]}, folds=3)
    d = x.shape[1]
    c = 30.0 / d if kernel == "linear" else 30.0  # the RBF kernel has its unit in gamma
    on_pixels = SVC(kernel=kernel, C=c, gamma=5 / d, tol=1e-9, break_ties=True).fit(x, y)
    decision = on_pixels.decision_function(test)
    decision = np.stack([0 * decision, decision], 1) if n_classes == 2 else decision
    np.testing.assert_allclose(
        found.probabilities, F.softmax(torch.from_numpy(decision), 1).numpy(), atol=1e-6
    )
    assert np.array_equal(found.probabilities.argmax(1), on_pixels.predict(test))


@pytest.mark.parametrize("model", CLASSICAL)
def test_separable_set_is_learned(model):
    data = toy()
    found = fit_classical(data, model)
    assert found.scores.accuracy == 1 and found.cv_accuracy > 0.95
    assert (found.model, found.n_images, found.probabilities.shape) == (model, 39, (24, 3))
    assert np.array_equal(found.labels, data.test.labels.numpy())
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    grid = CLASSICAL[model].grid
    grids = [grid] if isinstance(grid, dict) else grid
    assert any(
        all(value in part.get(name, []) for name, value in found.chosen.items()) for part in grids
    )


def test_better_setting_is_chosen_for_a_seed():
    data = toy(shift=30)
    grid = {"C": [1e-6, 1e3]}
    first, second = (fit_classical(data, "lr", grid, seed=3) for _ in range(2))
    assert first.chosen == {"C": 1e3}
    assert first.cv_accuracy == second.cv_accuracy
    assert np.array_equal(first.probabilities, second.probabilities)


def test_class_without_images_is_never_predicted():
    data = toy()
    kept = data.train.labels < 2
    train = data.train.take(kept.nonzero()[:, 0])
    val = data.val.take((data.val.labels < 2).nonzero()[:, 0])
    found = fit_classical(
        Dataset("toy", 12, data.classes, train, val, data.test), "svm", {"C": [1.0]}
    )
    assert found.probabilities.shape == (24, 3)
    assert (found.probabilities[:, 2] == 0).all()
    assert found.scores.recall[2] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "forest"}, "model='forest' is unknown; there are lr, svm"),
        ({"grid": {"c": [1]}}, "Invalid parameter 'c' for estimator LogisticRegression"),
        ({"folds": 1}, "n_splits=2 or more, got n_splits=1"),
        ({"folds": 14}, "folds=14, but toy has only 13 images of 'class 0' in train and val"),
    ],
)
def test_impossible_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit_classical(toy(), **({"model": "lr"} | options))


def test_one_class_or_no_test_images_are_refused():
    data = toy()
    one = torch.zeros(5, dtype=torch.int64)
    train, none = Split(data.train.images[:5], one), data.train.take(one[:0])
    with pytest.raises(ValueError, match="only one class"):
        fit_classical(Dataset("toy", 12, data.classes, train, none, data.test), "lr")
    with pytest.raises(ValueError, match="0 sample"):
        fit_classical(Dataset("toy", 12, data.classes, data.train, data.val, none), "lr")
