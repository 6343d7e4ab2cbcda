"""Many runs: their table, and a sweep that trains them on this machine or on a Dask cluster.

The run folders are the only state. A finished run is never repeated, an interrupted one resumes,
and a run that another process trains is left to it. Any number of sweeps, on any number of
machines, can share one `MEDATTN_RUNS`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from medattn.paths import Busy, write_whole
from medattn.training.fitting import best_device, train_unless_finished
from medattn.training.recipe import Recipe
from medattn.training.run import Run, every_run

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("dataset", "size", "network", "attention", "weight_map", "seed")
COLUMNS = ["run", *FIELDS, "epochs", "state", "minutes_left", "accuracy", "auc", "error"]
RUNS_PER_GPU = 4
BUSY_SECONDS = 5.0  # between two looks at runs that other processes train


def list_runs(
    runs: str | Path | None = None, recipes: Iterable[Recipe] | None = None
) -> "pd.DataFrame":
    """Return a table with one row per run of a folder, or per recipe: state, scores, minutes left.

    The minutes are estimated from the run itself, or else from those of equal data and network.
    """
    import pandas as pd

    listed = every_run(runs) if recipes is None else [Run.of(recipe, runs) for recipe in recipes]
    table = pd.DataFrame([_row(run) for run in listed], columns=[*COLUMNS, "epochs_left"])
    similar = table.groupby(["dataset", "size", "network"])["minutes_left"].transform("median")
    table["minutes_left"] = (table["minutes_left"].fillna(similar) * table["epochs_left"]).round(1)
    return table[COLUMNS]


def _row(run: Run) -> dict[str, Any]:
    """Return a run's row, in which `minutes_left` is still that of one epoch."""
    row = {"run": run.folder.name} | {name: getattr(run.recipe, name) for name in FIELDS}
    try:
        seconds, result = run.seconds, run.result if run.finished else {}
        row |= {"state": run.state, "error": run.failure}
        row |= {name: result.get(name, np.nan) for name in ("accuracy", "auc")}
    except ValueError as error:  # a damaged file hides no other run
        seconds, row = [], row | {"state": "damaged", "error": str(error)}
    done, epochs = len(seconds), run.recipe.epochs
    row |= {"epochs": f"{done}/{epochs}", "epochs_left": epochs - done}
    return row | {"minutes_left": np.median(seconds[-10:]) / 60 if seconds else np.nan}


def queue(recipes: Iterable[Recipe], runs: str | Path | None = None) -> None:
    """Write the recipes of runs that have not begun, so that `list_runs` shows them as waiting."""
    for recipe in recipes:
        path = Run.of(recipe, runs).folder / "recipe.yaml"
        if not path.exists():
            with write_whole(path) as part:
                part.write_text(recipe.to_yaml())


def sweep(
    recipes: Sequence[Recipe],
    workers: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
    runs: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> "pd.DataFrame":
    """Train every recipe that is not finished; return the table of `list_runs`.

    On this machine: `workers` processes of `threads` threads. By default there is one process per
    `threads` cores, or four per GPU. With `scheduler`, the address of a Dask scheduler such as
    "tcp://host:8786", all its workers train, each on its fastest device. They must see the same
    code, data and runs folders. The number of threads affects a run's last bits, so it is explicit.
    A failed run is reported and left out. A killed worker costs the epochs that it was training.
    """
    import joblib

    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be 1 or more")
    if workers is not None and scheduler is not None:
        raise ValueError(f"workers={workers} is for this machine, and not for {scheduler}")
    gpus = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    devices = [None] if scheduler else gpus or [best_device().type]
    if workers is None:
        per_core = max(joblib.cpu_count() // threads, 1)
        workers = per_core if devices == ["cpu"] else RUNS_PER_GPU * len(devices)
    all_runs = {recipe.run_id: Run.of(recipe, runs) for recipe in recipes}
    failed: set[str] = set()
    epochs_at_death = None
    with _engine(workers, threads, scheduler) as (worker_died, n_jobs):
        queue(recipes, runs)
        while left := [r for i, r in all_runs.items() if i not in failed and not r.finished]:
            train = joblib.delayed(_train)
            jobs = [train(run, devices[k % len(devices)], threads) for k, run in enumerate(left)]
            all_busy = True
            parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1)
            try:
                for run_id, outcome in parallel(jobs):
                    if outcome == "busy":
                        continue
                    all_busy = False
                    if outcome.startswith("failed"):
                        failed.add(run_id)
                    done = sum(run.finished for run in all_runs.values())
                    say(f"{done} of {len(all_runs)} finished; {run_id}: {outcome}")
            except worker_died as error:
                epochs = sum(len(run.seconds) for run in all_runs.values())
                if epochs == epochs_at_death:
                    say(f"stopped with {len(left)} runs left: workers die within an epoch: {error}")
                    break
                epochs_at_death = epochs
                say("a worker was killed; its run resumes after its last finished epoch")
            else:
                if all_busy:
                    time.sleep(BUSY_SECONDS)
    return list_runs(runs, [run.recipe for run in all_runs.values()])


def _train(run: Run, device: str | None, threads: int) -> tuple[str, str]:
    """Train a run in a worker; return its id, and "busy", "finished ..." or "failed, ..."."""
    run_id, before = run.recipe.run_id, torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = train_unless_finished(run, device, progress=False, wait=False)
    except Busy:
        return run_id, "busy"
    except Exception as error:  # whatever it is, the other runs continue
        return run_id, f"failed, {type(error).__name__}: {error}"
    finally:  # a single worker is the caller's own process
        torch.set_num_threads(before)
    return run_id, "finished" if ours else "finished elsewhere"


@contextmanager
def _engine(
    workers: int, threads: int, scheduler: str | None
) -> Iterator[tuple[type[Exception], int]]:
    """Choose joblib's backend; yield the error that it raises for a dead worker, and its n_jobs."""
    import joblib

    if scheduler is None:
        from joblib.externals.loky import get_reusable_executor

        ended = False
        try:
            with joblib.parallel_config("loky", inner_max_num_threads=threads):
                yield BrokenExecutor, workers
            ended = True
        finally:  # otherwise idle workers keep their memory, and may block the next sweep
            get_reusable_executor(reuse=True).shutdown(kill_workers=not ended)
        return
    try:
        from distributed import Client, KilledWorker
    except ModuleNotFoundError as error:
        raise ValueError("scheduler= needs Dask: pip install 'medattn[cluster]'") from error
    with Client(scheduler) as client, joblib.parallel_config("dask", client=client):
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if worker["nthreads"] != 1:  # torch's seed belongs to the process
                tasks = f"worker {address} runs {worker['nthreads']} tasks at once"
                raise ValueError(f"{tasks}: start it by dask worker --nthreads 1")
        yield KilledWorker, -1
