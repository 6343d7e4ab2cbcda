"""Measure what is claimed about speed, on this machine, with one thread: `make bench`, or some of it by name.

python tests/benchmarks/speed.py [floor step operations bf16 loop workers epoch pixel_cnn map forms sweep import]
"""

import argparse

import pandas as pd
import torch

from medattn.paths import results_folder, write_whole
from medattn.speed.table import MEASUREMENTS, measured, recorded_speed


def main() -> None:
    """Measure, print, and write data/results/speed.csv where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MEASUREMENTS))
    parser.add_argument("--record", action="store_true", help="write data/results/speed.csv")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = measured(asked.names)
    if asked.record:
        file = results_folder() / "speed.csv"
        if file.exists():  # what was not measured now stays
            rows = ["what", "setting", "side"]
            table = pd.concat([recorded_speed(), table]).drop_duplicates(rows, keep="last")
        with write_whole(file) as part:
            table.to_csv(part, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
