"""Figures of speed: what reached is told from what did not, whichever way is better."""

import matplotlib.image
import pandas as pd
import pytest

from medattn import figures

ROWS = pd.DataFrame(
    {
        "name": ["a saving", "a gain", "a gain missed", "a saving missed"],
        "ratio": [0.5, 4.0, 1.5, 0.9],
        "low": [0.45, 3.5, 1.4, 0.8],
        "high": [0.55, 4.5, 1.6, 1.2],
        "reach": [0.7, 3.0, 2.0, 0.8],
        "at_least": [False, True, True, False],
    }
)
TIMED = pd.DataFrame({"A": [1.0, 2.0, 1.5], "B": [2.0, 1.0, 1.5]})
POINTS = pd.DataFrame({"name": ["copy", "product"], "operations": [1e6, 1e9], "bytes": [4e6, 4e6], "seconds": [1, 0.1]})
GROUPS = ROWS.assign(setting=["64 of 28 px", "128 of 28 px"] * 2, side=["compiled", "compiled", "eager", "eager"])
DRAWN = {
    "against_reach": lambda: figures.against_reach(ROWS),
    "grouped_ratios": lambda: figures.grouped_ratios(GROUPS, "times the floor"),
    "rounds": lambda: figures.rounds(TIMED),
    "roofline": lambda: figures.roofline(POINTS, bytes_a_second=1e10, operations_a_second=1e11),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_the_same_twice_and_fits_a_column(name, tmp_path):
    data = figures.png(DRAWN[name]())
    assert data == figures.png(DRAWN[name]())
    (tmp_path / "figure.png").write_bytes(data)
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.std() > 0.03 and pixels.shape[1] <= 800


def test_left_of_the_line_is_reached_whether_more_or_less_is_better():
    (axes,) = figures.against_reach(ROWS).axes
    marks = {line.get_label(): sorted(line.get_xdata()) for line in axes.lines}
    assert marks["reached"] == pytest.approx([0.5 / 0.7, 3 / 4])
    assert marks["not reached"] == pytest.approx([0.9 / 0.8, 2 / 1.5])
    assert axes.get_yticklabels()[1].get_text() == "a gain: 4.00 (at least 3)"


def test_the_roof_tells_what_share_of_the_possible_was_made():
    (axes,) = figures.roofline(POINTS, bytes_a_second=1e10, operations_a_second=1e11).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["the machine", "copy: 0%", "product: 10%"]
