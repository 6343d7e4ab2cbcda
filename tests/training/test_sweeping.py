"""Many runs: none is doubled or lost, whatever is killed; here and under a Dask scheduler."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from short_runs import OWN_NETWORK

from medattn.paths import Busy, locked
from medattn.training import Recipe, Run, fit, list_runs, sweep
from medattn.training.sweeping import _train, queue

FEW = {"n_train": 48, "n_val": 16, "n_test": 16}
SHORT = Recipe(network="timm:test_resnet", dataset_options=FEW, epochs=2, batch_size=16)
LONG = SHORT.replace(epochs=10)
IN_A_PROCESS = """
import pathlib, sys
from medattn.training import Recipe, sweep
if __name__ == "__main__":
    recipes = [Recipe.from_yaml(text) for text in sys.argv[2].split("---")]
    say = lambda text: print(text, flush=True)
    sweep(recipes, workers=int(sys.argv[3]), runs=pathlib.Path(sys.argv[1]), say=say)
"""


@contextmanager
def started(recipes, runs, workers=2):
    """A sweep in a process of its own, which is gone at the end with all that it began."""
    told = "---".join(recipe.to_yaml() for recipe in recipes)
    words = [sys.executable, "-c", IN_A_PROCESS, str(runs), told, str(workers)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def own_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def until(condition, seconds=180):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def under_way(runs):
    """The runs that have finished an epoch or more, and are not finished."""
    return [
        r
        for r in (Run.of(s, runs) for s in (LONG, LONG.replace(seed=1)))
        if r.seconds and not r.finished
    ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    runs = tmp_path_factory.mktemp("unbroken")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a sweep
    for seed in (0, 1):
        fit(LONG.replace(seed=seed), "cpu", progress=False, runs=runs)
    torch.set_num_threads(threads)
    return runs


def assert_as_unbroken(runs, unbroken):
    for recipe in (LONG, LONG.replace(seed=1)):
        ours, theirs = Run.of(recipe, runs), Run.of(recipe, unbroken)
        assert ours.predictions.equals(theirs.predictions)
        columns = [name for name in theirs.history if name != "seconds"]
        pd.testing.assert_frame_equal(ours.history[columns], theirs.history[columns])


def test_failed_run_does_not_stop_the_others(tmp_path):
    absent = SHORT.replace(dataset="npz:nowhere.npz", dataset_options={})
    said = []
    table = sweep([absent, SHORT, SHORT], workers=2, runs=tmp_path, say=said.append)
    left = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not any("popen_loky" in words for words in left), "no worker outlives its sweep"
    assert table["state"].tolist() == ["failed", "finished"]
    assert "FileNotFoundError" in table["error"][0] and "nowhere.npz" in table["error"][0]
    assert any("1 of 2 finished" in line for line in said)
    written = (Run.of(SHORT, tmp_path).folder / "result.json").stat().st_mtime_ns
    sweep([SHORT], workers=1, runs=tmp_path, say=said.append)
    assert (Run.of(SHORT, tmp_path).folder / "result.json").stat().st_mtime_ns == written


def test_own_network_trains_in_worker_processes(tmp_path, monkeypatch):
    (tmp_path / "my_network.py").write_text(OWN_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # of the workers
    monkeypatch.syspath_prepend(tmp_path)
    recipe = SHORT.replace(network="my_network:build", epochs=1)
    table = sweep([recipe, recipe.replace(seed=1)], workers=2, runs=tmp_path / "runs")
    assert table["state"].tolist() == ["finished", "finished"], table["error"].tolist()
    assert table["run"][0].startswith("phantoms28-my_network-build-none-s0-")


def test_killed_worker_and_killed_sweep_lose_no_run(tmp_path, unbroken):
    with started([LONG, LONG.replace(seed=1)], tmp_path) as process:
        until(lambda: under_way(tmp_path))
        max(
            psutil.Process(process.pid).children(recursive=True),
            key=lambda p: sum(p.cpu_times()[:2]),
        ).kill()
        told = process.stdout.readline()
        assert told.startswith("a worker was killed"), told
        before = sum(len(run.seconds) for run in under_way(tmp_path))
        until(lambda: sum(len(run.seconds) for run in under_way(tmp_path)) > before)  # it went on
    table = sweep([LONG, LONG.replace(seed=1)], workers=1, runs=tmp_path, say=lambda _: None)
    assert table["state"].tolist() == ["finished", "finished"]
    assert_as_unbroken(tmp_path, unbroken)


def test_two_sweeps_share_a_folder(tmp_path, own_threads):
    recipes = [SHORT.replace(seed=seed, epochs=6) for seed in range(4)]
    said = []
    with started(recipes, tmp_path, 1) as other:
        until(lambda: list(tmp_path.glob("*/recipe.yaml")))  # it begins to train as we do
        torch.set_num_threads(2)
        sweep(recipes[::-1], workers=1, runs=tmp_path, say=said.append)
        assert torch.get_num_threads() == 2, (
            "a sweep in this process leaves its threads as they were"
        )
        said += other.communicate(timeout=300)[0].splitlines()
        assert other.returncode == 0
    for recipe in recipes:  # trained by exactly one of them
        assert sum(line.endswith(f"{recipe.run_id}: finished") for line in said) == 1


def test_run_of_another_process_is_left_to_it(tmp_path):
    with locked(Run.of(SHORT, tmp_path).folder):
        assert Run.of(SHORT, tmp_path).state == "running"
        with pytest.raises(Busy, match="locked by another process"):
            fit(SHORT, "cpu", progress=False, runs=tmp_path, wait=False)
        waiting = threading.Thread(target=fit, args=(SHORT, "cpu", False, tmp_path))
        waiting.start()
        time.sleep(0.5)
        assert not Run.of(SHORT, tmp_path).finished
    waiting.join(timeout=120)
    assert Run.of(SHORT, tmp_path).finished


def test_waiting_run_is_listed_with_its_time(tmp_path):
    fit(SHORT, "cpu", progress=False, runs=tmp_path)
    queue([SHORT.replace(seed=1, epochs=100)], tmp_path)
    table = list_runs(tmp_path).set_index("seed")
    assert table["state"].tolist() == ["finished", "waiting"]
    assert table["minutes_left"][0] == 0
    seconds = np.median(Run.of(SHORT, tmp_path).seconds)
    assert table["minutes_left"][1] == pytest.approx(100 * seconds / 60, abs=0.06)


def test_listing_makes_no_folder(tmp_path):
    queue([SHORT, SHORT.replace(seed=1)], tmp_path)
    Run.of(SHORT, tmp_path).folder.rename(tmp_path / "renamed")
    before = sorted(tmp_path.rglob("*"))
    assert list_runs(tmp_path)["run"].tolist() == [SHORT.replace(seed=1).run_id, "renamed"]
    assert list_runs(tmp_path, [SHORT])["state"].tolist() == ["waiting"]
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != ".lock"] == before
    (tmp_path / "renamed" / "recipe.yaml").write_text("epochz: 3")
    with pytest.raises(
        ValueError,
        match=r"renamed.recipe.yaml: a recipe has no field 'epochz'.*move its folder away",
    ):
        list_runs(tmp_path)


def test_numbers_of_workers_are_checked(tmp_path):
    with pytest.raises(ValueError, match="workers=0 must be 1 or more"):
        sweep([SHORT], workers=0, runs=tmp_path)
    with pytest.raises(
        ValueError, match="workers=2 is for this machine, and not for tcp://there:1"
    ):
        sweep([SHORT], workers=2, scheduler="tcp://there:1", runs=tmp_path)


def test_worker_without_device_chooses_one(tmp_path):
    assert _train(Run.of(SHORT, tmp_path), None, 1) == (SHORT.run_id, "finished")


def test_killed_dask_worker_loses_no_run(tmp_path, unbroken):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        with distributed.Client(cluster) as client:
            pids = list(client.run(os.getpid).values())

        def kill_one():
            until(lambda: under_way(tmp_path))
            psutil.Process(pids[0]).kill()

        killer = threading.Thread(target=kill_one)
        killer.start()
        table = sweep(
            [LONG, LONG.replace(seed=1)],
            scheduler=cluster.scheduler_address,
            runs=tmp_path,
            say=lambda _: None,
        )
        killer.join()
    assert table["state"].tolist() == ["finished", "finished"]
    assert not psutil.pid_exists(pids[0])
    assert_as_unbroken(tmp_path, unbroken)


@pytest.mark.filterwarnings("ignore:Couldn't detect a suitable IP address")
def test_dask_worker_with_two_threads_is_refused(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        pytest.raises(
            ValueError, match="runs 2 tasks at once: start it by dask worker --nthreads 1"
        ),
    ):
        sweep([SHORT], scheduler=cluster.scheduler_address, runs=tmp_path)
