"""The command line: `medattn run`, `refresh`, `data`, `train`, `sweep`, `runs`, `results`, `lab`.

Exit codes: 2 for a mistake of the user's, with one message on stderr; 1 for a notebook or a
training that fails; 130 for Ctrl-C. Each command imports what it needs: without Jupyter, only
`run`, `refresh` and `lab` fail.
"""

import argparse
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import medattn
from medattn import paths

if TYPE_CHECKING:
    import pandas as pd

    from medattn.runner import Notebook


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    parser = _parser()
    args, options = parser.parse_known_args(arguments)
    args.lab_options = options
    if options and args.command is not lab:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` acts as Ctrl-C
    try:
        return args.command(args)
    except KeyboardInterrupt:
        resume = "; the same command resumes after the last finished epoch"
        return _end(130, f"interrupted{resume if args.command in (run, train, sweep) else ''}")
    except BrokenPipeError:  # `medattn runs | head`: nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        return _end(2, str(error))
    except (ArithmeticError, MemoryError) as error:  # a training that diverged, or does not fit
        return _end(1, str(error) or repr(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def run(args: Namespace) -> int:
    """Execute notebooks."""
    from medattn import runner

    if args.all and (args.notebook or args.p or args.paper):
        raise ValueError("--all takes no notebook, -p or --paper: it runs all with their defaults")
    if not args.all and not args.notebook:
        names = ", ".join(notebook.name for notebook in _notebooks([]))
        raise ValueError(f"which notebook? There are {names}; or --all")
    notebooks = _notebooks(args.notebook)
    given = dict(map(_pair, args.p))
    values = {notebook: runner.settings(notebook, given, args.paper) for notebook in notebooks}

    def execute(notebook: "Notebook") -> str:
        target = runner.run(notebook, values[notebook], args.paper)
        both = _relative(target), _relative(target.with_suffix(".html"))
        return "notebook  {}\n  page      {}".format(*both)

    return _for_each(notebooks, execute)


def refresh(args: Namespace) -> int:
    """Execute and normalise the committed notebooks."""
    from medattn import runner

    notebooks = _notebooks(args.notebook)
    for notebook in notebooks:
        runner.read_parameters(notebook)
    with runner.fresh_folders() as environment:
        outcome = {True: "changed", False: "unchanged"}
        return _for_each(notebooks, lambda n: outcome[runner.refresh(n, environment)])


def data(args: Namespace) -> int:
    """List the data sets, or download one."""
    from medattn import datasets

    if args.download:
        print(f"{args.download} is here: {datasets.download(args.download, args.size)}")
        return 0
    if args.size:
        raise ValueError(f"--size needs a set: medattn data --download NAME --size {args.size}")
    table = datasets.catalog()
    print(table.drop(columns=["citation", "get"]).to_string(index=False) + "\n\nSources")
    sources = table["citation"].mask(table["here"] == "yours", "yours: " + table["get"])
    for name, source in zip(table["name"], sources, strict=True):
        print(f"  {name}: {source}")
    download = "To download a set: medattn data --download NAME [--size 224]"
    print(f"\nData folder: {paths.data_folder()}\n{download}")
    return 0


def train(args: Namespace) -> int:
    """Train one recipe."""
    from medattn.training import Recipe, fit

    if not args.recipe.is_file():
        raise ValueError(f"there is no recipe {args.recipe}")
    run = fit(Recipe.from_yaml(args.recipe))
    scores = run.scores
    print(f"test accuracy {scores.accuracy:.4f}, AUC {scores.auc:.4f}; all files in {run.folder}")
    return 0


def sweep(args: Namespace) -> int:
    """Train a table of a paper, or resume it."""
    from medattn import training
    from medattn.papers import tables
    from medattn.training.recipe import read_yaml

    if not args.table:
        for name, table in tables.TABLES.items():
            contents = f"{', '.join(table.datasets)}; {', '.join(table.networks)}"
            print(f"{name:14s} {table.title}: {contents}\n{'':14s}   {', '.join(table.methods)}")
        return 0
    changes = {name: read_yaml(value) for name, value in map(_pair, args.p)}
    parts = args.datasets, args.networks, args.methods, args.seeds
    recipes = tables.table_recipes(args.table, *parts, **changes)
    if args.dry:
        _print_runs(training.list_runs(recipes=recipes))
        return 0
    how = args.workers, args.threads, args.scheduler
    _print_runs(done := training.sweep(recipes, *how, say=partial(print, flush=True)))
    return 0 if (done["state"] == "finished").all() else 1


def runs(args: Namespace) -> int:
    """List the training runs."""
    from medattn.training import list_runs

    _print_runs(list_runs())
    return 0


def results(args: Namespace) -> int:
    """Add finished runs to data/results."""
    from medattn.papers.results import add_results

    lines = [f"added {name}" for name in add_results(args.run)]
    print("\n".join(lines) or f"no finished run in {paths.runs_folder()}")
    return 0


def lab(args: Namespace) -> int:
    """Open JupyterLab on the notebooks, for this machine only and with a token."""
    from medattn.runner.running import require_tools

    require_tools("jupyterlab")
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={paths.ROOT}", "--LabApp.default_url=/lab/tree/notebooks"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers often run as root
    os.execv(sys.executable, [*command, *args.lab_options])


def _print_runs(table: "pd.DataFrame") -> None:
    """Print one line per run, then the number in each state, the work left, and the errors."""
    if not len(table):
        print(f"no runs yet in {paths.runs_folder()}")
        return
    print(table.drop(columns="error").to_string(index=False, na_rep="-"))
    left = table.loc[~table["state"].isin(["finished", "failed"]), "minutes_left"]
    states = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    unknown = f" and {left.isna().sum()} runs of unknown length" if left.isna().any() else ""
    print(f"\n{states}; left: {left.sum() / 60:.1f} h of one worker{unknown}")
    for row in table[table["error"].notna()].itertuples():
        print(f"{row.run}: {row.error}")


def _notebooks(names: list[str]) -> list["Notebook"]:
    """Find notebooks by name; without names, return all."""
    from medattn.runner import all_notebooks, find_notebook

    notebooks = [find_notebook(name) for name in names] or all_notebooks()
    if not notebooks:
        raise ValueError(f"no notebooks in {paths.ROOT / 'notebooks'}: they are in the repository")
    return notebooks


def _for_each(notebooks: list["Notebook"], execute: Callable[["Notebook"], str]) -> int:
    """Execute each notebook, continue after a failure, and report the failures at the end."""
    from medattn.runner import NotebookFailed

    failed = []
    for notebook in notebooks:
        print(notebook.full_name, flush=True)
        began = time.monotonic()
        try:
            result = execute(notebook)
        except NotebookFailed as error:
            failed.append(notebook.name)
            _end(1, str(error))
        else:
            print(f"  {result}\n  done in {time.monotonic() - began:.0f} s", flush=True)
    if len(notebooks) > 1:
        print(f"{len(notebooks) - len(failed)} of {len(notebooks)} notebooks ran to their end")
        if failed:
            _end(1, f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("medattn", description="Spatial attention in medical images.")
    parser.add_argument("--version", action="version", version=medattn.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Callable[[Namespace], int], summary: str) -> Callable[..., argparse.Action]:
        """Add a command; return the function that adds an argument to it."""
        sub = commands.add_parser(command.__name__, help=summary, description=command.__doc__)
        sub.set_defaults(command=command)
        return sub.add_argument

    values = {"action": "append", "default": [], "metavar": "NAME=VALUE"}
    option = add(run, "execute notebooks, to out/, as notebook and HTML page")
    option("notebook", nargs="*", help="04, solutions/04")
    option("--all", action="store_true", help="all notebooks and solutions, with their defaults")
    option("--paper", action="store_true", help="with the settings in notebooks/paper/")
    option("-p", **values, help="a parameter's value")
    option = add(refresh, "execute the committed notebooks and keep what can be compared")
    option("notebook", nargs="*", help="04, solutions/04; default: all")
    option = add(data, "list the data sets, or download one")
    option("--download", metavar="NAME", help="download this data set")
    option("--size", type=int, help="side of its images in pixels (default: 28)")
    option = add(train, "train one recipe, or resume it")
    option("recipe", type=Path, metavar="RECIPE.yaml")
    option = add(sweep, "train a table of a paper on every core, or on a cluster")
    option("table", nargs="?", help="such as table2 or global-table2; without: list them all")
    listed = {"type": lambda text: [part.strip() for part in text.split(",")], "metavar": "A,B"}
    for name, of in (("datasets", "instead of"), ("networks", "instead of"), ("methods", "of")):
        option(f"--{name}", **listed, help=f"these {name}, {of} the table's")
    option("--seeds", type=int, default=1, help="runs per recipe: seeds 0, 1, ... (default: 1)")
    option("-p", **values, help="a recipe's field, such as epochs=30")
    option("--workers", type=int, help="processes at a time (default: all cores; 4 per GPU)")
    option("--threads", type=int, default=1, help="threads per process (default: 1)")
    option("--scheduler", metavar="ADDRESS", help="train on a Dask cluster: tcp://host:8786")
    option("--dry", action="store_true", help="train nothing; list the runs and what is left")
    add(runs, "list the training runs")
    option = add(results, "add finished runs to data/results")
    option("action", choices=["add"], help="add finished runs")
    option("run", nargs="*", metavar="RUN", help="these runs; default: all that are finished")
    add(lab, "open JupyterLab here, with its own options (--no-browser, --port=9999)")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"-p {text}: write -p name=value")
    return name.strip(), value


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _end(code: int, message: str) -> int:
    print(f"medattn: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
