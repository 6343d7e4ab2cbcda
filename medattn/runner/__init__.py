"""Run the notebooks with checked parameters, and keep the committed ones comparable."""

from medattn.runner.notebook import Notebook as Notebook
from medattn.runner.notebook import all_notebooks as all_notebooks
from medattn.runner.notebook import find_notebook as find_notebook
from medattn.runner.parameters import read_parameters as read_parameters
from medattn.runner.parameters import settings as settings
from medattn.runner.refreshing import fresh_folders as fresh_folders
from medattn.runner.refreshing import refresh as refresh
from medattn.runner.running import NotebookFailed as NotebookFailed
from medattn.runner.running import run as run
