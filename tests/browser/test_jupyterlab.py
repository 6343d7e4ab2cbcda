"""The notebooks in a real browser: they run, widgets move, a training is watched and resumed."""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from medattn.paths import ROOT
from medattn.runner import all_notebooks

PLAIN = """
from medattn import widgets
from medattn.training import Recipe, Run, fit

few = {"n_train": 24, "n_val": 9, "n_test": 12}
plain = Recipe(dataset="phantoms", dataset_options=few, size=28, network="timm:test_resnet",
    optimizer="adam", lr=0.001)
"""
NETWORKS = """
import torch
from torch import nn
from medattn.attention import insert_attention
from medattn.datasets import load_dataset
from medattn.networks import build_network

PHANTOMS = ("none", "mild", "severe")
test = load_dataset("phantoms", 28, **few).test

def built(attention):
    torch.manual_seed(0)
    network = build_network("timm:test_resnet", 3, size=28).eval()
    for site in insert_attention(network, attention, 28):
        if attention == "ppcr":
            nn.init.normal_(site.module.integrate.weight)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    nn.init.normal_(network.fc.weight)
    with torch.no_grad():  # predictions that differ from image to image
        network.fc.bias -= network(test.images.float() / 127.5 - 1).mean(0)
    return network

networks = {"PPCR": built("ppcr"), "NL": built("nl")}
"""
EXPLORE = [
    "learned = fit(plain.replace(weight_map='l1', epochs=3), progress=False)",
    "widgets.explore_pixel(networks['PPCR'], test.images, test.masks)",
    "widgets.explore_maps(networks, test.images, test.masks, test.labels, PHANTOMS)",
    "widgets.explore_global_map(learned)",
    "widgets.explore_runs()",
]
EPOCHS = 60
WATCH = [
    f"recipe = plain.replace(epochs={EPOCHS}, lr_step=20)\nrun = Run.of(recipe)",
    "widgets.watching.SHARE = 0.3  # a test does not wait for its pictures\nwidgets.watch(run)",
    "fit(recipe, progress=False)\nprint('trained to the end')",
]
QUICK = {
    "dataset": "digits",
    "network": "timm:test_resnet",
    "epochs": 1,
    "map_epochs": 2,
}  # the tour in half a minute


def notebook(*cells):
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in cells],
        metadata={
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
            }
        },
    )


def quick_tour():
    """Notebook 00 without outputs, with quick parameters, and without checks of a training."""
    (path,) = (n.path for n in all_notebooks(ROOT) if n.name == "00")
    content = nbformat.read(path, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += "".join(f"\n{name} = {value!r}" for name, value in QUICK.items())
            cell.source = re.sub(
                r"^(\s*)within\(", r"\1(lambda *_: None)(", cell.source, flags=re.MULTILINE
            )
    return path.stem, content


def pixels(image):
    """What a picture shows, not where it lies."""
    return image.evaluate(
        """async image => {
            for (let tries = 20; ; tries--) {
                try { await image.decode(); break; }
                catch (error) { if (!tries) throw error; }  // replaced meanwhile
                await new Promise(then => setTimeout(then, 100));
            }
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL();
        }"""
    )


def changed(page, image, before):
    for _ in range(300):
        if (now := pixels(image)) != before:
            return now
        page.wait_for_timeout(100)
    raise AssertionError("the picture stayed the same for 30 s")


def press(page, control, *keys):
    control.focus()
    for key in keys:
        page.keyboard.press(key)


@pytest.fixture(scope="module")
def explorers():
    return notebook(PLAIN, NETWORKS, *EXPLORE)


def test_explorers_follow_keyboard_and_mouse(opened, explorers):
    with opened("explorers", explorers) as shown:
        page = shown.page
        shown.run_all()
        shown.wait()
        assert shown.errors() == []
        follow_a_pixel(page, shown)
        compare_maps(page, shown)
        follow_a_map(page, shown)
        compare_runs(page, shown)


def follow_a_pixel(page, shown):
    cell = shown.cell_with("explore_pixel")
    clickable, picture = cell.locator(".medattn-clickable"), cell.locator("img.widget-image")
    caption = cell.locator(".widget-html-content").last
    state = pixels(picture)
    box = clickable.bounding_box()
    clickable.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.55})
    state = changed(page, picture, state)
    assert "pixel (15, 16) of 28 x 28" in caption.inner_text()
    press(page, clickable, "ArrowRight", "ArrowUp")
    state = changed(page, picture, state)
    page.wait_for_function(
        "text => document.body.innerText.includes(text)", arg="pixel (14, 17) of 28 x 28"
    )
    assert "Arrow keys" in clickable.get_attribute("aria-label")
    row = cell.get_by_role("slider").nth(1)
    press(page, row, "ArrowLeft")
    state = changed(page, picture, state)
    page.wait_for_function(
        "text => document.body.innerText.includes(text)", arg="pixel (13, 17) of 28 x 28"
    )
    shown.screenshot("explore_pixel", cell)
    image = pixels(clickable.locator("img"))
    press(page, cell.get_by_role("slider").first, "ArrowRight")
    changed(page, clickable.locator("img"), image)
    state = changed(page, picture, state)
    cell.get_by_role("combobox").select_option("layer3")
    changed(page, picture, state)
    page.wait_for_function("text => document.body.innerText.includes(text)", arg="of 7 x 7")
    shown.screenshot("explore_pixel_deep", cell)


