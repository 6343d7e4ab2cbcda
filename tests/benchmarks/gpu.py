"""Use one GPU for at most eight minutes: tests, speed, and as many runs as fit: `make gpu`.

python tests/benchmarks/gpu.py [--small] [--minutes 8] [--out out/gpu]

`--small` does the same on the CPU with a small network, in a minute. The folder `--out` receives
`speed_gpu.csv` and `runs/`, whose finished runs `medattn results add` can take. The same command
goes on with the runs that it did not finish.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from speed_loops import ON_A_GPU, sweep_time, throughput
from speed_ppcr import attended
from speed_rows import timed

from medattn.datasets import load_dataset
from medattn.evaluation import alternate, ppcr_seconds, training_step
from medattn.paths import ROOT, write_whole
from medattn.training import Recipe

RIVALS = ("se", "spa", "ca", "sa", "nl", "gc", "ea")
RUNS_AT_ONCE = 4
PAPER, SMALL = ("resnet18", 224, 32, 7), ("timm:test_resnet", 28, 8, 1)
TESTS, SPEED = 0.25, 0.2  # their shares of the minutes, at most; the runs have the rest


def speed(device: str, small: bool) -> Iterator[pd.DataFrame]:
    """Yield rows: PPCR over the memory floor, a step over plain, our loop, four runs at once."""
    network, size, batch, rounds = SMALL if small else PAPER
    places = [(64, 28)] if small else [(64, 56), (128, 28), (256, 14), (512, 7)]
    for channels, side in places:
        seconds = ppcr_seconds(channels, side, batch, rounds, device)
        setting = f"{channels} x {side} x {side}, batch {batch}"
        yield timed("PPCR / memory floor", setting, seconds, "floor")
    images = torch.randn(batch, 3, size, size, device=device)
    names = ("none", "se", "ppcr")
    calls = {
        name: training_step(attended(network, name, size).to(device), images) for name in names
    }
    setting = f"{network} at {size} px, batch {batch}"
    yield timed("training step / plain", setting, alternate(calls, rounds, device), "none")
    yield throughput(network, 3, rounds, batch, device)
    if not small:  # on a GPU the sweep's workers share it
        yield sweep_time(rounds=1, sides=ON_A_GPU)


def recipes(small: bool) -> list[Recipe]:
    """Return the runs that decide most: Table 2 with ResNet50, then the rivals of ResNet18."""
    if small:
        options = {"n_train": 24, "n_val": 12, "n_test": 12}
        few = {"dataset": "phantoms", "dataset_options": options, "network": "timm:test_resnet"}
        return [Recipe(**few, epochs=1, attention=a) for a in ("none", "ppcr")]
    sets, seeds = ("breastmnist", "retinamnist"), range(5)
    wanted = [
        Recipe(dataset=d, network="resnet50", attention=a, seed=s)
        for d in sets
        for s in seeds
        for a in ("none", "ppcr")
    ]
    wanted += [Recipe(dataset=d, attention=a, seed=s) for d in sets for s in seeds for a in RIVALS]
    return [recipe for recipe in wanted if _at_hand(recipe.dataset)]


def _at_hand(dataset: str) -> bool:
    try:
        load_dataset(dataset)
    except (OSError, ValueError) as error:
        print(f"without {dataset}: {error}", flush=True)
        return False
    return True


def train(wanted: Sequence[Recipe], device: str, out: Path, seconds: Callable[[], float]) -> None:
    """Train runs, four at once, until the time is up; a run that was cut off resumes later."""
    code = "import sys; from medattn.training import *; from medattn.training.run import Run; "
    code += "fit(Recipe.from_yaml(sys.stdin.read()), device=sys.argv[1], progress=False)"
    environment = os.environ | {"MEDATTN_RUNS": str(out / "runs"), "OMP_NUM_THREADS": "2"}
    waiting, running = list(wanted), []
    while (waiting or running) and seconds() > 0:
        while waiting and len(running) < RUNS_AT_ONCE:
            recipe = waiting.pop(0)
            command = [sys.executable, "-c", code, device]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
            assert process.stdin is not None  # it is a pipe
            process.stdin.write(recipe.to_yaml())
            process.stdin.close()
            running.append((recipe, process))
        time.sleep(0.2)
        for recipe, process in [pair for pair in running if pair[1].poll() is not None]:
            running.remove((recipe, process))
            state = "finished" if process.returncode == 0 else f"failed, code {process.returncode}"
            print(f"{recipe.run_id}: {state}; {len(waiting) + len(running)} left", flush=True)
    for recipe, process in running:
        process.terminate()
        process.wait()
        print(f"{recipe.run_id}: cut off, resumes with the same command", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all three within the minutes; return 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="on the CPU, with a small network")
    parser.add_argument("--minutes", type=float, default=8.0, help="of all together (%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu", help="folder of results")
    options = parser.parse_args(arguments)
    device = "cpu" if options.small else "cuda"
    if not options.small and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --small tries everything on the CPU")
    end = time.monotonic() + 60 * options.minutes
    tests = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "gpu")]
    environment = os.environ | {"MEDATTN_GPU_TESTS": device}
    try:
        code = subprocess.run(tests, env=environment, timeout=60 * options.minutes * TESTS)
        failed = code.returncode != 0
    except subprocess.TimeoutExpired:
        print("the tests took longer than their quarter of the time", flush=True)
        failed = True
    tables, stop = [], time.monotonic() + 60 * options.minutes * SPEED
    for table in speed(device, options.small):
        print(table.to_string(index=False, float_format="{:.3g}".format), flush=True)
        tables.append(table)
        if time.monotonic() > stop:
            break
    with write_whole(options.out / "speed_gpu.csv") as part:
        pd.concat(tables).to_csv(part, index=False)
    train(recipes(options.small), device, options.out, lambda: end - time.monotonic())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
