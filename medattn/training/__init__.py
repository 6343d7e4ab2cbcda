"""From a recipe to a trained network: `fit(Recipe(...))`.

The names of `__init__.pyi` are imported when they are first used: `medattn.training.checks` needs
no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
