"""Scores of a classifier from its saved predictions.

Paper: PPCR, section 4.1: ACC, AUC, F1. The text does not say how AUC and F1 average over classes.
F1 is the weighted one: two rows of Table 1 equal a constant predictor's accuracy and weighted F1.
AUC is macro one-vs-rest on the softmax, which is our choice and MedMNIST's.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Scores in 0..1 of `n_images` predictions over K classes."""

    n_images: int
    accuracy: float
    auc: float  # macro one-vs-rest over the classes that occur; nan if only one occurs
    weighted_f1: float
    macro_f1: float  # over all K classes; 0 for a class without images, as in scikit-learn
    recall: tuple[float, ...]  # per class; nan for a class without images
    confusion: np.ndarray  # (K, K) counts: rows are labels, columns are predictions

    @property
    def n_correct(self) -> int:
        """The number of images that were classified correctly."""
        return int(np.trace(self.confusion))


def score(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Score predictions: `labels` (N,) are integers in 0..K-1, `probabilities` (N, K) sum to 1.

    Accuracy and AUC equal those of `medmnist.Evaluator`. Raises ValueError for shapes or labels
    that do not fit, and for values that are not probabilities.
    """
    from sklearn import metrics  # takes a second to import

    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=float)
    _check(labels, probabilities)
    predicted, classes = probabilities.argmax(1), np.arange(probabilities.shape[1])
    options = {"labels": classes, "zero_division": 0.0}
    recall = metrics.recall_score(labels, predicted, average=None, **options)
    one_or_all = classes[1:] if len(classes) == 2 else classes
    binary = [(labels == k, probabilities[:, k]) for k in one_or_all]
    areas = [metrics.roc_auc_score(is_k, p) for is_k, p in binary if 0 < is_k.sum() < len(labels)]
    return Scores(
        n_images=len(labels),
        accuracy=float((predicted == labels).mean()),
        auc=float(np.mean(areas)) if areas else float("nan"),
        weighted_f1=float(metrics.f1_score(labels, predicted, average="weighted", **options)),
        macro_f1=float(metrics.f1_score(labels, predicted, average="macro", **options)),
        recall=tuple(np.where(np.isin(classes, labels), recall, np.nan).tolist()),
        confusion=metrics.confusion_matrix(labels, predicted, labels=classes),
    )


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        shapes = f"labels {labels.shape} and probabilities {probabilities.shape}"
        raise ValueError(f"{shapes} must be (N,) and (N, K)")
    low, high, n_classes = labels.min(), labels.max(), probabilities.shape[1]
    if low < 0 or high >= n_classes:
        raise ValueError(f"labels are {low} to {high}; K={n_classes} allows 0..{n_classes - 1}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities are not finite: the network's output is not usable")
    least, sums = probabilities.min(), probabilities.sum(1)
    if least < 0 or np.abs(sums - 1).max() > 1e-3:
        given = f"{least:.3g} or more and sum to {sums.min():.3g}..{sums.max():.3g} per image"
        rule = "they must be 0 or more and sum to 1: apply softmax(1) to logits"
        raise ValueError(f"probabilities are {given}; {rule}")
