"""The explorers without a front end: what they show follows their controls."""

import ipywidgets
import pandas as pd
import pytest
import torch
from torch import nn

from medattn import figures, widgets
from medattn.attention import FixedMap, WeightMapped, insert_attention, record_images
from medattn.datasets import load_dataset
from medattn.figures.style import quick_png
from medattn.networks import build_network
from medattn.preprocess import to_float
from medattn.training import Recipe, fit
from medattn.training.run import Run
from medattn.widgets import parts
from medattn.widgets.global_map import result_sweep

DATA = {"n_train": 12, "n_val": 6, "n_test": 9}
CLASSES = ("none", "mild", "severe")
DATA_SET = load_dataset("phantoms", 28, **DATA)
TEST = DATA_SET.test


def built(attention, seed=0, **options):
    torch.manual_seed(seed)
    network = build_network("timm:test_resnet", 3, size=28).eval()
    for site in insert_attention(network, attention, 28, **options) if attention else ():
        if attention == "ppcr":
            nn.init.normal_(site.module.integrate.weight)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(
                module.weight
            )  # timm starts the last norm of a block at 0: no features, no maps
    nn.init.normal_(network.fc.weight)
    with torch.no_grad():  # predictions that differ from image to image
        network.fc.bias -= network(to_float(TEST.images, "half")).mean(0)
    return network


@pytest.fixture(scope="module")
def networks():
    return {"PPCR": built("ppcr"), "NL": built("nl", 1)}


@pytest.fixture(scope="module")
def run():
    recipe = Recipe(
        dataset="phantoms", dataset_options=DATA, size=28, network="timm:test_resnet",
        normalise="imagenet",
        epochs=3, optimizer="adam", lr=0.0005, weight_map="global", map_penalty=0.001, map_epochs=2,
    )  # fmt: skip
    return fit(recipe, progress=False)


@pytest.fixture(autouse=True)
def as_at_first():
    for box, _ in parts._open.values():
        parts.close(box)
    parts._open.clear()


def pixel(networks):
    return widgets.explore_pixel(networks["PPCR"], TEST.images, TEST.masks)


def parts_of(explorer):
    beside, picture, caption = explorer.children
    clickable, controls_ = beside.children
    return clickable, *controls_.children[:4], picture, caption


def maps(networks):
    return widgets.explore_maps(networks, TEST.images, TEST.masks, TEST.labels, CLASSES)


def seen(picture, caption):
    return bytes(picture.value), caption.value


def shows_another(picture, caption, control, value, trait="value"):
    """Whether picture and caption change with the control, and come back with it."""
    before, first = seen(picture, caption), getattr(control, trait)
    setattr(control, trait, value)
    after = seen(picture, caption)
    setattr(control, trait, first)
    assert seen(picture, caption) == before
    assert after[0].startswith(b"\x89PNG")
    return after[0] != before[0], after[1] != before[1]


def test_pixel_follows_sliders_and_clicks(networks):
    clickable, image, stage, row, column, picture, caption = parts_of(pixel(networks))
    row.value, column.value = 12, 17
    assert [int(share * 28) for share in clickable.place] == [12, 17]
    assert shows_another(picture, caption, row, 3) == (True, True)
    assert shows_another(picture, caption, column, 3) == (True, True)
    assert shows_another(picture, caption, image, 2) == (True, True)
    assert shows_another(picture, caption, stage, stage.options[1]) == (True, True)
    clickable.place = (0.999, 0.0)
    assert (row.value, column.value) == (27, 0)
    assert clickable.place == (0.999, 0.0), "a click stays where it was made"
    gate = record_images(networks["PPCR"], TEST.images[:1])["layer1.0.bn2"].attention
    assert f"pixel (27, 0) of 28 x 28. Its gate is {gate[0, 27, 0]:.3f}" in caption.value
    assert clickable.grid == (28, 28)
    first = clickable.picture
    image.value = 1
    assert clickable.picture != first and clickable.alt == "Image 1, lesions outlined"


def test_deep_pixel_covers_many_of_the_image(networks):
    clickable, _, stage, row, _, picture, caption = parts_of(pixel(networks))
    stage.value, row.value = stage.options[3], 0
    assert clickable.grid == (4, 4)
    before = seen(picture, caption)
    row.value = 6  # of 28: the same of 4
    assert seen(picture, caption) == before
    row.value = 7
    assert seen(picture, caption) != before


def test_pixel_is_followed_behind_a_weight_map():
    mapped = WeightMapped(built("ppcr"), FixedMap(torch.ones(1, 1, 28, 28)))
    assert parts_of(widgets.explore_pixel(mapped, TEST.images))[2].options == (
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    )


def test_pixel_on_a_lesion_is_named():
    box = widgets.explore_pixel(built("ppcr"), TEST.images, TEST.masks)
    _, image, _, row, column, _, caption = parts_of(box)
    number, i, j = (int(k) for k in TEST.masks.nonzero()[0])
    image.value, row.value, column.value = number, i, j
    assert "on a lesion" in caption.value
    assert "on a lesion" not in widgets.explore_pixel(built("ppcr"), TEST.images).children[-1].value


