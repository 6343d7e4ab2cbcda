"""Run a notebook from its first cell to its last, under limits, and say plainly what came of it.

A run is finished when papermill says so *and* the last code cell shows a result: after a killed kernel its
metadata still calls every cell completed. One run in 200 with widgets stalled for ever (nbclient#312) until
`execute.look_after_sending`; should one stall all the same, a run with the default parameters has a limit and is
tried twice.
"""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from medattn.notebooks import execute
from medattn.notebooks.folder import Notebook
from medattn.notebooks.parameters import choose, read_parameters
from medattn.paths import write_whole

CELL_LIMIT, TOTAL_LIMIT = 600.0, 1200.0  # seconds, of a run with the default parameters
INJECTED = "injected-parameters"  # papermill's own tag for the cell that holds a run's values


class NotebookFailed(RuntimeError):
    """A notebook did not come to its end; the message says where, why, and what is left of it."""


def settings(notebook: Notebook, given: Mapping[str, str], paper: bool = False) -> dict[str, Any]:
    """Give the values of a run that differ from the defaults: the paper's, then those of `-p`, checked.

    Raises ValueError on a name or type the notebook does not have, or where there are no paper settings.
    """
    parameters = read_parameters(notebook)
    values = {}
    if paper:
        file = notebook.paper_settings
        if not file.is_file():
            raise ValueError(f"notebook {notebook.name} has no paper settings: there is no {_short(notebook, file)}")
        try:
            wanted = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{_short(notebook, file)} is not YAML: {error}") from error
        if not isinstance(wanted, dict):
            raise ValueError(f"{_short(notebook, file)} is not a list of `name: value`")
        values = choose(parameters, wanted, _short(notebook, file))
    return values | choose(parameters, given, f"notebook {notebook.name}")


def run(
    notebook: Notebook,
    values: Mapping[str, Any] | None = None,
    paper: bool = False,
    environment: Mapping[str, str] | None = None,
    cell_limit: float = CELL_LIMIT,
    total_limit: float = TOTAL_LIMIT,
) -> Path:
    """Execute a notebook with `values` in place of the defaults; give the place of the executed one.

    The HTML page lies beside it. The limits, in seconds, hold where `values` is empty; other runs take the
    time they take. Raises NotebookFailed when a cell fails, the kernel dies, time is up twice, or the last
    cell has no result, and ValueError when the tools for notebooks are not installed.
    """
    require_tools("papermill", "nbconvert", "ipykernel")
    target = notebook.output(paper)
    target.parent.mkdir(parents=True, exist_ok=True)
    page = target.with_suffix(".html")
    limits = (0.0, None) if values or paper else (cell_limit, total_limit)
    with TemporaryDirectory() as folder:
        source = Path(folder) / notebook.path.name
        source.write_text(json.dumps(with_values(notebook.read(), values or {})), encoding="utf-8")
        for attempt in (1, 2):
            target.unlink(missing_ok=True)
            page.unlink(missing_ok=True)
            began = time.monotonic()
            code = _execute(source, target, notebook.path.parent, *limits, environment)
            if code != execute.TIMED_OUT:
                break
            if attempt == 1:
                took = time.monotonic() - began
                print(f"  no end after {took:.0f} s; once more", file=sys.stderr, flush=True)
    problem = _problem(code, target)
    if problem:
        kept = f"; the notebook up to there: {_short(notebook, target)}" if target.exists() else ""
        raise NotebookFailed(f"{notebook.full_name} {problem}{kept}")
    write_page(target, page)
    return target


def _from_anywhere(environment: Mapping[str, str]) -> dict[str, str]:
    """Make the folders that MEDATTN_... name absolute: the notebook runs in another folder than the command."""
    folders = {
        name: os.path.abspath(path) for name, path in environment.items() if name.startswith("MEDATTN_") and path
    }
    return {**environment, **folders}


