"""From a recipe to a trained network: `fit(Recipe(...))`."""

from medattn.training.fit import DivergedError, best_device, fit, predict
from medattn.training.recipe import Recipe
from medattn.training.runs import Run, list_runs

__all__ = ["DivergedError", "Recipe", "Run", "best_device", "fit", "list_runs", "predict"]
