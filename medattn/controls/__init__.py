"""Views to handle, one line each; every one is a view of a plain function, which a notebook calls first.

There is one of each explorer at a time: called again, it closes the widgets of the call before, and its controls
stand as they were left (`controls.parts` says how). Without a front end nothing is drawn but the first picture.
Needs ipywidgets and anywidget; nothing else of the package imports this folder.
"""

from medattn.controls.clickable import ClickableImage
from medattn.controls.global_map import explore_global_map
from medattn.controls.maps import explore_maps
from medattn.controls.pixel import explore_pixel
from medattn.controls.runs import explore_runs
from medattn.controls.watching import watch

__all__ = ["ClickableImage", "explore_global_map", "explore_maps", "explore_pixel", "explore_runs", "watch"]