def compare_maps(page, shown):
    cell = shown.cell_with("explore_maps")
    picture, caption = cell.locator("img.widget-image"), cell.locator(".widget-html-content").last
    state = pixels(picture)
    shown.screenshot("explore_maps", cell)
    for slider in (0, 1):
        press(page, cell.get_by_role("slider").nth(slider), "ArrowRight")
        state = changed(page, picture, state)
    before = caption.inner_text()
    cell.get_by_role("button", name="disagree").press("Enter")
    state = changed(page, picture, state)
    assert caption.inner_text() != before
    cell.get_by_role("checkbox").press("Space")
    state = changed(page, picture, state)
    cell.locator("select").nth(0).select_option("layer2")
    state = changed(page, picture, state)
    shown.screenshot("explore_maps_own_scales", cell)
    cell.locator("select[multiple]").select_option(["NL"])
    changed(page, picture, state)
    assert "PPCR" not in caption.inner_text()


def follow_a_map(page, shown):
    cell = shown.cell_with("explore_global_map")
    picture = cell.locator("img.widget-image").first
    state = pixels(picture)
    shown.screenshot("explore_global_map", cell)
    press(page, cell.get_by_role("slider").nth(0), "ArrowLeft")
    state = changed(page, picture, state)
    press(page, cell.get_by_role("slider").nth(1), "ArrowRight", "ArrowRight", "ArrowRight")
    changed(page, picture, state)
    assert "intersection over union" in cell.locator(".widget-html-content").first.inner_text()


def compare_runs(page, shown):
    cell = shown.cell_with("explore_runs")
    picture = cell.locator("img.widget-image")
    state = pixels(picture)
    cell.get_by_role("combobox").nth(1).select_option(index=1)
    state = changed(page, picture, state)
    cell.get_by_role("combobox").nth(0).select_option(index=1)
    changed(page, picture, state)
    shown.screenshot("explore_runs", cell)


def test_watched_training_is_interrupted_and_resumed(opened, folder):
    with opened("watched", notebook(PLAIN, *WATCH)) as shown:
        page = shown.page
        shown.run_all()
        cell, training = shown.cell_with("watch(run)"), shown.cell_with("trained to the end")
        caption, picture = cell.locator(".widget-html-content"), cell.locator("img.widget-image")
        caption.wait_for()
        state = pixels(picture)
        page.wait_for_function(
            "() => /\\b([3-9]|[1-4]\\d) of 60 epochs: loss/.test(document.body.innerText)"
        )
        changed(page, picture, state)
        shown.screenshot("watch", cell)
        shown.menu("Kernel", "Interrupt Kernel")
        training.get_by_text("KeyboardInterrupt").first.wait_for()
        assert "KeyboardInterrupt" in "".join(shown.errors())
        shown.wait()  # what is asked of the kernel before is dropped, as after any error
        page.wait_for_timeout(500)
        (history,) = (
            path.with_name("history.csv")
            for path in Path(folder / "runs").glob("*/recipe.yaml")
            if f"epochs: {EPOCHS}\n" in path.read_text()
        )
        before = pd.read_csv(history)
        assert 3 <= len(before) < EPOCHS, "the training was to be interrupted half way"
        shown.run_all()
        training.get_by_text("trained to the end").last.wait_for()
        shown.wait()
        page.wait_for_function("() => document.body.innerText.includes('Finished: test accuracy')")
        shown.screenshot("watch_finished", cell)
        after = pd.read_csv(history)
        assert after["epoch"].tolist() == [*range(1, EPOCHS + 1)]
        pd.testing.assert_frame_equal(
            after.head(len(before)), before
        )  # its seconds too: none was trained again


def test_tour_runs_to_its_last_cell(opened):
    name, content = quick_tour()
    with opened(name, content) as shown:
        shown.run_all()
        shown.page.get_by_text("recorded runs on real images").last.wait_for()
        shown.wait()
        assert shown.errors() == []
        figures = shown.page.locator(".jp-OutputArea:has(figcaption):has(.jp-RenderedImage)").all()
        assert len(figures) >= 5, "the tour shows its figures"
        for k, figure in enumerate(figures):
            assert figure.locator("figcaption").first.inner_text().strip()
            image = figure.locator(".jp-RenderedImage img").first
            assert image.evaluate("image => image.naturalWidth") > 800
            assert image.bounding_box()["width"] <= figure.bounding_box()["width"], "it is cut off"
            shown.screenshot(f"00_figure_{k}", figure)
