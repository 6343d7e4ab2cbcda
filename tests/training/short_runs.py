"""Short recipes that the tests of this folder train, and what must not differ between two runs."""

from safetensors.torch import load_file

from medattn.training import Recipe

FEW = {"n_train": 40, "n_val": 16, "n_test": 16}
SHORT = Recipe(
    network="timm:test_resnet",
    dataset_options=FEW,
    attention="ppcr",
    augment="crop_flip",
    optimizer="adam",
    lr=1e-3,
    epochs=3,
    batch_size=16,
)
MAPPED = SHORT.replace(
    attention="none", weight_map="global", map_hidden=4, map_penalty=0.01, map_epochs=2
)
OWN_NETWORK = """
from torch import nn

def build(n_classes, in_channels, size):
    head = nn.Flatten(), nn.Linear(4, n_classes)
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), *head)
"""


def numbers(run):
    """Return all of a run that must not depend on when and how often it was stopped."""
    return (
        run.history.drop(columns="seconds").fillna(-1.0).to_dict(),  # a nan is equal to nothing
        run.predictions.to_dict(),
        {
            name: value.tolist()
            for name, value in load_file(run.folder / "best.safetensors").items()
        },
    )
