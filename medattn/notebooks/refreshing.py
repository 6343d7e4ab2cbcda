"""Bring the committed notebooks up to date: execute, then keep only what is the same on every run.

nbval compares the committed outputs with new ones, and passes on a notebook that was never run. So a
refreshed notebook holds execution counts 1..n and a hash of its code; a test compares both.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medattn.notebooks.folder import Notebook
from medattn.notebooks.running import INJECTED, run
from medattn.paths import write_whole

SIZE_LIMIT = 500_000  # bytes of a committed notebook
IGNORED = "nbval-ignore-output"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def refresh(notebook: Notebook, environment: Mapping[str, str] | None = None, **limits: float) -> bool:
    """Execute a notebook with its defaults and write it, normalised, over the committed one; say if changed.

    `limits` are those of `run`: `cell_limit` and `total_limit`, in seconds.
    Raises NotebookFailed when it does not come to its end, and ValueError when it would be larger than
    500 kB or is not a valid notebook; the committed file is then as it was.
    """
    executed = run(notebook, environment=environment, **limits)
    content = normalise(json.loads(executed.read_text(encoding="utf-8")))
    _validate(content, notebook)
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    size = len(text.encode())
    if size > SIZE_LIMIT:
        raise ValueError(
            f"notebook {notebook.name} would be {size / 1000:.0f} kB, {_largest(content)}; allowed are "
            f"{SIZE_LIMIT // 1000} kB: show fewer or smaller figures"
        )
    if text == notebook.path.read_text(encoding="utf-8"):
        return False
    with write_whole(notebook.path) as part:
        part.write_text(text, encoding="utf-8")
    return True


@contextmanager
def fresh_folders() -> Iterator[dict[str, str]]:
    """Give an environment with new, empty folders, for outputs that depend on nothing of this machine's."""
    with TemporaryDirectory() as folder:
        names = {"MEDATTN_RUNS": "runs", "MEDATTN_DATA": "data", "IPYTHONDIR": "ipython"}
        yield os.environ | {variable: str(Path(folder) / name) for variable, name in names.items()}


def code_hash(content: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a notebook's code: its code cells' sources, in order."""
    sources = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def normalise(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give an executed notebook without what differs from run to run; a second time changes nothing."""
    added = {INJECTED, "papermill-error-cell-tag"}
    kept = [cell for cell in content["cells"] if not added & set(_tags(cell))]
    cells, count = [], 0
    for k, cell in enumerate(kept):
        count += cell["cell_type"] == "code"
        cells.append(_normal_cell(cell, f"cell-{k:02d}", count))
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    metadata["medattn"] = {"code_hash": code_hash({"cells": cells})}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _normal_cell(cell: Mapping[str, Any], name: str, count: int) -> dict[str, Any]:
    tags = _tags(cell)
    source = "".join(cell["source"]).splitlines(keepends=True)
    normal = {"cell_type": cell["cell_type"], "id": name, "metadata": {"tags": tags} if tags else {}}
    normal["source"] = source
    if "attachments" in cell:
        normal["attachments"] = cell["attachments"]
    if cell["cell_type"] == "code":
        normal["execution_count"] = count
        normal["outputs"] = [] if IGNORED in tags else _normal_outputs(cell["outputs"], count)
    return normal


def _normal_outputs(outputs: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    normal: list[dict[str, Any]] = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        output = dict(output)
        if output["output_type"] == "stream":
            text = "".join(output["text"])
            if normal and normal[-1].get("name") == output["name"]:
                text = "".join(normal.pop()["text"]) + text
            output["text"] = text.splitlines(keepends=True)
        elif output["output_type"] == "execute_result":
            output["execution_count"] = count
        normal.append(output)
    return normal


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _validate(content: dict[str, Any], notebook: Notebook) -> None:
    import nbformat

    try:
        nbformat.validate(content)
    except nbformat.ValidationError as error:
        raise ValueError(f"notebook {notebook.name} would not be valid: {error.message}") from error


def _largest(content: Mapping[str, Any]) -> str:
    sizes = {cell["id"]: len(json.dumps(cell.get("outputs", []))) for cell in content["cells"]}
    name = max(sizes, key=sizes.get)
    return f"of which {sizes[name] / 1000:.0f} kB are the output of {name}"
