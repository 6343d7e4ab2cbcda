"""Measuring: from saved predictions and recorded maps to numbers."""

from medattn.evaluation.cost import Cost, cost
from medattn.evaluation.localisation import chance_of_pointing, pixel_auc, pointing_game
from medattn.evaluation.measure import measure
from medattn.evaluation.metrics import Scores, score
from medattn.evaluation.statistics import (
    PLACES,
    Mean,
    Paired,
    accuracy,
    compare,
    comparison,
    exact_mcnemar,
    holm,
    mean_over_seeds,
    paired_over_seeds,
    smallest_difference,
    t_test_as_printed,
    wilson,
)

__all__ = [
    "PLACES",
    "Cost",
    "Mean",
    "Paired",
    "Scores",
    "accuracy",
    "chance_of_pointing",
    "compare",
    "comparison",
    "cost",
    "exact_mcnemar",
    "holm",
    "mean_over_seeds",
    "measure",
    "paired_over_seeds",
    "pixel_auc",
    "pointing_game",
    "score",
    "smallest_difference",
    "t_test_as_printed",
    "wilson",
]
