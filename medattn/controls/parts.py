"""What the explorers share: controls that stand as they were left, widgets that go when their successors come.

The values are kept in a dictionary of this process, by the explorer's name and the control's: they survive a cell that
is run again, on other data too, and end with the kernel. A value that the new control does not allow is forgotten; a
slider takes its nearest end.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from ipywidgets import Box, Image, Layout, Widget
from torch import Tensor
from traitlets import TraitError

from medattn.datasets import Split

_left: dict[str, dict[str, Any]] = {}  # explorer -> control -> value
_open: dict[str, Box] = {}  # explorer -> its widgets


def wide(description: str, width: str = "36em") -> dict[str, Any]:
    """Give the options of a control with a description that is not cut off."""
    return {"description": description, "layout": Layout(width=width), "style": {"description_width": "8em"}}


def image_of_its_size() -> Image:
    """Give a widget for a picture, which ipywidgets would stretch to the notebook's width."""
    return Image(format="png", layout=Layout(align_self="flex-start", max_width="100%"))


def recall(explorer: str, controls: Mapping[str, Widget], trait: str = "value") -> None:
    """Give controls, by name, the values that they were left with, and keep what they become."""
    left = _left.setdefault(explorer, {})

    def keep(name: str, value: Any) -> None:
        left[name] = value

    for name, control in controls.items():
        if name in left:
            with suppress(TraitError):
                setattr(control, trait, left[name])
        control.observe(lambda change, name=name: keep(name, change["new"]), trait)


def replace(explorer: str, box: Box) -> Box:
    """Close the widgets of the explorer's call before; `box` is what stands in their place."""
    if explorer in _open:
        close(_open.pop(explorer))
    _open[explorer] = box
    return box


def close(widget: Widget) -> None:
    """Close a widget, what is in it, and the layouts and styles, which ipywidgets would keep for good."""
    for child in getattr(widget, "children", ()):
        close(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, Widget):
            part.close()
    widget.unobserve_all()
    widget.close()


def checked(images: Tensor, masks: Tensor | None = None, labels: Tensor | None = None) -> Split:
    """Give images with masks and labels (0 where there are none); ValueError for what does not fit, or no image."""
    split = Split(images, torch.zeros(len(images), dtype=torch.int64) if labels is None else labels, masks)
    if len(split) == 0:
        raise ValueError(f"images {tuple(images.shape)} must be one image or more")
    return split
