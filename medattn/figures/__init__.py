"""The papers' and the notebooks' figures: one function each, from arrays to a matplotlib figure.

Images are uint8 (C, H, W), maps are floats (H, W) and masks are bool (H, W). Nothing is shown, and
nothing global changes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
