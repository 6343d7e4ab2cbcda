"""A picture on which one points with the mouse or the arrow keys, which ipywidgets does not have.

Its script and style are the files beside this one, so nothing is fetched.
"""

from pathlib import Path

import anywidget
import traitlets


class ClickableImage(anywidget.AnyWidget):
    """A picture on which a place is chosen by a click, or by the arrow keys once it has the focus.

    `picture` is a PNG, and `alt` describes it. `place` is (row, column) in shares of the picture,
    from 0 to below 1. `grid` is the number of steps over its height and width; one step is marked.
    """

    _esm = Path(__file__).with_suffix(".js")
    _css = Path(__file__).with_suffix(".css")

    picture = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    place = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.5, 0.5))
    place.tag(sync=True)
    grid = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 1)).tag(sync=True)
