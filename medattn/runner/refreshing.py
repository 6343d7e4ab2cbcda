"""Refresh the committed notebooks: execute them, and keep only what is the same on every run.

nbval compares the committed outputs with new ones, but passes a notebook that was never run.
So a refreshed notebook holds execution counts 1..n and a hash of its code; a test checks both.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from medattn.paths import write_whole
from medattn.runner.notebook import Notebook, tags
from medattn.runner.running import LIMIT, run

SIZE_LIMIT = 590_000  # bytes of a committed notebook
IGNORED = "nbval-ignore-output"
ONE_RUN = "one-run"  # besides IGNORED: the output of one run is kept, and never compared
FOLDED = {"parameters", "hide-input"}  # the code of a cell with one of these tags is folded
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def refresh(
    notebook: Notebook, environment: Mapping[str, str] | None = None, limit: float = LIMIT
) -> bool:
    """Execute a notebook with its defaults and overwrite it; return whether the file changed.

    limit: seconds. environment: the variables of the run, `os.environ` by default.
    Raises NotebookFailed, and ValueError for over 590 kB; the file is then left as it is.
    """
    import nbformat

    executed = run(notebook, environment=environment, limit=limit)
    content = normalise(json.loads(executed.read_text(encoding="utf-8")))
    nbformat.validate(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    size = len(text.encode())
    if size > SIZE_LIMIT:
        sizes = [(len(json.dumps(c.get("outputs"))), c["id"]) for c in content["cells"]]
        raise ValueError(
            f"notebook {notebook.name} would be {size / 1000:.0f} kB, of which "
            f"{max(sizes)[0] / 1000:.0f} kB are the output of {max(sizes)[1]}; the limit is "
            f"{SIZE_LIMIT // 1000} kB: show fewer or smaller figures"
        )
    if text == notebook.path.read_text(encoding="utf-8"):
        return False
    with write_whole(notebook.path) as part:
        part.write_text(text, encoding="utf-8")
    return True


@contextmanager
def fresh_folders() -> Iterator[dict[str, str]]:
    """Yield an environment with new, empty folders, for outputs that suit every machine."""
    with TemporaryDirectory() as folder:
        names = {"MEDATTN_RUNS": "runs", "MEDATTN_DATA": "data", "IPYTHONDIR": "ipython"}
        yield os.environ | {variable: f"{folder}/{name}" for variable, name in names.items()}


def code_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the sources of a notebook's code cells, in order."""
    sources = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def normalise(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an executed notebook without what differs from run to run; idempotent."""
    cells, count = [], 0
    for k, cell in enumerate(content["cells"]):
        kept = tags(cell)
        normal = {"cell_type": cell["cell_type"], "id": f"cell-{k:02d}"}
        normal["metadata"] = {"tags": kept} if kept else {}
        if FOLDED & set(kept):
            normal["metadata"]["jupyter"] = {"source_hidden": True}
        normal["source"] = "".join(cell["source"]).splitlines(keepends=True)
        if "attachments" in cell:
            normal["attachments"] = cell["attachments"]
        if cell["cell_type"] == "code":
            count += 1
            normal["execution_count"] = count
            outputs = cell["outputs"] if IGNORED not in kept or ONE_RUN in kept else []
            if ONE_RUN in kept:  # without its progress bar
                outputs = [output for output in outputs if output.get("name") != "stderr"]
            normal["outputs"] = _normal_outputs(outputs, count)
        cells.append(normal)
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    metadata["medattn"] = {"code_hash": code_hash({"cells": cells})}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _normal_outputs(outputs: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    normal: list[dict[str, Any]] = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        output = dict(output)
        if output["output_type"] == "stream":
            text = "".join(output["text"])
            if normal and normal[-1].get("name") == output["name"]:  # one stream, in two pieces
                text = "".join(normal.pop()["text"]) + text
            output["text"] = text.splitlines(keepends=True)
        elif output["output_type"] == "execute_result":
            output["execution_count"] = count
        normal.append(output)
    return normal
