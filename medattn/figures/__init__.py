"""The papers' figures, one function each, from recorded arrays to a matplotlib figure.

Every function takes tensors or arrays and gives a `Figure` that belongs to nobody: nothing is shown, nothing global
changes. Images are uint8 (C, H, W), maps are floats (H, W), masks are bool (H, W).
"""

from medattn.figures.audit import f1_allowed, fits_by_size
from medattn.figures.global_map import (
    learned_maps,
    lines,
    over_epochs,
    pixel_cnn_diagram,
    pixel_profiles,
    printed_protocol,
    printed_table,
    sensitivity,
    structure,
    weighing,
)
from medattn.figures.parts import MAP_COLOURS, PALETTE, SIGNED_COLOURS, WIDTH, image_grid, png
from medattn.figures.ppcr import (
    PYRAMID_AXES,
    context_distributions,
    context_names,
    context_sphere,
    contexts_of_image,
    method_maps,
    pixel_walk,
    stage_maps,
    weight_distributions,
)
from medattn.figures.results import (
    accuracy_by_cost,
    beside_the_paper,
    by_stage,
    comparison,
    confusion_matrix,
    training_curves,
)
from medattn.figures.scorecard import claimed_and_measured

__all__ = [
    "MAP_COLOURS",
    "PALETTE",
    "PYRAMID_AXES",
    "SIGNED_COLOURS",
    "WIDTH",
    "accuracy_by_cost",
    "beside_the_paper",
    "by_stage",
    "claimed_and_measured",
    "comparison",
    "confusion_matrix",
    "context_distributions",
    "context_names",
    "context_sphere",
    "contexts_of_image",
    "f1_allowed",
    "fits_by_size",
    "image_grid",
    "learned_maps",
    "lines",
    "method_maps",
    "over_epochs",
    "pixel_cnn_diagram",
    "pixel_profiles",
    "pixel_walk",
    "png",
    "printed_protocol",
    "printed_table",
    "sensitivity",
    "stage_maps",
    "structure",
    "training_curves",
    "weighing",
    "weight_distributions",
]
