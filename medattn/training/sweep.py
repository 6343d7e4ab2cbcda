"""Many runs: side by side on this machine, or on the workers of a Dask scheduler; joblib is the engine.

The run folders are the only state. A finished run is never repeated, an interrupted one goes on, and one that another
process trains is left to it: any number of sweeps, on any number of machines, can share one `MEDATTN_RUNS`.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path

import joblib
import pandas as pd
import torch
from joblib.externals.loky import get_reusable_executor

from medattn.paths import Busy
from medattn.training.fit import best_device, train_unless_finished
from medattn.training.listing import list_runs, queue
from medattn.training.recipe import Recipe
from medattn.training.runs import Run

RUNS_A_GPU = 4
BUSY_SECONDS = 5.0  # until runs that others hold are asked for again


def sweep(
    recipes: Sequence[Recipe],
    workers: int | None = None,
    threads: int = 1,
    scheduler: str | None = None,
    runs: Path | None = None,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train every recipe that is not finished; give the table of all, as `list_runs` does.

    Here it takes `workers` processes of `threads` threads (default: as many as there are cores; four a GPU); with
    `scheduler`, the address of a Dask scheduler such as "tcp://host:8786", all of its workers, each on the fastest
    device that it has, which must see the same code, data and runs folders. The number of threads decides a run's last
    bits, so it is said and not found out.
    A failed run is told and left out while the others go on; a killed worker costs the epochs it was in.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be 1 or more")
    if workers is not None and scheduler is not None:
        raise ValueError(f"workers={workers} is for this machine; the workers of {scheduler} are started beside it")
    recipes = list({recipe.run_id: recipe for recipe in recipes}.values())
    devices = _devices() if scheduler is None else [None]
    workers = workers or (max(_cores() // threads, 1) if devices == ["cpu"] else RUNS_A_GPU * len(devices))
    given_up: set[str] = set()
    epochs_at_death = None
    with _engine(workers, threads, scheduler) as (died, many):
        queue(recipes, runs)
        while left := [r for r in recipes if not Run.of(r, runs).finished and r.run_id not in given_up]:
            jobs = [
                joblib.delayed(_train)(recipe, devices[k % len(devices)], threads, runs)
                for k, recipe in enumerate(left)
            ]
            free = 0
            try:
                for run_id, state in joblib.Parallel(many, return_as="generator_unordered", batch_size=1)(jobs):
                    free += state != "busy"
                    if state.startswith("failed"):
                        given_up.add(run_id)
                    if state != "busy":
                        done = sum(Run.of(recipe, runs).finished for recipe in recipes)
                        say(f"{done} of {len(recipes)} finished; {run_id}: {state}")
            except died as error:
                epochs = sum(Run.of(recipe, runs).epochs_done for recipe in recipes)
                if epochs == epochs_at_death:
                    say(f"given up: with {len(left)} runs left, workers were killed without an epoch between: {error}")
                    break
                epochs_at_death = epochs
                say("a worker was killed; its run goes on after its last finished epoch")
            else:
                if not free:
                    time.sleep(BUSY_SECONDS)
    return list_runs(runs, recipes)


def _train(recipe: Recipe, device: str | None, threads: int, runs: Path | None) -> tuple[str, str]:
    before = torch.get_num_threads()  # a single worker is the caller's own process
    torch.set_num_threads(threads)
    try:
        here = train_unless_finished(Run.of(recipe, runs), device, progress=False, wait=False)
    except Busy:
        return recipe.run_id, "busy"
    except Exception as error:  # of whatever kind, the other runs go on
        return recipe.run_id, f"failed, {type(error).__name__}: {error}"
    finally:
        torch.set_num_threads(before)
    return recipe.run_id, "finished" if here else "finished elsewhere"


@contextmanager
def _engine(workers: int, threads: int, scheduler: str | None) -> Iterator[tuple[type[Exception], int]]:
    """Choose joblib's engine; give the error by which it says that a worker died, and joblib's n_jobs."""
    if scheduler is None:
        ended = False
        try:
            with joblib.parallel_config("loky", inner_max_num_threads=threads):
                yield BrokenExecutor, workers
            ended = True
        finally:  # else workers keep their memory for minutes, and a sweep of another size may wait for one that ended
            get_reusable_executor(reuse=True).shutdown(kill_workers=not ended)
        return
    try:
        from distributed import Client, KilledWorker
    except ModuleNotFoundError as error:
        raise ValueError("scheduler= needs Dask: pip install 'medattn[cluster]'") from error
    with Client(scheduler) as client, joblib.parallel_config("dask", client=client):
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if worker["nthreads"] != 1:  # torch's seed belongs to the process
                raise ValueError(f"worker {address} runs {worker['nthreads']} tasks at once: dask worker --nthreads 1")
        yield KilledWorker, -1


def _devices() -> list[str]:
    best = best_device().type
    return [f"cuda:{k}" for k in range(torch.cuda.device_count())] if best == "cuda" else [best]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
