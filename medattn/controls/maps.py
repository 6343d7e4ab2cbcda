"""Attention maps of several methods side by side, image by image."""

from collections.abc import Mapping, Sequence

import torch
from ipywidgets import HTML, Button, Checkbox, Dropdown, FloatSlider, IntSlider, SelectMultiple, VBox
from torch import Tensor, nn

from medattn import figures
from medattn.controls.parts import checked, image_of_its_size, recall, replace, wide
from medattn.recording import Recorded, last_of_each_stage, record_images


def explore_maps(
    networks: Mapping[str, nn.Module],
    images: Tensor,
    masks: Tensor | None = None,
    labels: Tensor | None = None,
    classes: Sequence[str] | None = None,
    normalise: str = "half",
) -> VBox:
    """Lay the attention maps of several networks, by name, beside an image, and go to images on which they disagree.

    A view of `figures.maps_on_image`. Images (N, C, H, W) are uint8, masks (N, H, W) bool, labels (N,) int64, `classes`
    their names. Every image passes every network once, when this is called; only maps and predictions are kept.
    Raises ValueError for no network, one without attention maps, no stage that all have, and images, masks, labels or
    classes that do not fit.
    """
    if not networks:
        raise ValueError("networks={} must be one network or more, by name: {'PPCR': network}")
    split = checked(images, masks, labels)
    size = tuple(split.images.shape[2:])
    seen = {name: _seen(network, split.images, normalise) for name, network in networks.items()}
    maps = {name: {stage: site.map(size) for stage, site in stages.items()} for name, (stages, _) in seen.items()}
    answers = {name: predicted for name, (_, predicted) in seen.items()}
    common = [stage for stage in next(iter(maps.values())) if all(stage in each for each in maps.values())]
    if not common:
        said = "; ".join(f"{name}: {', '.join(each)}" for name, each in maps.items())
        raise ValueError(f"networks have no stage in common ({said})")
    most = max(int(predicted.max()) for predicted in (*answers.values(), split.labels))
    if classes is not None and most >= len(classes):
        raise ValueError(f"classes={tuple(classes)} must name label {most} too, which occurs or is predicted")

    image = IntSlider(max=len(split) - 1, **wide("image"))
    stage = Dropdown(options=common, **wide("stage"))
    methods = SelectMultiple(
        options=list(networks), value=list(networks), rows=min(len(networks), 6), **wide("methods")
    )
    strength = FloatSlider(0.8, min=0, max=1, step=0.05, readout_format=".2f", **wide("overlay"))
    shared = Checkbox(True, description="one colour scale for all maps")
    recall("maps", {"image": image, "stage": stage, "methods": methods, "strength": strength, "shared": shared})
    disagree = Button(description="next image on which they disagree", layout={"width": "20em"})
    picture, caption = image_of_its_size(), HTML()

    def word(k: Tensor) -> str:
        return classes[int(k)] if classes is not None else f"class {int(k)}"

    def draw(_change=None) -> None:
        number = image.value
        mask = None if split.masks is None else split.masks[number]
        chosen = {name: maps[name][stage.value][number] for name in methods.value}
        figure = figures.maps_on_image(split.images[number], chosen, mask, strength.value, shared.value)
        picture.value = figures.quick_png(figure)
        label = "" if labels is None else f", label {word(split.labels[number])}"
        said = ", ".join(f"{name} {word(answers[name][number])}" for name in methods.value)
        caption.value = (
            f"Image {number}{label}. Predicted: {said}." if said else f"Image {number}{label}. No method chosen."
        )

    def go_on(_button) -> None:
        chosen = torch.stack([answers[name] for name in methods.value or networks])
        apart = (chosen != chosen[0]).any(0).nonzero().flatten()
        if len(apart) == 0:
            caption.value = (
                f"{', '.join(methods.value or networks)}: the same prediction for each of the {len(split)} images."
            )
            return
        after = apart[apart > image.value]
        image.value = int(after[0] if len(after) else apart[0])

    for control in (image, stage, methods, strength, shared):
        control.observe(draw, "value")
    disagree.on_click(go_on)
    draw()
    return replace("maps", VBox([image, disagree, stage, methods, strength, shared, picture, caption]))


def _seen(network: nn.Module, images: Tensor, normalise: str) -> tuple[dict[str, Recorded], Tensor]:
    logits: list[Tensor] = []
    hook = network.register_forward_hook(lambda _module, _inputs, output: logits.append(output.detach().cpu()))
    try:
        stages = last_of_each_stage(record_images(network, images, normalise, contexts=False))
    finally:
        hook.remove()
    return stages, torch.cat(logits).argmax(1)
