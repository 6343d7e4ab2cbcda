"""Figures of speed: reproducible, as wide as a column, and labelled by what they show."""

import matplotlib.image
import pandas as pd
import pytest

from medattn import figures
from medattn.figures.style import DPI

GROUPS = pd.DataFrame(
    {
        "setting": ["64 x 28 x 28", "128 x 14 x 14"] * 2,
        "side": ["compiled", "compiled", "eager", "eager"],
        "ratio": [2.7, 2.8, 10.5, 8.4],
        "low": [2.5, 2.7, 10.1, 8.0],
        "high": [3.0, 2.9, 11.3, 9.1],
    }
)
TIMED = pd.DataFrame({"A": [1.0, 2.0, 1.5], "B": [2.0, 1.0, 1.5]})
POINTS = pd.DataFrame(
    [("copy", 1e6, 4e6, 1), ("product", 1e9, 4e6, 0.1)],
    columns=["name", "operations", "bytes", "seconds"],
)
LIMITS = {"bytes_per_second": 1e10, "flops": 1e11}
DRAWN = {
    "grouped_ratios": lambda: figures.grouped_ratios(GROUPS, "times the floor"),
    "rounds": lambda: figures.rounds(TIMED),
    "roofline": lambda: figures.roofline(POINTS, **LIMITS),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_reproducible_and_fits_a_column(name, tmp_path):
    data = figures.png(DRAWN[name]())
    assert data == figures.png(DRAWN[name]())
    (tmp_path / "figure.png").write_bytes(data)
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.std() > 0.03 and pixels.shape[1] <= DPI * figures.WIDTH


def test_rounds_show_median_and_quartiles():
    _, below = figures.rounds(TIMED).axes
    labels = [text.get_text() for text in below.get_legend().get_texts()]
    assert labels == ["quartiles: 0.75 to 1.50", "median: 1.00"]


def test_roofline_shows_the_share_of_the_possible():
    (ax,) = figures.roofline(POINTS, **LIMITS).axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["the machine", "copy: 0%", "product: 10%"]
