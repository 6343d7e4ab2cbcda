"""Measuring: from saved predictions and recorded maps to numbers."""

from medattn.evaluation.cost import Cost, cost
from medattn.evaluation.grad_cam import grad_cam
from medattn.evaluation.localisation import (
    SCORES,
    average_precision,
    centred_gaussian,
    chance,
    chance_of_pointing,
    localisation,
    pixel_auc,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from medattn.evaluation.measure import measure
from medattn.evaluation.metrics import Scores, score
from medattn.evaluation.perturbation import deletion_insertion
from medattn.evaluation.statistics import (
    PLACES,
    Mean,
    Paired,
    accuracy,
    compare,
    comparison,
    contrast,
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
    "SCORES",
    "Cost",
    "Mean",
    "Paired",
    "Scores",
    "accuracy",
    "average_precision",
    "centred_gaussian",
    "chance",
    "chance_of_pointing",
    "compare",
    "comparison",
    "contrast",
    "cost",
    "deletion_insertion",
    "exact_mcnemar",
    "grad_cam",
    "holm",
    "localisation",
    "mean_over_seeds",
    "measure",
    "paired_over_seeds",
    "pixel_auc",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "score",
    "smallest_difference",
    "t_test_as_printed",
    "wilson",
]
