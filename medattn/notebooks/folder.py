"""Which notebooks there are, what they are called, and where their results go."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medattn import paths


@dataclass(frozen=True)
class Notebook:
    """A notebook of the project: `notebooks/NN_subject.ipynb` or `notebooks/solutions/NN_subject.ipynb`."""

    path: Path
    root: Path  # the project's folder, in which notebooks/ and out/ lie

    @property
    def name(self) -> str:
        """What it is called on the command line: `04`, or `solutions/04`."""
        number = self.path.stem.partition("_")[0]
        return f"solutions/{number}" if self.path.parent.name == "solutions" else number

    @property
    def full_name(self) -> str:
        """Its path inside `notebooks/`, without the suffix: `04_ppcr_training`."""
        return self.path.relative_to(self.root / "notebooks").with_suffix("").as_posix()

    @property
    def paper_settings(self) -> Path:
        """The file of the paper's settings, whether there is one or not."""
        return self.root / "notebooks" / "paper" / f"{self.name}.yaml"

    def output(self, paper: bool = False) -> Path:
        """Give the place of the executed notebook, under `out/`."""
        return self.root / "out" / f"{self.full_name}{'.paper' if paper else ''}.ipynb"

    def read(self) -> dict[str, Any]:
        """Read the notebook as plain JSON. Raises ValueError if it is none."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            content["cells"], content["metadata"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is not a notebook: {error!r}") from error
        return content


def all_notebooks(root: Path | None = None) -> list[Notebook]:
    """List the notebooks in the order they are read in, then the solutions of their exercises."""
    root = root or paths.ROOT
    folder = root / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb")) + sorted(folder.glob("solutions/[0-9][0-9]_*.ipynb"))
    return [Notebook(path, root) for path in found]


def find_notebook(name: str, root: Path | None = None) -> Notebook:
    """Find a notebook by `04`, `04_ppcr_training`, `solutions/04`, or its path, or raise ValueError."""
    notebooks = all_notebooks(root)
    asked = name.removeprefix("./").removeprefix("notebooks/").removesuffix(".ipynb")
    for notebook in notebooks:
        if asked in (notebook.name, notebook.full_name):
            return notebook
    if not notebooks:
        folder = (root or paths.ROOT) / "notebooks"
        raise ValueError(f"there are no notebooks in {folder}; run this in a checkout of medattn")
    raise ValueError(f"there is no notebook {name!r}; there are {', '.join(n.name for n in notebooks)}")
