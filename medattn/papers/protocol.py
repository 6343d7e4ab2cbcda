"""How the global attention paper arrives at a printed accuracy.

Paper: Xu et al. 2020, section 4.6. Five-fold cross-validation on the training images finds the 30
epochs of highest accuracy. One run on all training images is tested at those epochs. The mean and
the standard deviation of these accuracies are printed. The deviation is therefore that between
epochs of one run, not between runs.
Differs from the paper: it does not say whether an epoch's accuracy is averaged over the folds;
here it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from medattn.training.fitting import fit
from medattn.training.recipe import Recipe


@dataclass(frozen=True)
class AsPrinted:
    """The test accuracies of one run at the epochs that cross-validation chose."""

    epochs: np.ndarray  # from 1
    accuracies: np.ndarray
    validation: np.ndarray  # mean accuracy over the folds, of every epoch

    @property
    def mean(self) -> float:
        """Return the accuracy that would be printed."""
        return float(self.accuracies.mean())

    @property
    def deviation(self) -> float:
        """Return the number that would be printed in brackets."""
        return float(self.accuracies.std(ddof=1))

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f}({100 * self.deviation:.2f})"


def protocol_recipes(recipe: Recipe, folds: int = 5) -> list[Recipe]:
    """Return the runs behind one printed number: one per fold, and one on all training images."""
    parts = [recipe.replace(split=f"{k}/{folds}") for k in range(1, folds + 1)]
    return [*parts, recipe.replace(split="all", select="last", test_every_epoch=True)]


def as_printed(recipe: Recipe, n_epochs: int = 30, folds: int = 5, **options: Any) -> AsPrinted:
    """Train the runs behind one printed number, unless they are finished; `options` go to `fit`."""
    if not 2 <= n_epochs <= recipe.epochs:
        raise ValueError(f"n_epochs={n_epochs} must be 2 to epochs={recipe.epochs} of the recipe")
    *parts, whole = [fit(part, **options).history for part in protocol_recipes(recipe, folds)]
    validation = np.mean([part["val_accuracy"] for part in parts], axis=0)
    best = np.sort(np.argsort(-validation, kind="stable")[:n_epochs])  # earliest of equals
    return AsPrinted(best + 1, whole["test_accuracy"].to_numpy()[best], validation)
