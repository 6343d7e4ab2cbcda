"""Logistic regression and support vector machines on raw pixels, with their hyper-parameters searched.

Paper: global attention, section 4.3 (the two non-deep baselines), section 4.4 and supplement 2.4: "functions
provided by scikit-learn", "grid-search on their appropriate ranges".

Differs from the paper:
- It names no ranges, kernels or folds; `CLASSICAL` has ours.
- Pixels are divided by 255 and by sqrt(C H W), so that an inner product is a mean over pixels, and a grid means the
  same at every image size. On pixels in 0..1 the same models have their penalty C (LR, linear SVM) and gamma (RBF)
  divided by C H W.
- With fewer images than pixels, images become their at most N coordinates in the space that they span (all principal
  components, none dropped). Both models see images through inner products only (the L2 penalty and the kernels), so
  they are the same models on the pixels, predictions included; 413 images of 150,528 pixels take seconds.
  Test images take part in the rotation, which looks at no label and changes no inner product: nothing leaks.
- The accuracies that the paper prints for Glaucoma are whole numbers of 591 images, the whole set; here, as for the
  CNNs, they are those of the test split.
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
    """A scikit-learn classifier and the grid that is searched for it."""

    estimator: BaseEstimator
    grid: Grid


CLASSICAL = {
    "lr": Classical(LogisticRegression(max_iter=5000), {"C": [1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5]}),
    "svm": Classical(
        SVC(break_ties=True),  # the prediction is then the class of the highest score
        [
            {"kernel": ["linear"], "C": [1e0, 1e1, 1e2, 1e3, 1e4]},
            {"kernel": ["rbf"], "C": [1e0, 1e1, 1e2, 1e3], "gamma": [1e0, 1e1, 1e2]},
        ],
    ),
}


@dataclass(frozen=True, eq=False)
class ClassicalResult:
    """What a classical model made of the test split.

    `probabilities` (N, K) sum to 1 per image. Those of the SVM are the softmax of its one-versus-rest scores: they
    rank and predict as the SVM does, and are not calibrated.
    """

    model: str
    labels: np.ndarray  # (N,) of the test split
    probabilities: np.ndarray  # (N, K)
    chosen: dict[str, Any]  # the hyper-parameters
    cv_accuracy: float  # 0..1, the mean over folds at the chosen hyper-parameters
    n_images: int  # trained on: train and val

    @property
    def scores(self) -> Scores:
        """The test split's scores."""
        return score(self.labels, self.probabilities)


def fit_classical(
    data: Dataset, model: str, grid: Grid | None = None, folds: int = 5, seed: int = 0
) -> ClassicalResult:
    """Choose hyper-parameters by stratified cross-validation, fit on train and val together, and predict test.

    `model` is a key of `CLASSICAL`, `grid` one or several dicts of scikit-learn's parameters (default: the model's),
    in the units said above; `seed` deals the images to the folds.
    Raises ValueError for an unknown model or parameter, and for fewer images of a class than folds.
    """
    if model not in CLASSICAL:
        raise ValueError(f"model={model!r} is unknown; there are {', '.join(CLASSICAL)}")
    estimator, default = CLASSICAL[model]
    grid = default if grid is None else grid
    _check_grid(model, grid)
    train_labels = torch.cat([data.train.labels, data.val.labels]).cpu().numpy()
    test_labels = data.test.labels.cpu().numpy()
    _check_labels(data, train_labels, test_labels, folds)
    n_train = len(train_labels)
    images = torch.cat([split.images.cpu() for split in (data.train, data.val, data.test)])
    features = pixel_coordinates(images.flatten(1).numpy())
    features -= features[:n_train].mean(0)  # moves the intercept only, and the solver converges sooner
    search = GridSearchCV(
        estimator,
        grid,
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        n_jobs=1,
        error_score="raise",
    )
    search.fit(features[:n_train], train_labels)
    return ClassicalResult(
        model,
        test_labels,
        _probabilities(search.best_estimator_, features[n_train:], data.n_classes),
        dict(search.best_params_),
        float(search.best_score_),
        n_train,
    )


def pixel_coordinates(pixels: np.ndarray) -> np.ndarray:
    """Give coordinates (N, r) float64, r <= min(N, D), with the inner products of `pixels` / (255 sqrt(D)).

    Shape: pixels (N, D) uint8. With N >= D they are the scaled pixels themselves; else the Gram matrix of the
    images, whole numbers without a rounding error, is split into Z Z^T by its eigenvectors, and Z is given.
    """
    n, d = pixels.shape
    if n >= d:
        return pixels / (255 * d**0.5)
    gram = np.zeros((n, n))
    for start in range(0, d, PIXELS_AT_ONCE):
        block = pixels[:, start : start + PIXELS_AT_ONCE].astype(np.float64)
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram / (255**2 * d))
    kept = values > n * np.finfo(float).eps * values[-1]  # the others are rounding errors of zero
    return vectors[:, kept] * np.sqrt(values[kept])


def _check_grid(model: str, grid: Grid) -> None:
    allowed = CLASSICAL[model].estimator.get_params()
    for part in [grid] if isinstance(grid, Mapping) else grid:
        for name in part:
            if name not in allowed:
                raise ValueError(f"grid has {name!r}, which {model} has not; it has {', '.join(allowed)}")


def _check_labels(data: Dataset, train_labels: np.ndarray, test_labels: np.ndarray, folds: int) -> None:
    if not len(test_labels):
        raise ValueError(f"{data.name} has no test images to predict")
    if not isinstance(folds, int) or folds < 2:
        raise ValueError(f"folds={folds!r} must be a whole number, 2 or more")
    counts = np.bincount(train_labels, minlength=data.n_classes)
    if (counts > 0).sum() < 2:
        raise ValueError(f"{data.name} has {(counts > 0).sum()} class(es) in train and val; two or more are needed")
    if (least := counts[counts > 0].min()) < folds:
        name = data.classes[int(np.flatnonzero(counts == least)[0])]
        raise ValueError(
            f"folds={folds}, but {data.name} has only {least} of {name!r} in train and val: folds <= {least}"
        )


def _probabilities(estimator: BaseEstimator, features: np.ndarray, n_classes: int) -> np.ndarray:
    if hasattr(estimator, "predict_proba"):
        of_known = estimator.predict_proba(features)
    else:
        decision = estimator.decision_function(features)
        if decision.ndim == 1:  # two classes: the score of the second
            decision = np.stack([np.zeros_like(decision), decision], axis=1)
        of_known = torch.softmax(torch.from_numpy(decision), dim=1).numpy()
    probabilities = np.zeros((len(features), n_classes))  # a class without training images keeps 0
    probabilities[:, estimator.classes_] = of_known
    return probabilities
