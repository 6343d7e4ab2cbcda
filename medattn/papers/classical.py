"""Logistic regression and support vector machines on raw pixels, with a grid search.

Paper: global attention, sections 4.3 and 4.4, supplement 2.4: "functions provided by scikit-learn".
Differs from the paper:
- It names no ranges, kernels or folds; those of `CLASSICAL` are ours.
- Pixels are divided by 255 and by sqrt(C H W), so that a grid means the same at every image size.
- Fewer images than pixels are replaced by their coordinates in the space that they span. Both
  models use inner products only, so their predictions are the same. Test images take part in this
  rotation, which uses no label.
- For Glaucoma the paper prints accuracies on all 591 images; here they are on the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from medattn.datasets import Dataset
from medattn.evaluation.metrics import Scores, score

PIXELS_AT_ONCE = 8192  # columns of the Gram sum in float64: 35 MB for 516 images

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]


class Classical(NamedTuple):
    """A scikit-learn classifier and its default grid."""

    estimator: BaseEstimator
    grid: Grid


CLASSICAL = {
    "lr": Classical(LogisticRegression(max_iter=5000), {"C": [1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5]}),
    "svm": Classical(
        SVC(break_ties=True),  # predicts the class of the highest score
        [
            {"kernel": ["linear"], "C": [1e0, 1e1, 1e2, 1e3, 1e4]},
            {"kernel": ["rbf"], "C": [1e0, 1e1, 1e2, 1e3], "gamma": [1e0, 1e1, 1e2]},
        ],
    ),
}


@dataclass(frozen=True, eq=False)
class ClassicalResult:
    """The predictions of a classical model for the test split."""

    model: str
    labels: np.ndarray  # (N,)
    probabilities: np.ndarray  # (N, K); of the SVM, the softmax of its scores: not calibrated
    chosen: dict[str, Any]  # hyper-parameters
    cv_accuracy: float  # 0..1, mean over folds with the chosen hyper-parameters
    n_images: int  # in train and val

    @property
    def scores(self) -> Scores:
        """Return the scores of the test split."""
        return score(self.labels, self.probabilities)


def fit_classical(
    data: Dataset, model: str, grid: Grid | None = None, folds: int = 5, seed: int = 0
) -> ClassicalResult:
    """Search hyper-parameters by stratified cross-validation on train and val, and predict test.

    `model` is a key of `CLASSICAL`, `grid` has scikit-learn's parameters, and `seed` assigns images
    to folds. Raises ValueError for unknown names, and for a class with fewer images than folds.
    """
    if model not in CLASSICAL:
        raise ValueError(f"model={model!r} is unknown; there are {', '.join(CLASSICAL)}")
    estimator, default = CLASSICAL[model]
    labels = torch.cat([data.train.labels, data.val.labels]).cpu().numpy()
    counts, n_train = np.bincount(labels, minlength=data.n_classes), len(labels)
    fewest = counts[counts > 0].min()
    if fewest < folds:
        name = data.classes[int(np.flatnonzero(counts == fewest)[0])]
        raise ValueError(
            f"folds={folds}, but {data.name} has only {fewest} images of {name!r} in train and val"
        )
    images = torch.cat([split.images.cpu() for split in (data.train, data.val, data.test)])
    features = pixel_coordinates(images.flatten(1).numpy())
    features -= features[:n_train].mean(0)  # changes the intercept only; the solver is faster
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    search = GridSearchCV(
        estimator, default if grid is None else grid, cv=parts, error_score="raise"
    )
    search.fit(features[:n_train], labels)
    probabilities = _probabilities(search.best_estimator_, features[n_train:], data.n_classes)
    chosen, accuracy = dict(search.best_params_), float(search.best_score_)
    tested = data.test.labels.cpu().numpy()
    return ClassicalResult(model, tested, probabilities, chosen, accuracy, n_train)


def pixel_coordinates(pixels: np.ndarray) -> np.ndarray:
    """Return coordinates of images that have the inner products of pixels / (255 sqrt(D)).

    Shape: (N, D) uint8 -> (N, r) float64, r <= min(N, D): the scaled pixels if N >= D, or else Z of
    the Gram matrix Z Z^T, which is exact.
    """
    n, d = pixels.shape
    if n >= d:
        return pixels / (255 * d**0.5)
    gram = np.zeros((n, n))
    for start in range(0, d, PIXELS_AT_ONCE):
        block = pixels[:, start : start + PIXELS_AT_ONCE].astype(np.float64)
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram / (255**2 * d))
    nonzero = values > n * np.finfo(float).eps * values[-1]  # up to rounding
    return vectors[:, nonzero] * np.sqrt(values[nonzero])


def _probabilities(estimator: BaseEstimator, features: np.ndarray, n_classes: int) -> np.ndarray:
    if hasattr(estimator, "predict_proba"):
        known = estimator.predict_proba(features)
    else:
        decision = estimator.decision_function(features)
        if decision.ndim == 1:  # two classes: the score of the second
            decision = np.stack([np.zeros_like(decision), decision], axis=1)
        known = torch.softmax(torch.from_numpy(decision), dim=1).numpy()
    probabilities = np.zeros((len(features), n_classes))  # 0 for a class without training images
    probabilities[:, estimator.classes_] = known
    return probabilities
