"""One pixel followed through PPCR, chosen on the image."""

from functools import cache, lru_cache

import torch
from ipywidgets import HTML, Dropdown, HBox, IntSlider, VBox
from torch import Tensor, nn

from medattn.attention import PPCR, Recorded, attention_sites, last_of_each_stage, record_images
from medattn.attention.places import stages
from medattn.figures.images import outlined_image
from medattn.figures.ppcr import pixel_walk, set_pixel_walk
from medattn.figures.style import Redrawn, quick_png
from medattn.widgets.clickable import ClickableImage
from medattn.widgets.parts import checked, picture_and_caption, replace, restore, wide


def explore_pixel(
    network: nn.Module, images: Tensor, masks: Tensor | None = None, normalise: str = "half"
) -> VBox:
    """Choose a pixel on an image, and follow it through PPCR to its gate.

    This is a view of `figures.pixel_walk`, for the last PPCR of each stage. All pixels of an image
    share the axes. Images (N, C, H, W) are uint8, masks (N, H, W) bool. Raises ValueError for a
    network without PPCR, and for images or masks that do not fit.
    """
    split = checked(images, masks)
    scales = _scales_by_stage(network)

    @lru_cache(maxsize=32)
    def recorded(number: int) -> dict[str, Recorded]:
        seen = record_images(network, split.images[number : number + 1], normalise)
        return last_of_each_stage({n: site for n, site in seen.items() if site.method == "ppcr"})

    @lru_cache(maxsize=32)
    def pictured(number: int) -> bytes:
        mask = None if split.masks is None else split.masks[number]
        return quick_png(outlined_image(split.images[number], mask))

    recorded(0)  # a network that cannot take these images fails here
    height, width = split.images.shape[2:]
    image = IntSlider(max=len(split) - 1, **wide("image"))
    stage = Dropdown(options=list(scales), **wide("stage"))
    row = IntSlider(height // 2, max=height - 1, **wide("row"))
    column = IntSlider(width // 2, max=width - 1, **wide("column"))
    controls = {"image": image, "stage": stage, "row": row, "column": column}
    restore("pixel", controls)
    clickable, (picture, caption) = ClickableImage(), picture_and_caption()

    def draw(_change=None) -> None:
        site = recorded(image.value)[stage.value]
        h, w = site.attention.shape[1:]
        i, j = int(clickable.place[0] * h), int(clickable.place[1] * w)
        picture.value = _walk(site, i, j, scales[stage.value])
        clickable.grid = (h, w)
        on_lesion = split.masks is not None and split.masks[image.value, row.value, column.value]
        caption.value = (
            f"Image {image.value}, {stage.value}: pixel ({i}, {j}) of {h} x {w}"
            f"{' on a lesion' if on_lesion else ''}. Its gate is {site.attention[0, i, j]:.3f}; "
            f"the image's go from {site.attention.min():.3f} to {site.attention.max():.3f}."
        )

    def show_image(_change=None) -> None:
        clickable.picture = pictured(image.value)
        clickable.alt = f"Image {image.value}{'' if split.masks is None else ', lesions outlined'}"
        draw()

    def pixel_at_place() -> list[int]:
        return [int(clickable.place[0] * height), int(clickable.place[1] * width)]

    def move_place(_change=None) -> None:
        if pixel_at_place() != [row.value, column.value]:  # else the place is within that pixel
            clickable.place = ((row.value + 0.5) / height, (column.value + 0.5) / width)

    def move_sliders(_change) -> None:
        with row.hold_trait_notifications(), column.hold_trait_notifications():
            row.value, column.value = pixel_at_place()
        draw()

    move_place()
    clickable.observe(move_sliders, "place")
    for slider in (row, column):
        slider.observe(move_place, "value")
    stage.observe(draw, "value")
    image.observe(show_image, "value")
    show_image()
    hint = HTML("Click on the picture, or step over it with the arrow keys.")
    above = HBox([clickable, VBox([*controls.values(), hint])])
    return replace("pixel", controls, VBox([above, picture, caption]))


def _scales_by_stage(network: nn.Module) -> dict[str, tuple[int, ...]]:
    sites = attention_sites(network)
    modules = {site.name: site.module for site in sites if isinstance(site.module, PPCR)}
    if not modules:
        kinds = ", ".join(sorted({site.attention for site in sites})) or "no attention"
        raise ValueError(
            f"network has {kinds}, and no PPCR: insert_attention(network, 'ppcr', size)"
        )
    return {stage: modules[name].pool.scales for name, stage in stages(network, modules).items()}


def _walk(site: Recorded, i: int, j: int, scales: tuple[int, ...]) -> bytes:
    """Draw a pixel's way, on the axes of all pixels of the image."""
    maps = site.before[0], site.after[0], site.weights
    limits = [1.05 * float(values.abs().max()) for values in (*maps, maps[1] * maps[2])]
    drawing = _drawing(scales)
    set_pixel_walk(drawing.figure, [values[:, i, j] for values in maps], limits)
    return drawing.png()


@cache
def _drawing(scales: tuple[int, ...]) -> Redrawn:
    zeros = torch.zeros(sum(scales))
    figure = pixel_walk(zeros, zeros, zeros, scales)
    return Redrawn(figure, [part for ax in figure.axes for part in (*ax.patches, ax.xaxis)])
