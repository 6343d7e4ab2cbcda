"""Run the notebooks with checked parameters, and keep the committed ones comparable."""

from medattn.notebooks.folder import Notebook, all_notebooks, find_notebook
from medattn.notebooks.parameters import Parameter, choose, read_parameters
from medattn.notebooks.refreshing import code_hash, fresh_folders, refresh
from medattn.notebooks.running import NotebookFailed, run, settings

__all__ = [
    "Notebook",
    "NotebookFailed",
    "Parameter",
    "all_notebooks",
    "choose",
    "code_hash",
    "find_notebook",
    "fresh_folders",
    "read_parameters",
    "refresh",
    "run",
    "settings",
]
