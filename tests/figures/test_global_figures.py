"""The figures of global attention: each is drawn, twice the same, and says what it shows."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medattn import figures
from medattn.figures.style import DPI

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8, generator=GENERATOR)
MAP = torch.rand(12, 12, generator=GENERATOR)
REGION = torch.zeros(12, 12, dtype=torch.bool)
REGION[4:8, 4:8] = True
SETTINGS = pd.DataFrame(
    [
        (p, s, 90.0 + k)
        for p, values in {"K": (32, 62), "E": (2, 4, 8)}.items()
        for s in values
        for k in range(2)
    ],
    columns=["parameter", "setting", "accuracy"],
)
LINES = pd.DataFrame(
    {"N": [1, 10, 1, 10], "ms": [1.0, 9.0, 1.0, 1.0], "form": ["direct", "direct", "own", "own"]}
)

DRAW = {
    "structure": lambda: figures.pixel_statistics({"a": IMAGES, "b": IMAGES.flip(3)}),
    "pixel_profiles": lambda: figures.pixel_profiles(IMAGES, {"disc": (2, 3), "corner": (0, 0)}),
    "weighing": lambda: figures.weighted_images(IMAGES[:3], MAP),
    "learned_maps": lambda: figures.learned_maps(
        {"before": MAP, "after": 1 - MAP}, IMAGES[0], REGION
    ),
    "overlay": lambda: figures.learned_maps({"after": MAP}, IMAGES[0], REGION, overlay=True),
    "one_scale": lambda: figures.learned_maps({str(k): MAP for k in range(7)}, limits=(0, 1)),
    "flat": lambda: figures.learned_maps({"flat": torch.ones(12, 12)}),
    "sensitivity": lambda: figures.sensitivity(
        SETTINGS, {"K": "channels K", "E": "cut-off epoch E"}
    ),
    "lines": lambda: figures.line_plot(LINES, "N", "ms", "form"),
}


@pytest.mark.parametrize("name", DRAW)
def test_figure_is_reproducible_and_fits_a_notebook(name):
    data = figures.png(DRAW[name]())
    assert data == figures.png(DRAW[name]())
    with Image.open(BytesIO(data)) as picture:
        assert picture.width <= DPI * figures.WIDTH
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_map_shows_its_range_and_brighter_is_larger():
    axes = figures.learned_maps({"one": MAP}).axes[0]
    assert axes.get_xlabel() == f"{float(MAP.min()):.2f} to {float(MAP.max()):.2f}"
    colours = axes.images[0].to_rgba(np.array([float(MAP.max()), float(MAP.min())]))[:, :3].sum(1)
    assert colours[0] > colours[1] + 0.5
    assert figures.learned_maps({"one": MAP}, limits=(0, 2)).axes[0].images[0].get_clim() == (0, 2)


def test_sensitivity_line_goes_through_the_means():
    axes = figures.sensitivity(SETTINGS, {"K": "channels K", "E": "cut-off epoch E"}).axes
    assert [axis.get_xlabel() for axis in axes] == ["channels K", "cut-off epoch E"]
    assert axes[1].lines[1].get_ydata().tolist() == [90.5, 90.5, 90.5]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["32", "62"]
