"""Measuring: from saved predictions and recorded maps to numbers."""

from medattn.evaluation.cost import Cost, cost
from medattn.evaluation.localisation import chance_of_pointing, pixel_auc, pointing_game
from medattn.evaluation.measure import measure
from medattn.evaluation.metrics import Scores, score
from medattn.evaluation.statistics import Paired, exact_mcnemar, paired_over_seeds, t_test_as_printed

__all__ = [
    "Cost",
    "Paired",
    "Scores",
    "chance_of_pointing",
    "cost",
    "exact_mcnemar",
    "measure",
    "paired_over_seeds",
    "pixel_auc",
    "pointing_game",
    "score",
    "t_test_as_printed",
]
