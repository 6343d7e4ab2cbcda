"""Scores of a classifier from its saved predictions.

Paper: PPCR, section 4.1: ACC, AUC, F1. The text does not say how AUC and F1 average over classes. F1 is the weighted
one (two rows of Table 1 equal a constant predictor's accuracy and weighted F1); AUC is macro one-vs-rest on
softmax, which is our choice and MedMNIST's.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, recall_score, roc_auc_score


@dataclass(frozen=True)
class Scores:
    """Scores in 0..1 of `n_images` predictions over K classes."""

    n_images: int
    accuracy: float
    auc: float  # macro one-vs-rest over the classes that occur; nan where only one occurs
    weighted_f1: float
    macro_f1: float  # over all K classes; 0 for a class without images, as scikit-learn counts it
    recall: tuple[float, ...]  # per class; nan for a class without images
    confusion: np.ndarray  # (K, K) counts: rows are labels, columns predictions

    @property
    def n_correct(self) -> int:
        """How many images were classified correctly."""
        return int(np.trace(self.confusion))


def score(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Score predictions: `labels` (N,) whole numbers in 0..K-1, `probabilities` (N, K) that sum to 1.

    Accuracy and AUC are those of `medmnist.Evaluator`. Raises ValueError for shapes or labels that do not fit, and for
    what are no probabilities.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=float)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} and probabilities {probabilities.shape} must be (N,) and (N, K)")
    n_classes = probabilities.shape[1]
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}; with K={n_classes} columns, 0..{n_classes - 1}"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold values that are not finite: the network's output was not usable")
    sums = probabilities.sum(1)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            f"probabilities are {probabilities.min():.3g} or more and sum to {sums.min():.3g}..{sums.max():.3g} an "
            "image; they must be 0 or more and sum to 1: of logits take softmax(1) first"
        )
    predicted, classes = probabilities.argmax(1), np.arange(n_classes)
    recall = recall_score(labels, predicted, labels=classes, average=None, zero_division=0.0)
    occurs = np.isin(classes, labels)
    return Scores(
        n_images=len(labels),
        accuracy=float((predicted == labels).mean()),
        auc=_macro_auc(labels, probabilities),
        weighted_f1=float(f1_score(labels, predicted, labels=classes, average="weighted", zero_division=0.0)),
        macro_f1=float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0.0)),
        recall=tuple(np.where(occurs, recall, np.nan).tolist()),
        confusion=confusion_matrix(labels, predicted, labels=classes),
    )


def _macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    if probabilities.shape[1] == 2:
        positives = [(labels == 1, probabilities[:, 1])]
    else:
        positives = [(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    areas = [roc_auc_score(is_class, p) for is_class, p in positives if 0 < is_class.sum() < len(labels)]
    return float(np.mean(areas)) if areas else float("nan")
