"""From a recipe to a trained network: `fit(Recipe(...))`."""

from medattn.training.classical import CLASSICAL, fit_classical
from medattn.training.fit import DivergedError, best_device, fit, predict
from medattn.training.listing import list_runs
from medattn.training.protocol import AsPrinted, as_printed
from medattn.training.recipe import GLOBAL_ATTENTION, GLOBAL_GRID, L1_GRID, Recipe
from medattn.training.runs import Run
from medattn.training.sweep import sweep
from medattn.training.tables import TABLES, table_recipes

__all__ = [
    "CLASSICAL",
    "GLOBAL_ATTENTION",
    "GLOBAL_GRID",
    "L1_GRID",
    "TABLES",
    "AsPrinted",
    "DivergedError",
    "Recipe",
    "Run",
    "as_printed",
    "best_device",
    "fit",
    "fit_classical",
    "list_runs",
    "predict",
    "sweep",
    "table_recipes",
]
