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
from medattn.figures.overlay import apart, map_region, maps_on_image
from medattn.figures.parts import (
    MAP_COLOURS,
    PALETTE,
    SIGNED_COLOURS,
    WIDTH,
    Redrawn,
    edges,
    image_grid,
    outlined,
    png,
    quick_png,
)
from medattn.figures.ppcr import (
    context_distributions,
    context_names,
    context_sphere,
    contexts_of_image,
    method_maps,
    pixel_walk,
    set_pixel_walk,
    stage_maps,
    weight_distributions,
)
from medattn.figures.results import (
    accuracy_by_cost,
    beside_the_paper,
    by_stage,
    comparison,
    confusion_matrix,
    perturbation_curves,
    scores_by_stage,
    training_curves,
    training_so_far,
)
from medattn.figures.scorecard import claimed_and_measured
from medattn.figures.speed import against_reach, grouped_ratios, roofline, rounds

__all__ = [
    "MAP_COLOURS",
    "PALETTE",
    "SIGNED_COLOURS",
    "WIDTH",
    "Redrawn",
    "accuracy_by_cost",
    "against_reach",
    "apart",
    "beside_the_paper",
    "by_stage",
    "claimed_and_measured",
    "comparison",
    "confusion_matrix",
    "context_distributions",
    "context_names",
    "context_sphere",
    "contexts_of_image",
    "edges",
    "f1_allowed",
    "fits_by_size",
    "grouped_ratios",
    "image_grid",
    "learned_maps",
    "lines",
    "map_region",
    "maps_on_image",
    "method_maps",
    "outlined",
    "over_epochs",
    "perturbation_curves",
    "pixel_cnn_diagram",
    "pixel_profiles",
    "pixel_walk",
    "png",
    "printed_protocol",
    "printed_table",
    "quick_png",
    "roofline",
    "rounds",
    "scores_by_stage",
    "sensitivity",
    "set_pixel_walk",
    "stage_maps",
    "structure",
    "training_curves",
    "training_so_far",
    "weighing",
    "weight_distributions",
]
