"""Attention maps of several methods side by side, image by image."""

from collections.abc import Mapping, Sequence

import torch
from ipywidgets import Button, Checkbox, Dropdown, FloatSlider, IntSlider, SelectMultiple, VBox
from torch import Tensor, nn

from medattn import figures
from medattn.attention import last_of_each_stage, record_images
from medattn.figures.style import quick_png
from medattn.widgets.parts import checked, picture_and_caption, replace, restore, wide


def explore_maps(
    networks: Mapping[str, nn.Module],
    images: Tensor,
    masks: Tensor | None = None,
    labels: Tensor | None = None,
    classes: Sequence[str] | None = None,
    normalise: str = "half",
) -> VBox:
    """Show attention maps of several networks beside an image, and find images they disagree on.

    This is a view of `figures.maps_on_image`. Images (N, C, H, W) are uint8, masks (N, H, W) bool,
    labels (N,) int64, and `classes` are their names. Each image passes each network once, when this
    is called. Raises ValueError if an argument does not fit, or if no stage is common to all.
    """
    if not networks:
        raise ValueError("networks={} must be one network or more, by name: {'PPCR': network}")
    split = checked(images, masks, labels)
    seen = {name: _maps(network, split.images, normalise) for name, network in networks.items()}
    maps = {name: by_stage for name, (by_stage, _) in seen.items()}
    answers = {name: predicted for name, (_, predicted) in seen.items()}
    common = [s for s in next(iter(maps.values())) if all(s in stages for stages in maps.values())]
    if not common:
        listed = "; ".join(f"{name}: {', '.join(stages)}" for name, stages in maps.items())
        raise ValueError(f"networks have no stage in common ({listed})")
    most = max(int(predicted.max()) for predicted in (*answers.values(), split.labels))
    if classes is not None and most >= len(classes):
        raise ValueError(f"classes={tuple(classes)} has no name for label {most}, which occurs")

    names = list(networks)
    image = IntSlider(max=len(split) - 1, **wide("image"))
    stage = Dropdown(options=common, **wide("stage"))
    rows = min(len(names), 6)
    methods = SelectMultiple(options=names, value=names, rows=rows, **wide("methods"))
    strength = FloatSlider(0.8, min=0, max=1, step=0.05, readout_format=".2f", **wide("overlay"))
    shared = Checkbox(True, description="one colour scale for all maps")
    controls = dict(image=image, stage=stage, methods=methods, strength=strength, shared=shared)
    restore("maps", controls)
    disagree = Button(description="next image on which they disagree", layout={"width": "20em"})
    picture, caption = picture_and_caption()

    def class_name(k: Tensor) -> str:
        return classes[int(k)] if classes is not None else f"class {int(k)}"

    def draw(_change=None) -> None:
        number, chosen = image.value, methods.value
        mask = None if split.masks is None else split.masks[number]
        over = {name: maps[name][stage.value][number] for name in chosen}
        options = mask, strength.value, shared.value
        picture.value = quick_png(figures.maps_on_image(split.images[number], over, *options))
        label = "" if labels is None else f", label {class_name(split.labels[number])}"
        predicted = ", ".join(f"{name} {class_name(answers[name][number])}" for name in chosen)
        predicted = f"Predicted: {predicted}." if chosen else "No method chosen."
        caption.value = f"Image {number}{label}. {predicted}"

    def show_next(_button) -> None:
        chosen = methods.value or names
        predicted = torch.stack([answers[name] for name in chosen])
        differ = (predicted != predicted[0]).any(0).nonzero().flatten()
        if len(differ):
            later = differ[differ > image.value]
            image.value = int(later[0] if len(later) else differ[0])
        else:
            same = f"the same prediction for each of the {len(split)} images."
            caption.value = f"{', '.join(chosen)}: {same}"

    for control in controls.values():
        control.observe(draw, "value")
    disagree.on_click(show_next)
    draw()
    shown = [image, disagree, stage, methods, strength, shared, picture, caption]
    return replace("maps", controls, VBox(shown))


def _maps(network: nn.Module, images: Tensor, normalise: str) -> tuple[dict[str, Tensor], Tensor]:
    """Return a network's maps (N, H, W) by stage, and its predicted classes (N,)."""
    logits: list[Tensor] = []
    hook = network.register_forward_hook(
        lambda _module, _inputs, output: logits.append(output.detach().cpu())
    )
    try:
        seen = last_of_each_stage(record_images(network, images, normalise, contexts=False))
    finally:
        hook.remove()
    size = (images.shape[2], images.shape[3])
    maps = {stage: site.map(size) for stage, site in seen.items()}
    return maps, torch.cat(logits).argmax(1)
