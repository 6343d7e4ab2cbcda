"""Every data set by name."""

import inspect

from medattn.datasets.dataset import Dataset
from medattn.datasets.phantoms import phantoms

DATASETS = {"phantoms": phantoms}


def load_dataset(name: str, size: int = 28, **options) -> Dataset:
    """Load a data set by its name at a size in pixels; the options are the set's own."""
    if name not in DATASETS:
        raise ValueError(f"dataset={name!r} is not one of {', '.join(DATASETS)}")
    known = list(inspect.signature(DATASETS[name]).parameters)[1:]
    for option in options:
        if option not in known:
            raise ValueError(
                f"{option}={options[option]!r} is no option of {name}: {', '.join(known) or 'it has none'}"
            )
    return DATASETS[name](size, **options)
