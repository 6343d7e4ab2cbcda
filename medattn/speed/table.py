"""The whole table of what is claimed about speed: every measurement, what it was held to, and whether it got there.

`make bench` measures all of it on this machine. What needs another kind of machine is in `ELSEWHERE`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from medattn.paths import results_folder
from medattn.speed import importing, loop, maps, ppcr, workers
from medattn.training.provenance import provenance


class Reach(NamedTuple):
    """What rows were held to before they were measured: which rows, by parts of their columns, and the ratio."""

    what: str
    setting: str
    side: str
    ratio: float
    at_least: bool = False  # otherwise: at most


REACHES = (
    Reach("training step / plain", "", "ppcr", 1.02),
    *(
        Reach("PPCR / memory floor", setting, "compiled", ratio)
        for setting, ratio in (
            ("64 x 28 x 28 of 28 px", 1.2),
            ("128 x 14 x 14 of 28 px", 1.4),
            ("256 x 7 x 7 of 28 px", 2.0),
            ("512 x 4 x 4 of 28 px", 2.5),
            ("64 x 56 x 56 of 224 px", 1.4),
            ("128 x 28 x 28 of 224 px", 1.1),
            ("256 x 14 x 14 of 224 px", 1.0),
            ("512 x 7 x 7 of 224 px", 1.0),
        )
    ),
    Reach("three poolings / PPCR without a compiler", "", "three poolings", 2.0, at_least=True),
    Reach("operations / plain", "", "ppcr, compiled", 1.5),
    Reach("gate error in bf16", "", "ours", 1e-5),
    Reach("throughput / MedMNIST's loop", "resnet18", "ours", 3.3, at_least=True),
    Reach("throughput / MedMNIST's loop", "resnet50", "ours", 2.5, at_least=True),
    Reach("throughput / MedMNIST's loop", "two threads in all", "two workers", 3.5, at_least=True),
    Reach("epoch with evaluation / MedMNIST's", "", "ours", 0.7),
    Reach("pixel CNN step / direct", "", "kept", 0.25),
    Reach("pixel CNN step / direct", "K = 32", "streamed", 0.5),
    Reach("pixel CNN step / direct", "K = 128", "streamed", 0.3),
    Reach("pixel CNN memory / direct", "", "streamed", 0.2),
    Reach("pixel CNN, map moved by", "", "ours", 1e-3),
    Reach("training step with map / without", "", "learned", 1.15),
    Reach("training step with map / without", "", "fixed", 1.01),
    Reach("map step, many images / few", "principal", "50,000 images", 1.05),
    Reach("sweep / one after the other", "", "two workers", 0.8),
    Reach("import, s beyond torch", "", "medattn", 0.3),
)

MEASUREMENTS: dict[str, Callable[[], pd.DataFrame]] = {
    "floor": lambda: pd.concat([ppcr.against_floor(28), ppcr.against_floor(224, rounds=7)]),
    "step": ppcr.training_step,
    "operations": ppcr.operations,
    "bf16": ppcr.gate_error,
    "loop": lambda: pd.concat([loop.throughput(), loop.throughput("resnet50", rounds=3)]),
    "workers": workers.two_workers,
    "epoch": lambda: loop.epoch(rounds=5),
    "pixel_cnn": maps.pixel_cnn_step,
    "map": maps.training_step_under_map,
    "forms": maps.step_by_images,
    "sweep": loop.sweep_time,
    "import": importing.import_time,
}

ELSEWHERE = {
    "a GPU": (
        "training step with PPCR / plain: 1.03; PPCR at 224 px / memory floor: 1.5",
        "training throughput / MedMNIST's loop: 10; several runs on one GPU / one after the other: 0.4 of the time",
        "all of Table 2 on BreastMNIST and RetinaMNIST, 9 networks, 2 backbones, 5 seeds: 30 minutes",
    ),
    "a processor with bf16 matrix units": (
        "training step with PPCR / plain in bf16: 1.06",
        "training throughput / MedMNIST's loop in bf16: 3.3; epoch with evaluation: 0.22",
        "pixel CNN step / direct in bf16: 0.25; training step with the live map: 1.15",
    ),
}


def measured(names: Sequence[str] = tuple(MEASUREMENTS), say: Callable[[str], None] = print) -> pd.DataFrame:
    """Make some of the measurements, or all, and give their rows with what they were held to and where they were made.

    Raises ValueError for a name that is none of `MEASUREMENTS`.
    """
    unknown = sorted(set(names) - set(MEASUREMENTS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: unknown; there are {', '.join(MEASUREMENTS)}")
    tables = []
    for name in names:
        table = held_to(MEASUREMENTS[name]())
        say(said(table))
        tables.append(table)
    instructions = torch.backends.cpu.get_cpu_capability()
    return pd.concat(tables, ignore_index=True).assign(**provenance(torch.device("cpu")), instructions=instructions)


def held_to(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `reach` (nan: none), `at_least`, and `reached` (empty where there is no reach)."""
    table = table.reset_index(drop=True).assign(reach=np.nan, at_least=False, reached=None)
    for reach in REACHES:
        rows = (table["what"] == reach.what) & (table["side"] == reach.side)
        rows &= table["setting"].str.contains(reach.setting, regex=False)
        value = table["value"].where(table["unit"] == "", table["ratio"])  # an error is held to its size
        got = value >= reach.ratio if reach.at_least else value <= reach.ratio
        table.loc[rows, "reach"], table.loc[rows, "at_least"] = reach.ratio, reach.at_least
        table.loc[rows, "reached"] = got[rows].map({True: "reached", False: "missed"})
    return table


def said(table: pd.DataFrame) -> str:
    """Write a table as lines: ratio, quartiles, what it was held to, and what was compared."""
    lines = []
    for what, rows in table.groupby("what", sort=False):
        lines.append(f"\n{what}")
        for row in rows.itertuples():
            value = row.value if row.unit == "" else row.ratio
            spread = f"({row.low:.2f} to {row.high:.2f})" if row.low < row.high else ""
            bound = f"{'at least' if row.at_least else 'at most'} {row.reach:g}: {row.reached}" if row.reached else ""
            lines.append(f"  {value:9.3g} {spread:16s} {bound:24s} {row.side}; {row.setting}")
    return "\n".join(lines)


def recorded_speed(results: Path | None = None) -> pd.DataFrame:
    """Read what was recorded: data/results/speed.csv."""
    return pd.read_csv((results or results_folder()) / "speed.csv", keep_default_na=False, na_values={"reach": [""]})
