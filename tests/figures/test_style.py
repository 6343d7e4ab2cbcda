"""The style of all figures, outlines, and pictures that are drawn again."""

import matplotlib as mpl
import numpy as np
import pytest
import torch

from medattn import figures
from medattn.figures.images import outline
from medattn.figures.overlay import format_value
from medattn.figures.style import Redrawn, new_figure, quick_png, styled


def test_style_leaves_global_settings_alone():
    before = dict(mpl.rcParams)
    figures.png(figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"]))
    assert dict(mpl.rcParams) == before


def test_style_tells_lines_apart_and_hides_two_spines():
    with styled():
        _, [[ax]] = new_figure(1, 1, 2.0)
        lines = [ax.plot([0, 1])[0] for _ in range(12)]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 12
    assert not ax.spines["top"].get_visible() and ax.spines["left"].get_visible()


def test_outline_is_the_border_of_the_pixels():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1:3, 5] = True  # at the right edge of the image
    for box, left, top, scale in ((None, -0.5, -0.5, 1), ((10, 20, 12, 8), 10, 20, 2)):
        _, [[ax]] = new_figure(1, 1, 2.0)
        outline(ax, mask, box=box)
        below, above = ax.collections
        segments = (np.array(above.get_segments()) - (left, top)) / scale
        assert len(segments) == 6 == len(below.get_segments())
        assert segments[..., 0].min() == 5 and segments[..., 0].max() == 6
        assert segments[..., 1].min() == 1 and segments[..., 1].max() == 3
    outline(ax, None)
    assert len(ax.collections) == 2


def test_redrawn_figure_shows_its_changes():
    with styled():
        figure, [[ax]] = new_figure(1, 1, 2.0)
        [line] = ax.plot([0, 1])
    first = Redrawn(figure, [line])
    before = first.png()
    assert first.png() == before and before.startswith(b"\x89PNG")
    line.set_ydata([1, 0])
    assert first.png() != before
    assert quick_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "others", "text"),
    [(0.9986, (0.998, 1), "0.9986"), (0.5, (0, 1), "0.50"), (3, (3, 3), "3.00")],
)
def test_values_have_the_digits_that_differ(value, others, text):
    assert format_value(value, others) == text
