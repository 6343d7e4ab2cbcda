"""Interactive views of the figures, one line each; a notebook shows the plain figure first.

There is one of each explorer at a time. A new call closes the widgets of the call before, and keeps
the values of its controls. Without a front end, only the first picture is drawn.
"""

from medattn.widgets.clickable import ClickableImage as ClickableImage
from medattn.widgets.global_map import explore_global_map as explore_global_map
from medattn.widgets.maps import explore_maps as explore_maps
from medattn.widgets.pixel import explore_pixel as explore_pixel
from medattn.widgets.runs import explore_runs as explore_runs
from medattn.widgets.watching import watch as watch
