"""The figures of global attention: each is drawn, is the same twice, and says in words and numbers what it shows."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medattn import figures
from medattn.published import published

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8, generator=GENERATOR)
MAP = torch.rand(12, 12, generator=GENERATOR)
REGION = torch.zeros(12, 12, dtype=torch.bool)
REGION[4:8, 4:8] = True
SETTINGS = pd.DataFrame(
    [(p, s, 90.0 + k) for p, values in {"K": (32, 62), "E": (2, 4, 8)}.items() for s in values for k in range(2)],
    columns=["parameter", "setting", "accuracy"],
)
LINES = pd.DataFrame({"N": [1, 10, 1, 10], "ms": [1.0, 9.0, 1.0, 1.0], "form": ["direct", "direct", "own", "own"]})

DRAW = {
    "structure": lambda: figures.structure({"a": IMAGES, "b": IMAGES.flip(3)}),
    "pixel_profiles": lambda: figures.pixel_profiles(IMAGES, {"disc": (2, 3), "corner": (0, 0)}),
    "weighing": lambda: figures.weighing(IMAGES[:3], MAP),
    "pixel_cnn_diagram": lambda: figures.pixel_cnn_diagram(1239, 32, 224),
    "learned_maps": lambda: figures.learned_maps({"before": MAP, "after": 1 - MAP}, IMAGES[0], REGION),
    "overlay": lambda: figures.learned_maps({"after": MAP}, IMAGES[0], REGION, overlay=True),
    "one_scale": lambda: figures.learned_maps({str(k): MAP for k in range(7)}, limits=(0, 1)),
    "flat": lambda: figures.learned_maps({"flat": torch.ones(12, 12)}),
    "over_epochs": lambda: figures.over_epochs({"l1": np.eye(4), "global": [0.5, 0.6]}, "AUC", {"chance": 0.5}),
    "printed_protocol": lambda: figures.printed_protocol(np.linspace(0, 1, 9), np.linspace(1, 0, 9), np.array([8, 9])),
    "sensitivity": lambda: figures.sensitivity(SETTINGS, {"K": "channels K", "E": "cut-off epoch E"}),
    "printed_table": lambda: figures.printed_table(published("global_table2")),
    "lines": lambda: figures.lines(LINES, "N", "ms", "form"),
}


@pytest.mark.parametrize("name", DRAW)
def test_it_is_drawn_the_same_twice_and_fits_a_notebook(name):
    data = figures.png(DRAW[name]())
    assert data == figures.png(DRAW[name]())
    with Image.open(BytesIO(data)) as picture:
        assert picture.width <= 80 * figures.WIDTH
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_a_map_says_its_own_range_and_darker_is_larger():
    axes = figures.learned_maps({"one": MAP}).axes[0]
    assert axes.get_xlabel() == f"white {float(MAP.min()):.2f}, black {float(MAP.max()):.2f}"
    shown = axes.images[0]
    dark, light = shown.to_rgba(np.array([float(MAP.max()), float(MAP.min())]))[:, 0]
    assert dark < 0.05 and light > 0.95
    assert figures.learned_maps({"one": MAP}, limits=(0, 2)).axes[0].images[0].get_clim() == (0, 2)


def test_the_sensitivity_line_goes_through_the_means():
    axes = figures.sensitivity(SETTINGS, {"K": "channels K", "E": "cut-off epoch E"}).axes
    assert [axis.get_xlabel() for axis in axes] == ["channels K", "cut-off epoch E"]
    assert axes[1].lines[1].get_ydata().tolist() == [90.5, 90.5, 90.5]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["32", "62"]
