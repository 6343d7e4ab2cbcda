"""Measure what the modules and the training cost on this machine, with one thread: `make bench`.

python tests/benchmarks/speed.py [--save] [floor step operations bf16 loop ...]
"""

import argparse
from collections.abc import Callable, Sequence

import pandas as pd
import speed_imports
import speed_loops
import speed_maps
import speed_ppcr
import speed_workers
import torch

from medattn.paths import results_folder, write_whole
from medattn.training.provenance import provenance

MEASUREMENTS: dict[str, Callable[[], pd.DataFrame]] = {
    "floor": lambda: pd.concat(
        [speed_ppcr.against_floor(28), speed_ppcr.against_floor(224, rounds=7)]
    ),
    "step": speed_ppcr.training_step,
    "operations": speed_ppcr.operations,
    "bf16": speed_ppcr.gate_error,
    "loop": lambda: pd.concat(
        [speed_loops.throughput(), speed_loops.throughput("resnet50", rounds=3)]
    ),
    "workers": speed_workers.two_workers,
    "epoch": lambda: speed_loops.epoch(rounds=5),
    "pixel_cnn": speed_maps.pixel_cnn_step,
    "map": speed_maps.training_step_with_map,
    "forms": speed_maps.step_by_images,
    "sweep": speed_loops.sweep_time,
    "import": speed_imports.import_time,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table, and write data/results/speed.csv with --save."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--save", action="store_true", help="write data/results/speed.csv")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(MEASUREMENTS)}")
    torch.set_num_threads(1)
    tables = []
    for name in options.names or MEASUREMENTS:
        tables.append(MEASUREMENTS[name]())
        shown = tables[-1].drop(columns=["base", "base_value"])
        print(shown.to_string(index=False, float_format="{:.3g}".format), flush=True)
    if options.save:
        save(pd.concat(tables))


def save(table: pd.DataFrame) -> None:
    """Write rows to data/results/speed.csv; rows that were not measured now stay as they are."""
    instructions = torch.backends.cpu.get_cpu_capability()
    table = table.assign(**provenance(torch.device("cpu")), instructions=instructions)
    table = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else value)
    file = results_folder() / "speed.csv"
    if file.exists():
        before = pd.read_csv(file, dtype=str, keep_default_na=False)
        keys = ["what", "setting", "side"]
        table = pd.concat([before, table]).drop_duplicates(keys, keep="last")
    with write_whole(file) as part:
        table.to_csv(part, index=False)


if __name__ == "__main__":
    main()
