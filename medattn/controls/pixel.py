"""One pixel followed through PPCR, chosen on the image."""

from functools import cache, lru_cache

import torch
from ipywidgets import HTML, Dropdown, HBox, IntSlider, VBox
from torch import Tensor, nn

from medattn import figures
from medattn.attention import attention_sites
from medattn.controls.clickable import ClickableImage
from medattn.controls.parts import checked, image_of_its_size, recall, replace, wide
from medattn.recording import Recorded, last_of_each_stage, record_images, stages


def explore_pixel(network: nn.Module, images: Tensor, masks: Tensor | None = None, normalise: str = "half") -> VBox:
    """Click on an image, or move by sliders or arrow keys, to a pixel, and follow it through PPCR to its gate.

    A view of `figures.pixel_walk`, for the last PPCR of every stage of the network. The axes are those of all pixels
    of the image, so that pixels can be compared. Images (N, C, H, W) are uint8, masks (N, H, W) bool. An image is
    recorded when it is first shown. Raises ValueError for a network without PPCR, and images or masks of another shape.
    """
    split = checked(images, masks)
    sites = {site.name: site.module for site in attention_sites(network) if site.attention == "ppcr"}
    scales = {at: sites[name].pool.scales for name, at in stages(network, sites).items()}
    if not scales:
        there = sorted({site.attention for site in attention_sites(network)})
        raise ValueError(
            f"network has {', '.join(there) or 'no attention'}, and no PPCR whose pixels could be followed: "
            "insert_attention(network, 'ppcr', size)"
        )

    @lru_cache(maxsize=32)
    def recorded(number: int) -> dict[str, Recorded]:
        seen = record_images(network, split.images[number : number + 1], normalise)
        return last_of_each_stage({name: site for name, site in seen.items() if site.method == "ppcr"})

    recorded(0)  # a network that cannot take these images says so here
    height, width = split.images.shape[2:]
    image = IntSlider(max=len(split) - 1, **wide("image"))
    stage = Dropdown(options=list(scales), **wide("stage"))
    row = IntSlider(height // 2, max=height - 1, **wide("row"))
    column = IntSlider(width // 2, max=width - 1, **wide("column"))
    recall("pixel", {"image": image, "stage": stage, "row": row, "column": column})
    clickable, picture, caption = ClickableImage(), image_of_its_size(), HTML()

    def draw(_change=None) -> None:
        site, number = recorded(image.value)[stage.value], image.value
        h, w = site.attention.shape[1:]
        i, j = (int(share * n) for share, n in zip(clickable.place, (h, w), strict=True))
        before, after, weights = site.before[0], site.after[0], site.weights
        limits = [1.05 * float(values.abs().max()) for values in (before, after, weights, weights * after)]
        shown = _drawing(tuple(scales[stage.value]))
        figures.set_pixel_walk(shown.figure, before[:, i, j], after[:, i, j], weights[:, i, j], limits)
        picture.value = shown.png()
        clickable.grid = (h, w)
        lesion = "" if split.masks is None else " on a lesion" if split.masks[number, row.value, column.value] else ""
        caption.value = (
            f"Image {number}, {stage.value}: pixel ({i}, {j}) of {h} x {w}{lesion}. "
            f"Its gate is {site.attention[0, i, j]:.3f}; the image's go from {site.attention.min():.3f} to "
            f"{site.attention.max():.3f}."
        )

    @lru_cache(maxsize=32)
    def pictured(number: int) -> bytes:
        mask = None if split.masks is None else split.masks[number]
        return figures.quick_png(figures.outlined(split.images[number], mask))

    def show_image(_change=None) -> None:
        clickable.picture = pictured(image.value)
        clickable.alt = f"Image {image.value}" + ("" if split.masks is None else ", lesions outlined")
        draw()

    def to_place(_change=None) -> None:  # the middle of the pixel that the sliders say, if the place is not in it
        if [int(share * n) for share, n in zip(clickable.place, (height, width), strict=True)] != [
            row.value,
            column.value,
        ]:
            clickable.place = ((row.value + 0.5) / height, (column.value + 0.5) / width)

    def to_sliders(_change) -> None:
        place = clickable.place
        with row.hold_trait_notifications(), column.hold_trait_notifications():
            row.value, column.value = int(place[0] * height), int(place[1] * width)
        draw()

    to_place()
    clickable.observe(to_sliders, "place")
    for slider in (row, column):
        slider.observe(to_place, "value")
    stage.observe(draw, "value")
    image.observe(show_image, "value")
    show_image()
    hint = HTML("Click on the picture, or step over it with the arrow keys.")
    return replace("pixel", VBox([HBox([clickable, VBox([image, stage, row, column, hint])]), picture, caption]))


@cache
def _drawing(scales: tuple[int, ...]) -> figures.Redrawn:
    zeros = torch.zeros(sum(scales))
    figure = figures.pixel_walk(zeros, zeros, zeros, scales)
    return figures.Redrawn(figure, [part for axes in figure.axes for part in (*axes.patches, axes.xaxis)])
