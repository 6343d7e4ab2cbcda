"""The entries of catalog.yaml: what each data set is, and which functions load it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from medattn.datasets.files import HINT, Folder
from medattn.paths import data_folder


@dataclass(frozen=True)
class Entry:
    """A data set of the catalog.

    A function stands as "module:function" and is imported when it is used. One that serves several
    sets takes the set's `name` first.
    """

    name: str  # also of its folder in the data folder
    load: str  # takes the size in pixels, then the set's own options
    classes: Any  # their number, a text with numbers by option, their names, or names by code
    sizes: str  # px
    images: str  # to train / validate / test
    licence: str
    citation: str
    get: str = "nothing to get"
    layout: str = ""  # what its folder must look like
    path: str = ""  # in the data folder; the set is here if it exists
    state: str = ""  # instead of `path`: returns what is here
    download: str = ""  # takes a size or None
    lesions: str = ""  # takes a size; returns images that no training saw, and their masks
    region: str = ""  # takes a size; returns the region that matters, if `Dataset` lacks it

    def function(self, field: str) -> Callable[..., Any]:
        """Return the function that a field names."""
        module, _, function_name = getattr(self, field).partition(":")
        function = getattr(import_module(f"medattn.datasets.{module}"), function_name)
        takes_name = "name" in inspect.signature(function).parameters
        return partial(function, self.name) if takes_name else function

    def here(self) -> str:
        """Return what is in the data folder; files are checked on loading."""
        if self.state:
            return self.function("state")()
        is_here = (data_folder() / self.path).exists()
        return ("here" if is_here else "missing") if self.path else "built in"

    def require(self, *parts: str) -> Folder:
        """Return the set's folder.

        Raises FileNotFoundError, with the way to get the set, if one of its `parts` is missing.
        """
        root = data_folder() / self.name
        missing = [str(root / part) for part in parts or ("",) if not (root / part).is_dir()]
        if missing:
            what = f"{self.name} is missing or incomplete: there is no {', '.join(missing)}"
            raise FileNotFoundError(f"{what}. How to get it: {self.get}. {self.layout}\n{HINT}")
        return Folder(root, self.layout)


_CATALOG = yaml.safe_load(Path(__file__).with_name("catalog.yaml").read_text(encoding="utf-8"))
DATASETS = {name: Entry(name, **fields) for name, fields in _CATALOG.items()}
