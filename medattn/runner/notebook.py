"""The notebooks of the project: their names, their cells, and where their results go."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medattn import paths


@dataclass(frozen=True)
class Notebook:
    """A notebook: `notebooks/NN_subject.ipynb` or `notebooks/solutions/NN_subject.ipynb`."""

    path: Path
    root: Path  # the project's folder, which holds notebooks/ and out/

    @property
    def name(self) -> str:
        """The name on the command line: `04` or `solutions/04`."""
        number = self.path.stem.partition("_")[0]
        return f"solutions/{number}" if self.path.parent.name == "solutions" else number

    @property
    def full_name(self) -> str:
        """The path inside `notebooks/` without the suffix: `04_ppcr_training`."""
        return self.path.relative_to(self.root / "notebooks").with_suffix("").as_posix()

    @property
    def paper_settings(self) -> Path:
        """The file of the paper's settings, which may not exist."""
        return self.root / "notebooks" / "paper" / f"{self.name}.yaml"

    def output(self, paper: bool = False) -> Path:
        """Return the path of the executed notebook, in `out/`."""
        return self.root / "out" / f"{self.full_name}{'.paper' if paper else ''}.ipynb"

    def read(self) -> dict[str, Any]:
        """Return the notebook as plain JSON. Raises ValueError if the file is not a notebook."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            content["cells"], content["metadata"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is not a notebook: {error!r}") from error
        return content


def tags(cell: Mapping[str, Any]) -> list[str]:
    """Return the tags of a cell."""
    return list(cell["metadata"].get("tags", []))


def all_notebooks(root: Path | None = None) -> list[Notebook]:
    """Return the notebooks in reading order, then the solutions of their exercises."""
    root = root or paths.ROOT
    lessons = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))
    solutions = sorted(root.glob("notebooks/solutions/[0-9][0-9]_*.ipynb"))
    return [Notebook(path, root) for path in lessons + solutions]


def find_notebook(name: str, root: Path | None = None) -> Notebook:
    """Return the notebook called `04`, `04_ppcr_training`, `solutions/04` or by its path.

    Raises ValueError if there is none, with the names there are.
    """
    notebooks = all_notebooks(root)
    wanted = name.removeprefix("./").removeprefix("notebooks/").removesuffix(".ipynb")
    for notebook in notebooks:
        if wanted in (notebook.name, notebook.full_name):
            return notebook
    names = ", ".join(n.name for n in notebooks) or f"none in {(root or paths.ROOT) / 'notebooks'}"
    raise ValueError(f"there is no notebook {name!r}; there are {names}")