def test_pixel_of_other_scales_is_followed():
    box = widgets.explore_pixel(built("ppcr", scales=(1, 2)), TEST.images)
    assert bytes(box.children[1].value).startswith(b"\x89PNG")


def test_maps_follow_every_control(networks):
    image, _, stage, methods, strength, shared, picture, caption = maps(networks).children
    assert (
        f"label {CLASSES[TEST.labels[0]]}" in caption.value
        and "PPCR" in caption.value
        and "NL" in caption.value
    )
    assert shows_another(picture, caption, image, 3) == (True, True)
    assert shows_another(picture, caption, stage, stage.options[1]) == (True, False)
    assert shows_another(picture, caption, strength, 0.2) == (True, False)
    assert shows_another(picture, caption, shared, False) == (True, False)
    assert shows_another(picture, caption, methods, ("NL",)) == (True, True)
    methods.value = ()
    assert "No method chosen" in caption.value


def test_maps_are_the_plain_figure(networks):
    image, _, _, methods, strength, shared, picture, _ = maps(networks).children
    image.value, strength.value, shared.value, methods.value = 4, 0.5, False, ("PPCR",)
    site = record_images(networks["PPCR"], TEST.images)["layer1.0.bn2"]
    figure = figures.maps_on_image(
        TEST.images[4], {"PPCR": site.map(28)[4]}, TEST.masks[4], 0.5, False
    )
    assert bytes(picture.value) == quick_png(figure)


def test_maps_of_wide_and_tall_images_keep_their_shape():
    shapes = {(24, 48): (2, 1), (48, 24): (1, 2), (48, 48): (1, 1)}
    for (height, width), ratio in shapes.items():
        image, values = (
            TEST.images[0][:, :1, :1].expand(-1, height, width),
            torch.rand(height, width),
        )
        [axes] = figures.maps_on_image(image, {"PPCR": values}).axes
        left, right, bottom, top = axes.images[0].get_extent()
        assert (right - left) / (bottom - top) == pytest.approx(ratio[0] / ratio[1])
        assert axes.figure.get_size_inches()[0] < 9


def test_button_visits_images_with_other_predictions(networks):
    image, disagree, _, methods, _, _, _, caption = maps(networks).children
    with torch.no_grad():
        answers = [
            network(to_float(TEST.images, "half")).argmax(1) for network in networks.values()
        ]
    apart = (answers[0] != answers[1]).nonzero().flatten().tolist()
    assert 1 < len(apart) < len(TEST), "the networks of this test disagree on some images"
    visited = []
    for _ in range(len(apart) + 1):
        disagree.click()
        visited.append(image.value)
    assert sorted(set(visited)) == apart and visited[0] == visited[-1]
    methods.value = ("NL",)
    disagree.click()
    assert "the same prediction for each of the 9 images" in caption.value


def test_global_map_is_followed_over_epochs(run):
    epoch, threshold, picture, caption, sweep, sweep_caption = widgets.explore_global_map(
        run
    ).children
    assert epoch.max == 2, "the map was learned for two epochs"
    assert shows_another(picture, caption, epoch, 0) == (True, True)
    assert shows_another(picture, caption, threshold, 0.9) == (True, True)
    threshold.value = 0.0
    assert "at 100 % of the pixels. They cover 100 % of the region" in caption.value
    share = DATA_SET.region.float().mean()
    assert f"union: {share:.2f}" in caption.value
    assert bytes(sweep.value).startswith(b"\x89PNG") and "lambda" in sweep_caption.value


def test_sweep_is_of_one_method(tmp_path):
    def row(seed, **fields):
        cells = dict(run=f"r{seed}", dataset="phantoms", dataset_options="{}", size=28, split="own")
        cells |= dict(network="resnet18", pretrained=False, attention="none", prior="")
        cells |= dict(weight_map="global", map_options="{}", shuffle_labels=False, seed=seed)
        cells |= dict(epochs=2, n_train=600, lr=0.1, weight_decay=1e-4, accuracy=0.5)
        return cells | dict(map_hidden=32, map_penalty=0.01, map_epochs=None) | fields

    ppcr = [row(seed, attention="ppcr") for seed in (3, 4)]
    rows = [row(0), row(1), row(2, map_penalty=0.1), *ppcr]
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    table = result_sweep(DATA_SET, tmp_path)
    assert table["parameter"].unique().tolist() == ["map_penalty"] and sorted(table["seed"]) == [
        0,
        1,
        2,
    ]


def test_sweep_without_results_is_a_sentence(run, tmp_path):
    *_, sentence = widgets.explore_global_map(run, tmp_path).children
    assert "No results on phantoms at 28 px" in sentence.value


