"""How the global attention paper arrives at a printed accuracy, step by step.

Paper: Xu et al. 2020, section 4.6: five-fold cross-validation on the training images finds the 30 epochs of highest
accuracy; one run on all training images is tested at those epochs; their mean and standard deviation are printed.
What it measures: the test accuracy of one run, averaged over a part of its path. The deviation is that of one path,
not that between runs; over seeds use `fit` with several seeds.
Differs from the paper: it does not say whether an epoch's accuracy is averaged over the folds; here it is.
"""

from dataclasses import dataclass

import numpy as np

from medattn.training.fit import fit
from medattn.training.recipe import Recipe


@dataclass(frozen=True)
class AsPrinted:
    """`epochs` (from 1) were chosen by cross-validation; `accuracies` are the test accuracies of one run there."""

    epochs: np.ndarray
    accuracies: np.ndarray
    validation: np.ndarray  # mean accuracy over the folds, of every epoch

    @property
    def mean(self) -> float:
        """The accuracy that would be printed."""
        return float(self.accuracies.mean())

    @property
    def deviation(self) -> float:
        """The number that would be printed in brackets behind it."""
        return float(self.accuracies.std(ddof=1))

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f}({100 * self.deviation:.2f})"


def protocol_recipes(recipe: Recipe, folds: int = 5) -> list[Recipe]:
    """Give the runs behind one printed number: one for each fold, and one on all training images."""
    parts = [recipe.replace(split=f"{k}/{folds}") for k in range(1, folds + 1)]
    return [*parts, recipe.replace(split="all", select="last", test_every_epoch=True)]


def as_printed(recipe: Recipe, n_epochs: int = 30, folds: int = 5, **options) -> AsPrinted:
    """Train the runs behind one printed number, and give it. `options` go to `fit`; finished runs are not repeated.

    Raises ValueError where `n_epochs` is not 2 to the recipe's epochs.
    """
    if not 2 <= n_epochs <= recipe.epochs:
        raise ValueError(f"n_epochs={n_epochs} must be 2 to epochs={recipe.epochs}: that many are chosen of them")
    *parts, whole = [fit(one, **options).history for one in protocol_recipes(recipe, folds)]
    validation = np.mean([part["val_accuracy"] for part in parts], axis=0)
    best = np.sort(np.argsort(-validation, kind="stable")[:n_epochs])  # the earliest of equals
    return AsPrinted(best + 1, whole["test_accuracy"].to_numpy()[best], validation)
