"""Measuring: from saved predictions and recorded maps to numbers."""

from medattn.evaluation.localisation import chance_of_pointing, pixel_auc, pointing_game
from medattn.evaluation.metrics import Scores, score

__all__ = ["Scores", "chance_of_pointing", "pixel_auc", "pointing_game", "score"]