def test_runs_follow_both_controls():
    experiment, reference, picture, caption = widgets.explore_runs().children
    first = bytes(picture.value)
    assert first.startswith(b"\x89PNG")
    assert "difference from " + reference.value in caption.value
    reference.value = reference.options[1]
    second = bytes(picture.value)
    assert second != first and "difference from " + reference.value in caption.value
    experiment.index = 0 if experiment.index else 1
    assert bytes(picture.value) not in (first, second)
    assert reference.value in reference.options


def test_runs_have_every_experiment():
    experiment, reference, _, caption = widgets.explore_runs().children
    for name in experiment.options:
        experiment.value = name
        assert "difference from " + reference.value in caption.value


def test_runs_without_results_are_refused(tmp_path):
    with pytest.raises(ValueError, match="medattn results add"):
        widgets.explore_runs(tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: widgets.explore_pixel(built(None), TEST.images),
            "network has no attention, and no PPCR",
        ),
        (
            lambda: widgets.explore_pixel(built("nl"), TEST.images),
            "network has nl, and no PPCR.*insert_attention",
        ),
        (
            lambda: widgets.explore_pixel(built("ppcr"), TEST.images.float()),
            r"images are torch.float32 \(9, 3, 28, 28\) and must be",
        ),
        (
            lambda: widgets.explore_pixel(built("ppcr"), TEST.images[0]),
            r"images are torch.uint8 \(3, 28, 28\) and must be",
        ),
        (
            lambda: widgets.explore_pixel(built("ppcr"), TEST.images[:0]),
            r"images \(0, 3, 28, 28\) must be one image",
        ),
        (lambda: widgets.explore_pixel(built("ppcr"), TEST.images[..., :14]), "14"),
        (
            lambda: widgets.explore_pixel(built("ppcr"), TEST.images, TEST.masks[:2]),
            r"masks are torch.bool \(2, 28, 28\) and must",
        ),
        (lambda: widgets.explore_maps({}, TEST.images), "networks={} must be one network or more"),
        (
            lambda: widgets.explore_maps({"SE": built("se")}, TEST.images),
            r"\['se'\] has no attention map",
        ),
        (
            lambda: widgets.explore_maps({"NL": built("nl")}, TEST.images, labels=TEST.labels[:3]),
            "labels are torch.int64",
        ),
        (
            lambda: widgets.explore_maps(
                {"NL": built("nl")}, TEST.images, labels=TEST.labels, classes=("a", "b")
            ),
            "classes=.'a', 'b'. has no name for label 2",
        ),
        (
            lambda: widgets.explore_global_map(Run.of(Recipe(dataset="phantoms", size=28))),
            "has weight_map='none', and so no map",
        ),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_controls_keep_their_values(networks, run):
    _, image, stage, row, column, picture, caption = parts_of(pixel(networks))
    image.value, stage.value, row.value, column.value = 5, stage.options[1], 3, 21
    was = seen(picture, caption)
    _, image, stage, row, column, picture, caption = parts_of(pixel(networks))
    assert (image.value, stage.index, row.value, column.value) == (5, 1, 3, 21)
    assert seen(picture, caption) == was

    image, _, _, methods, strength, shared, *_ = maps(networks).children
    image.value, methods.value, strength.value, shared.value = 7, ("NL",), 0.25, False
    image, _, _, methods, strength, shared, *_ = maps(networks).children
    assert (image.value, methods.value, strength.value, shared.value) == (7, ("NL",), 0.25, False)
    image, _, _, methods, *_ = widgets.explore_maps({"GC": built("gc")}, TEST.images[:4]).children
    assert (image.value, methods.value) == (3, ("GC",)), (
        "what the new call does not allow is not kept"
    )

    widgets.explore_global_map(run).children[0].value = 1
    assert widgets.explore_global_map(run).children[0].value == 1

    experiment, reference, *_ = widgets.explore_runs().children
    experiment.index = 1
    reference.index = 1
    again = widgets.explore_runs().children
    assert (again[0].index, again[1].index) == (1, 1)


def test_old_widgets_and_hooks_are_removed(networks, run):
    calls = [
        lambda: pixel(networks),
        lambda: maps(networks),
        lambda: widgets.explore_global_map(run),
    ]
    calls.append(widgets.explore_runs)
    for call in calls:
        call()
    before = len(ipywidgets.widgets.widget._instances)
    for call, times in zip(calls, (10, 3, 2, 2), strict=True):
        for _ in range(times):
            call()
    assert len(ipywidgets.widgets.widget._instances) == before
    hooks = sum(
        len(module._forward_hooks) for network in networks.values() for module in network.modules()
    )
    assert hooks == 0


def described(widget):
    name = getattr(widget, "description", None)
    if name is not None:
        yield widget, name
    for child in getattr(widget, "children", ()):
        yield from described(child)


def test_every_control_has_a_description(networks, run):
    for box in (
        pixel(networks),
        maps(networks),
        widgets.explore_global_map(run),
        widgets.explore_runs(),
    ):
        named = [
            (widget, name)
            for widget, name in described(box)
            if not isinstance(widget, ipywidgets.HTML)
        ]
        assert named and all(name for _, name in named)
    assert widgets.ClickableImage(alt="An image").alt
