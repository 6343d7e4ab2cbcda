"""The command line: `medattn run`, `refresh`, `data`, `train`, `sweep`, `runs`, `lab`.

A mistake of the user's ends with one message on stderr and exit code 2; a notebook or a training that does
not come to its end with 1; Ctrl-C with 130. What a command needs is imported inside it: without Jupyter, all
but `run`, `refresh` and `lab` work.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from medattn import __version__, paths

GO_ON = "the training runs' finished epochs are kept: the same command goes on from there"


def main(words: list[str] | None = None) -> int:
    """Carry out one command; give the exit code."""
    parser = _parser()
    asked, further = parser.parse_known_args(words)
    if further and asked.command is not lab:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    asked.further = further
    before = signal.signal(signal.SIGTERM, _interrupt)  # a polite kill also takes a notebook's kernel along
    try:
        return asked.command(asked)
    except KeyboardInterrupt:
        return _end(130, f"interrupted; {GO_ON}" if asked.command in (run, train, sweep) else "interrupted")
    except BrokenPipeError:  # `medattn runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is flushed into it
        return 0
    except (ValueError, OSError) as error:
        return _end(2, str(error))
    except (ArithmeticError, MemoryError) as error:  # a training that diverged, or does not fit
        return _end(1, str(error) or repr(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def run(asked: argparse.Namespace) -> int:
    """Execute notebooks."""
    from medattn import notebooks

    if asked.all and (asked.notebook or asked.p or asked.paper):
        raise ValueError("--all runs every notebook with its defaults; name a notebook for -p and --paper")
    if not asked.all and not asked.notebook:
        raise ValueError(f"which notebook? There are {_names()}; or --all")
    chosen = _notebooks([] if asked.all else asked.notebook)
    given = dict(_pair(text) for text in asked.p)
    values = {n: notebooks.settings(n, given, asked.paper) for n in chosen}  # all, before the first runs

    def one(notebook: notebooks.Notebook) -> str:
        target = notebooks.run(notebook, values[notebook], asked.paper)
        return f"notebook  {_place(target)}\n  page      {_place(target.with_suffix('.html'))}"

    return _each(chosen, one)


def refresh(asked: argparse.Namespace) -> int:
    """Execute and normalise the committed notebooks."""
    from medattn import notebooks

    chosen = _notebooks(asked.notebook)
    for notebook in chosen:
        notebooks.read_parameters(notebook)
    with notebooks.fresh_folders() as environment:
        return _each(chosen, lambda n: "changed" if notebooks.refresh(n, environment) else "as it was")


def data(asked: argparse.Namespace) -> int:
    """List the data sets, or get one."""
    from medattn import datasets
    from medattn.datasets import cifar, medmnist

    if asked.download:
        if asked.download in datasets.DATASETS and asked.download not in (*medmnist.NAMES, *cifar.SETS):
            raise ValueError(f"{asked.download} is not downloaded: {datasets.DATASETS[asked.download].get}")
        if asked.size and asked.download in cifar.SETS:
            raise ValueError(f"--size {asked.size}: {asked.download} has one size; leave --size out")
        print(f"{asked.download} is here: {datasets.download(asked.download, asked.size or 28)}")
        return 0
    if asked.size:
        raise ValueError(f"--size {asked.size} needs a set: medattn data --download NAME --size {asked.size}")
    table = datasets.catalog()
    print(table.drop(columns=["citation", "get"]).to_string(index=False))
    print("\nWhere they come from")
    sources = table["citation"].mask(table["here"] == "yours", "yours: " + table["get"])
    for name, source in zip(table["name"], sources, strict=True):
        print(f"  {name}: {source}")
    print(f"\nData folder: {paths.data_folder()}. To get a set: medattn data --download NAME [--size 224]")
    return 0


def train(asked: argparse.Namespace) -> int:
    """Train one recipe."""
    from medattn.training import Recipe, fit

    if not asked.recipe.is_file():
        raise ValueError(f"there is no recipe {asked.recipe}")
    done = fit(Recipe.from_yaml(asked.recipe))
    print(f"test accuracy {done.scores.accuracy:.4f}, AUC {done.scores.auc:.4f}; all of it in {done.folder}")
    return 0


def sweep(asked: argparse.Namespace) -> int:
    """Train a table of a paper, or go on with it."""
    from medattn import training
    from medattn.training.recipe import read_yaml

    if not asked.table:
        for name, table in training.TABLES.items():
            print(f"{name:14s} {table.says}: {', '.join(table.datasets)}; {', '.join(table.networks)}")
            print(f"{'':14s}   {', '.join(table.methods)}")
        return 0
    changes = {name: read_yaml(value) for name, value in map(_pair, asked.p)}
    recipes = training.table_recipes(asked.table, asked.datasets, asked.networks, asked.methods, asked.seeds, **changes)
    if asked.dry:
        table = training.list_runs(recipes=recipes)
    else:
        say = partial(print, flush=True)
        table = training.sweep(recipes, asked.workers, asked.threads, asked.scheduler, say=say)
    _print_runs(table)
    return 0 if asked.dry or (table["state"] == "finished").all() else 1


def runs(asked: argparse.Namespace) -> int:
    """List the training runs, or record finished ones."""
    from medattn.training import list_runs
    from medattn.training.recorded import record_named

    if asked.action == "record":
        recorded = record_named(asked.run)
        print("\n".join(f"recorded {name}" for name in recorded) or f"no finished run in {paths.runs_folder()}")
        return 0
    _print_runs(list_runs())
    return 0


def _print_runs(table) -> None:
    """Print runs, a line each; then how many there are of each state, the work left, and what failed."""
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


def lab(asked: argparse.Namespace) -> int:
    """Open JupyterLab on the notebooks, for this machine only and with a token."""
    from medattn.notebooks.running import require_tools

    require_tools("jupyterlab")
    words = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--ServerApp.root_dir={paths.ROOT}"]
    words.append("--LabApp.default_url=/lab/tree/notebooks")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")  # in a container everybody is root
    os.execv(sys.executable, [*words, *asked.further])


def _notebooks(names: list[str]) -> list:
    """Find notebooks by name; without names, all."""
    from medattn.notebooks import all_notebooks, find_notebook

    found = [find_notebook(name) for name in names] or all_notebooks()
    if not found:
        raise ValueError(f"there are no notebooks in {paths.ROOT / 'notebooks'}: they are in the repository")
    return found


def _each(chosen: list, one: Callable) -> int:
    """Do one thing to each notebook, go on after a failure, and say at the end which failed."""
    from medattn.notebooks import NotebookFailed

    failed = []
    for notebook in chosen:
        print(notebook.full_name, flush=True)
        began = time.monotonic()
        try:
            result = one(notebook)
        except NotebookFailed as error:
            failed.append(notebook.name)
            print(f"medattn: {error}", file=sys.stderr, flush=True)
        else:
            print(f"  {result}\n  done in {time.monotonic() - began:.0f} s", flush=True)
    if len(chosen) > 1:
        print(f"{len(chosen) - len(failed)} of {len(chosen)} notebooks came to their end")
    return _end(1, f"failed: {', '.join(failed)}") if failed and len(chosen) > 1 else int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="medattn", description="Spatial attention in medical images.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], says: str) -> argparse.ArgumentParser:
        added = commands.add_parser(function.__name__, help=says, description=function.__doc__)
        added.set_defaults(command=function)
        return added

    words = command(run, "execute notebooks, to out/, as notebook and HTML page")
    words.add_argument("notebook", nargs="*", help="04, solutions/04")
    words.add_argument("--all", action="store_true", help="all notebooks and solutions, with their defaults")
    settings = "with the paper's settings, or those of our recorded runs (notebooks/paper/)"
    words.add_argument("--paper", action="store_true", help=settings)
    words.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="a parameter's value")
    words = command(refresh, "execute the committed notebooks and keep what can be compared")
    words.add_argument("notebook", nargs="*", help="04, solutions/04; without: all")
    words = command(data, "list the data sets, or download one")
    words.add_argument("--download", metavar="NAME", help="get this data set")
    words.add_argument("--size", type=int, help="its images' side in pixels (default: 28)")
    words = command(train, "train one recipe, or go on with it")
    words.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    words = command(sweep, "train a table of a paper on every core, or on a cluster")
    words.add_argument("table", nargs="?", help="table1 ... table6, global-table2, global-fig7; without: what they are")
    instead = "instead of the table's"
    for name, what in (("datasets", instead), ("networks", instead), ("methods", "of the table's")):
        words.add_argument(f"--{name}", type=_list, metavar="A,B", help=f"these {name}, {what}")
    words.add_argument(
        "--seeds", type=int, default=1, help="how many runs of each recipe: seeds 0, 1, ... (default: 1)"
    )
    words.add_argument("-p", action="append", default=[], metavar="FIELD=VALUE", help="a recipe's field: epochs=30")
    words.add_argument("--workers", type=int, help="processes at a time (default: all cores; 4 a GPU)")
    words.add_argument("--threads", type=int, default=1, help="threads of each (default: 1)")
    words.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler whose workers do it: tcp://host:8786")
    words.add_argument("--dry", action="store_true", help="train nothing; list the runs and what is left to do")
    words = command(runs, "list the training runs, or record finished ones")
    words.add_argument("action", nargs="?", choices=["record"], help="add finished runs to data/results")
    words.add_argument("run", nargs="*", metavar="RUN", help="these runs; without names: all that are finished")
    command(lab, "open JupyterLab here; further options go to it (--no-browser, --port=9999)")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"-p {text}: write -p name=value")
    return name.strip(), value


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _names() -> str:
    from medattn.notebooks import all_notebooks

    return ", ".join(notebook.name for notebook in all_notebooks()) or f"none in {paths.ROOT / 'notebooks'}"


def _place(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _interrupt(*_) -> None:
    raise KeyboardInterrupt


def _end(code: int, message: str) -> int:
    print(f"medattn: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
