"""Run a notebook from its first cell to its last, under a time limit, and report how it ended.

A run is finished when papermill says so and the last code cell shows a result; after a killed
kernel, papermill's metadata still calls every cell completed. A run with the defaults is tried
twice: a cell with widgets may stall (nbclient issue 312), despite `execute.poll_after_send`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medattn.runner import execute
from medattn.runner.notebook import Notebook, tags
from medattn.runner.page import write_page

LIMIT = 1200.0  # seconds, of a run with the default parameters


class NotebookFailed(RuntimeError):
    """A notebook did not come to its end. The message says where, why, and what was kept."""


def run(
    notebook: Notebook,
    values: Mapping[str, Any] | None = None,
    paper: bool = False,
    environment: Mapping[str, str] | None = None,
    limit: float | None = LIMIT,
) -> Path:
    """Execute a notebook, write it to `out/` with an HTML page beside it, and return its path.

    values: replace the defaults of parameters. paper: use the output path of a paper run.
    limit: seconds; it holds only for a run with the defaults.
    Raises NotebookFailed if the run does not finish, and ValueError without the notebook tools.
    """
    require_tools("papermill", "nbconvert", "ipykernel")
    target = notebook.output(paper)
    page = target.with_suffix(".html")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    page.unlink(missing_ok=True)
    seconds = None if values or paper else limit
    variables = environment or os.environ
    with TemporaryDirectory() as folder:
        source = Path(folder) / notebook.path.name
        source.write_text(json.dumps(_with_values(notebook.read(), values or {})), encoding="utf-8")
        command = [*execute.COMMAND, str(source), str(target), str(notebook.path.parent)]
        code = _execute(command, seconds, variables)
        if code is None:
            print("  no end within its time; once more", file=sys.stderr, flush=True)
            code = _execute(command, seconds, variables)
    problem = _problem(code, target)
    if problem:
        kept = f"; what ran is in {target.relative_to(notebook.root)}" if target.exists() else ""
        raise NotebookFailed(f"{notebook.full_name} {problem}{kept}")
    write_page(target, page, notebook.path.parent)
    return target


def _with_values(content: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Append values to the parameters cell."""
    lines = "".join(f"\n{name} = {value!r}" for name, value in values.items())
    for cell in content["cells"]:
        if lines and "parameters" in tags(cell):
            cell["source"] = "".join(cell["source"]) + f"\n\n# values of this run{lines}"
    return content


def require_tools(*names: str) -> None:
    """Raise ValueError unless these packages of the extra `notebooks` are installed."""
    for name in names:
        with suppress(ImportError):
            if find_spec(name):
                continue
        raise ValueError(f"this needs {name}: pip install 'medattn[notebooks]'")


def _execute(command: list[str], limit: float | None, environment: Mapping[str, str]) -> int | None:
    """Run a command for at most `limit` seconds; return its exit code, or None if time is up."""
    variables = dict(environment)
    for name, path in environment.items():
        if name.startswith("MEDATTN_") and path:
            variables[name] = os.path.abspath(path)  # the notebook runs in another folder
    # a session of its own: Ctrl-C reaches this process alone
    process = subprocess.Popen(command, start_new_session=True, env=variables)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """Kill papermill, its kernel (which has its own session) and all that the kernel started."""
    import psutil

    children = psutil.Process(process.pid).children(recursive=True)
    for running in [process, *children]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            running.kill()
    process.wait()
    psutil.wait_procs(children, timeout=10)
    print(file=sys.stderr)  # ends the line of the progress bar


def _problem(code: int | None, target: Path) -> str | None:
    """Return what went wrong and in which cell, or None."""
    try:
        cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):  # no cell ran, or the process was killed while writing
        cells = []
    cells = [cell for cell in cells if "papermill-error-cell-tag" not in tags(cell)]
    code_cells = [cell for cell in cells if cell["cell_type"] == "code"]
    started = [c for c in code_cells if c["metadata"].get("papermill", {}).get("start_time")]
    place = "before its first cell"
    if started:
        number = started[-1]["execution_count"] or "*"
        place = f"in cell {cells.index(started[-1]) + 1} of {len(cells)}, In [{number}]"
    if code is None:
        return f"did not end within its time; it stopped {place}"
    if code == execute.DIED:
        return f"lost its kernel {place} (killed, or out of memory)"
    errors = [o for cell in started for o in cell["outputs"] if o["output_type"] == "error"]
    if code == execute.FAILED and errors:
        return f"failed {place}: {errors[-1]['ename']}: {errors[-1]['evalue']}"
    if code != execute.FINISHED:
        return f"was not executed (exit code {code}, see above); it stopped {place}"
    shown = [output.get("text") or output.get("data") for output in code_cells[-1]["outputs"]]
    if code_cells[-1]["execution_count"] is None or not any(shown):
        return "came to its end without a result: its last code cell shows nothing"
    return None
