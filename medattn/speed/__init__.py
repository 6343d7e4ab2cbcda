"""How fast it is, as ratios measured side by side: `make bench` and notebook 18."""

from medattn.speed.importing import import_time
from medattn.speed.loop import epoch, our_epoch, random_parts, sweep_time, their_epoch, throughput
from medattn.speed.machine import limits
from medattn.speed.maps import pixel_cnn_step, step_by_images, training_step_under_map
from medattn.speed.ppcr import against_floor, fused_kernels, gate_error, operations, training_step
from medattn.speed.roof import roofline_points
from medattn.speed.rows import counted, ratios
from medattn.speed.workers import two_workers
from medattn.timing import alternate

__all__ = [
    "against_floor",
    "alternate",
    "counted",
    "epoch",
    "fused_kernels",
    "gate_error",
    "import_time",
    "limits",
    "operations",
    "our_epoch",
    "pixel_cnn_step",
    "random_parts",
    "ratios",
    "roofline_points",
    "step_by_images",
    "sweep_time",
    "their_epoch",
    "throughput",
    "training_step",
    "training_step_under_map",
    "two_workers",
]
