"""A research companion to two papers on spatial attention in medical image classification.

The names below are imported when they are first used, so that `import medattn` costs nothing.
"""

from typing import TYPE_CHECKING, Any

import lazy_loader

if TYPE_CHECKING:
    from medattn.attention import PPCR, GlobalAttention, insert_attention, record
    from medattn.datasets import load_dataset
    from medattn.networks import build_network
    from medattn.training import Recipe, fit

    __version__: str

__all__ = ["PPCR", "GlobalAttention", "Recipe", "build_network", "fit", "insert_attention"]
__all__ += ["load_dataset", "record"]

_import, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention": ["PPCR", "GlobalAttention", "insert_attention", "record"],
        "datasets": ["load_dataset"],
        "networks": ["build_network"],
        "training": ["Recipe", "fit"],
    },
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("medattn")
    return _import(name)
