from .epoch import DivergedError as DivergedError
from .epoch import predict as predict
from .fitting import best_device as best_device
from .fitting import fit as fit
from .recipe import Recipe as Recipe
from .run import Run as Run
from .sweeping import list_runs as list_runs
from .sweeping import sweep as sweep