def with_values(content: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the notebook with a cell of values after its parameters cell; without values, as it is."""
    if not values:
        return content
    source = "\n".join(["# Values of this run", *(f"{name} = {value!r}" for name, value in values.items())])
    cell = {"cell_type": "code", "id": INJECTED, "metadata": {"tags": [INJECTED]}, "source": source}
    cell |= {"execution_count": None, "outputs": []}
    at = next(k for k, c in enumerate(content["cells"]) if "parameters" in c["metadata"].get("tags", []))
    return content | {"cells": [*content["cells"][: at + 1], cell, *content["cells"][at + 1 :]]}


def write_page(notebook: Path, page: Path) -> None:
    """Write an executed notebook as an HTML page; links between notebooks become links between pages."""
    from nbconvert import HTMLExporter

    quiet = logging.getLogger("medattn.nbconvert")
    quiet.setLevel(logging.ERROR)  # it warns of pictures without alternative text; captions stand beside ours
    body, _ = HTMLExporter(log=quiet).from_filename(str(notebook))
    with write_whole(page) as part:
        part.write_text(re.sub(r'(<a href="[^":#]+)\.ipynb(["#])', r"\1.html\2", body), encoding="utf-8")


def require_tools(*names: str) -> None:
    """Raise ValueError unless these packages of the extra `notebooks` are installed."""
    for tool in names:
        try:
            found = find_spec(tool)
        except ImportError:
            found = None
        if not found:
            raise ValueError(f"this needs {tool}: pip install 'medattn[notebooks]'")


def _execute(
    source: Path,
    target: Path,
    folder: Path,
    cell_limit: float,
    total_limit: float | None,
    environment: Mapping[str, str] | None,
) -> int:
    words = [*execute.COMMAND, str(source), str(target), str(folder), str(cell_limit)]
    environment = _from_anywhere(environment or os.environ)
    process = subprocess.Popen(words, start_new_session=True, env=environment)  # Ctrl-C reaches us alone
    try:
        return process.wait(total_limit)
    except subprocess.TimeoutExpired:
        return execute.TIMED_OUT
    finally:
        _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """Kill papermill, its kernel (which has a session of its own), and all that the kernel started."""
    import psutil

    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    for each in [process, *below]:
        try:
            each.kill()
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    process.wait()
    psutil.wait_procs(below, timeout=10)
    print(file=sys.stderr)  # ends the line of the progress bar


def _problem(code: int, target: Path) -> str | None:
    """Say what went wrong, or None."""
    cells = _cells(target)
    begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    cell = next((c for c in reversed(begun) if c["cell_type"] == "code"), None)
    place = f"in cell {cells.index(cell) + 1} of {len(cells)}" if cell else "before its first cell"
    if cell and cell["execution_count"]:
        place += f", In [{cell['execution_count']}]"
    if code == execute.TIMED_OUT:
        return f"did not end within its time; it stood {place}"
    if code == execute.DIED:
        return f"lost its kernel {place} (killed, or out of memory)"
    error = next((o for o in (cell or {"outputs": []})["outputs"] if o["output_type"] == "error"), None)
    if code == execute.FAILED and error:
        return f"failed {place}: {error['ename']}: {error['evalue']}"
    if code != execute.FINISHED:
        return f"was not executed (exit code {code}, see above); it stood {place}"
    last = [c for c in cells if c["cell_type"] == "code"][-1]
    if last["execution_count"] is None or not any(_shows(output) for output in last["outputs"]):
        return "came to its end without a result: its last code cell shows nothing"
    return None


def _cells(target: Path) -> list[dict[str, Any]]:
    """Read the cells of an executed notebook, without those that papermill and we put in."""
    try:
        cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):  # not begun, or killed while writing
        return []
    added = {INJECTED, "papermill-error-cell-tag"}
    return [cell for cell in cells if not added & set(cell["metadata"].get("tags", []))]


def _shows(output: dict[str, Any]) -> bool:
    if output["output_type"] == "stream":
        return bool("".join(output["text"]).strip())
    return output["output_type"] != "error" and bool(output["data"])


def _short(notebook: Notebook, path: Path) -> str:
    return path.relative_to(notebook.root).as_posix()
