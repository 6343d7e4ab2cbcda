"""What the explorers share: controls keep their values across calls, and old widgets are closed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from ipywidgets import HTML, Box, Image, Layout, Widget
from torch import Tensor
from traitlets import TraitError

from medattn.datasets import Split

_open: dict[str, tuple[Box, Mapping[str, Widget]]] = {}  # the widgets and controls by explorer


def wide(description: str, width: str = "36em") -> dict[str, Any]:
    """Return the options of a control whose description is not cut off."""
    style = {"description_width": "8em"}
    return {"description": description, "layout": Layout(width=width), "style": style}


def picture_and_caption() -> tuple[Image, HTML]:
    """Return widgets for a picture at its own size, which ipywidgets would stretch, and a text."""
    return Image(format="png", layout=Layout(align_self="flex-start", max_width="100%")), HTML()


def restore(explorer: str, controls: Mapping[str, Widget]) -> None:
    """Set controls, by name, to the values of the explorer's last call, if they allow them."""
    _, last = _open.get(explorer, (None, {}))
    for name in controls.keys() & last.keys():
        with suppress(TraitError):
            controls[name].value = last[name].value


def replace(explorer: str, controls: Mapping[str, Widget], box: Box) -> Box:
    """Close the widgets of the explorer's last call, and return `box`, which takes their place."""
    if explorer in _open:
        close(_open[explorer][0])
    _open[explorer] = box, controls
    return box


def close(widget: Widget) -> None:
    """Close a widget and its children, layout and style, which ipywidgets would keep."""
    for child in getattr(widget, "children", ()):
        close(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, Widget):
            part.close()
    widget.unobserve_all()
    widget.close()


def checked(images: Tensor, masks: Tensor | None = None, labels: Tensor | None = None) -> Split:
    """Return images with masks and labels (or 0); ValueError if they do not fit, or are none."""
    if len(images) == 0:
        raise ValueError(f"images {tuple(images.shape)} must be one image or more")
    if labels is None:
        labels = torch.zeros(len(images), dtype=torch.int64)
    return Split(images, labels, masks)
