"""Every figure that is drawn from what was recorded, and what the figures show."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from medattn import figures
from medattn.attention import insert_attention, last_of_each_stage, record_images
from medattn.figures.style import DPI
from medattn.networks import build_network
from medattn.papers.audit import fits
from medattn.papers.audit_f1 import two_classes


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build_network("resnet18", 3, size=28).eval()
    for site in insert_attention(network, "ppcr", 28):
        nn.init.normal_(site.module.integrate.weight)
    return network


@pytest.fixture(scope="module")
def images():
    return torch.randint(
        0, 256, (5, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def drawn(network, images):
    seen = record_images(network, images)
    stages = last_of_each_stage(seen)
    assert list(stages) == ["layer1", "layer2", "layer3", "layer4"]
    maps = {name: stage.map(28) for name, stage in stages.items()}
    masks = torch.zeros(5, 28, 28, dtype=torch.bool)
    masks[:, 4:9, 10:14] = True
    first = stages["layer1"]
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1, 0.5], "val_loss": [1.1, 0.8],
                            "train_accuracy": [0.5, 0.6], "val_accuracy": [0.4, 0.5]})  # fmt: skip
    yield "image_grid", figures.image_grid(images, ["a", "b", "c", "d", "e"], masks)
    yield "grey_grid", figures.image_grid(images[:, :1], list("abcde"))
    yield "method_maps", figures.method_maps(images[:2], maps, masks[:2], ["a", "b"])
    yield (
        "stage_maps",
        figures.stage_maps(
            images[0],
            {n: m[0] for n, m in maps.items()},
            {n: s.attention for n, s in stages.items()},
            masks[0],
        ),
    )
    yield "context_distributions", figures.context_distributions(first.before, first.after)
    yield (
        "weight_distributions",
        figures.weight_distributions({n: s.weights for n, s in stages.items()}),
    )
    yield "contexts_of_image", figures.contexts_of_image(first.before[0])
    yield "contexts_signed", figures.contexts_of_image(first.after[0], signed=True)
    yield (
        "pixel_walk",
        figures.pixel_walk(
            first.before[0, :, 5, 5], first.after[0, :, 5, 5], first.weights[:, 5, 5]
        ),
    )
    pixel = first.before[0, :, 5, 5], first.after[0, :, 5, 5], first.weights[:, 5, 5]
    yield "pixel_walk_on_image", figures.pixel_walk(*pixel, image=images[0], place=(5, 5))
    yield (
        "context_sphere",
        figures.context_sphere(first.after[0].flatten(1), first.attention[0].flatten(), pixel[2]),
    )
    per_image = torch.stack([stage.attention.flatten(1).std(1) for stage in stages.values()])
    per_image[0, 2] = torch.nan
    spread = {"within an image": per_image, "untrained": torch.zeros(4)}
    yield "by_stage", figures.by_stage(spread, list(stages), "standard deviation", {"chance": 0.1})
    yield "contexts_not_nested", figures.contexts_of_image(first.before[0], scales=(3, 4))
    yield (
        "confusion_matrix",
        figures.confusion_matrix(np.array([[3, 1], [0, 4]]), ["benign", "malignant"]),
    )
    yield (
        "training_so_far",
        figures.training_so_far(
            history.assign(lr=0.1), epochs=4, picture=maps["layer1"][0], label="map"
        ),
    )
    yield "map_region", figures.map_region(maps["layer1"][0], images[0], 0.5, masks[0])
    steps = torch.linspace(0, 1, 9).expand(5, 9)
    curves = {"map": (1 - steps, steps), "centre": (1 - steps / 2, steps / 2)}
    yield "perturbation_curves", figures.perturbation_curves(curves)
    counted = {
        name: fits(["85.90", "87.18"], range(100, 200)) for name in ("one", "another", "a third")
    }
    yield "fits_by_size", figures.fits_by_size(counted, {"one": 156}, "number of test images n")
    allowed = two_classes(
        pd.Series(["85.90", "87.18"], ["a", "b"]),
        pd.Series(["85.20", "99.00"], ["a", "b"]),
        (42, 114),
    )
    yield "f1_allowed", figures.f1_allowed(allowed)


def test_every_figure_is_reproducible_and_not_blank(network, images, tmp_path):
    for (name, figure), (_, again) in zip(
        drawn(network, images), drawn(network, images), strict=True
    ):
        data = figures.png(figure)
        assert data == figures.png(again), name
        (tmp_path / "figure.png").write_bytes(data)
        pixels = matplotlib.image.imread(tmp_path / "figure.png")
        assert pixels.std() > 0.03, name
        assert pixels.shape[1] <= DPI * figures.WIDTH, f"{name} is wider than a notebook's column"


def test_pixel_walk_shows_the_gate_of_the_network(network, images):
    recorded = record_images(network, images)["layer1.0.bn2"]
    figure = figures.pixel_walk(
        recorded.before[0, :, 3, 4], recorded.after[0, :, 3, 4], recorded.weights[:, 3, 4]
    )
    assert f"gate G = {recorded.attention[0, 3, 4]:.2f}" in figure.axes[3].get_xlabel()


def test_by_stage_shows_means_that_leave_nan_out():
    figure = figures.by_stage(
        {"hits": torch.tensor([[1.0, 0.0, torch.nan], [1.0, 1.0, 1.0]])}, ["low", "high"], "rate"
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50", "1.00"]


def test_by_stage_draws_intervals():
    scores, hits = torch.tensor([[0.8, 0.9, 1.0]]), torch.zeros(1, 200)
    for values, low, high in (
        (scores, 0.9 - 4.303 * 0.1 / 3**0.5, 0.9 + 4.303 * 0.1 / 3**0.5),
        (hits, 0, 0.0188),
    ):
        (bars,) = figures.by_stage({"one": values}, ["low"], "score").axes[0].collections
        ((_, lower), (_, upper)) = bars.get_segments()[0]
        assert (lower, upper) == pytest.approx((low, high), abs=1e-3)


def test_context_names_follow_the_scales():
    assert figures.context_names((1, 2)) == ["1/1", "1/2", "2/2"]
