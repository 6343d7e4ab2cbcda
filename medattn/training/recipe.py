"""A recipe says a run completely; its hash is the run's identity.

Paper: PPCR, section 4.1 (SGD, batch 32, 150 epochs, learning rate / 10 every 40 epochs, best epoch on
validation). Where the text says only "default settings", the values are those of the authors' later public code:
learning rate 0.0025, momentum 0.9, weight decay 1e-4, from scratch.
Paper: global spatial attention, section 4.4 (Adam, learning rate 1e-4, batch 32, 250 epochs, cut-off epoch 60) and its
grids: `GLOBAL_ATTENTION`, `GLOBAL_GRID`, `L1_GRID`.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
import yaml

from medattn.attention import ATTENTION, PRIORS, WEIGHT_MAPS
from medattn.attention.methods import with_floats
from medattn.datasets.augment import AUGMENT, NORMALISE
from medattn.datasets.splits import fold_of
from medattn.near import near

OPTIMIZERS = {
    "sgd": lambda parameters, r: torch.optim.SGD(parameters, r.lr, momentum=r.momentum, weight_decay=r.weight_decay),
    "adam": lambda parameters, r: torch.optim.Adam(parameters, r.lr, weight_decay=r.weight_decay),
}
SELECTIONS = ("accuracy", "auc", "loss", "last")  # of the validation split; or the last epoch
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run's numbers. Without arguments: PPCR's settings for plain ResNet18 on phantoms.

    Raises ValueError naming the field, its value and what is allowed.
    """

    dataset: str = "phantoms"
    size: int = 28  # px
    dataset_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    split: str = "own"  # 'k/n': validate on the k-th of n folds; 'all': train on the validation images too
    shuffle_labels: bool = False  # a control: training and validation labels change places among the images, by seed
    augment: str = "none"
    normalise: str = "half"
    network: str = "resnet18"
    pretrained: bool = False
    stem: str | None = None
    attention: str = "none"
    attention_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    attention_where: tuple[str, ...] | None = None  # module names; None: every residual block
    prior: str = ""  # a run whose weight map scales PPCR's W, or starts it
    prior_use: str = "multiply"  # or "start"
    weight_map: str = "none"  # in front of the network
    map_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    map_hidden: int = 32  # K, the pixel CNN's channels
    map_penalty: float = 0.0  # lambda of Eq. (1)
    map_epochs: int | None = None  # E, the cut-off epoch of Algorithm 1; None: the map is learned to the end
    optimizer: str = "sgd"
    lr: float = 0.0025
    momentum: float = 0.9
    weight_decay: float = 1e-4
    lr_step: int = 40  # epochs
    lr_factor: float = 0.1
    epochs: int = 150
    batch_size: int = 32
    accumulate: int = 1  # micro-batches a batch is cut into
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False
    select: str = "accuracy"
    test_every_epoch: bool = False  # for the printed protocol of global attention; selects nothing
    seed: int = 0

    def __post_init__(self):
        for spec in dataclasses.fields(self):
            object.__setattr__(self, spec.name, self._checked(spec.name, spec.type, getattr(self, spec.name)))
        allowed = {
            "augment": AUGMENT,
            "normalise": NORMALISE,
            "attention": ("none", *ATTENTION),
            "prior_use": PRIORS,
            "weight_map": ("none", *WEIGHT_MAPS),
            "optimizer": OPTIMIZERS,
            "select": SELECTIONS,
            "precision": PRECISIONS,
            "stem": (None, "small", "usual"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                said = ", ".join(str(value) for value in values)
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; there are {said}")
        for name in ("size", "epochs", "batch_size", "accumulate", "lr_step", "map_hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more")
        for name in ("lr", "lr_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number above 0")
        for name in ("momentum", "weight_decay", "map_penalty", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number, 0 or more")
        if self.attention != "none":
            object.__setattr__(self, "attention_options", with_floats(self.attention, self.attention_options))
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}")
        if self.attention == "none" and (self.attention_options or self.attention_where):
            raise ValueError("attention_options and attention_where need an attention; attention='none' was given")
        if self.prior and self.attention != "ppcr":
            raise ValueError(
                f"prior={self.prior!r} scales PPCR's weights and needs attention='ppcr'; "
                f"attention={self.attention!r} was given"
            )
        if not self.prior and self.prior_use != "multiply":
            raise ValueError(f"prior_use={self.prior_use!r} needs a prior: the name of a run that learned a weight map")
        if self.weight_map == "none" and (self.map_options or self.map_penalty or self.map_epochs):
            raise ValueError("map_options, map_penalty and map_epochs need a weight_map; weight_map='none' was given")
        if self.map_epochs is not None and self.map_epochs < 1:
            raise ValueError(f"map_epochs={self.map_epochs} must be 1 or more, or None")
        for name in ("name", "size"):
            if name in self.dataset_options:
                raise ValueError(f"dataset_options: {name} is no option; say the recipe's own dataset and size")
        if fold_of(self.split) is None and self.split == "all" and self.select != "last":
            raise ValueError(f"split='all' leaves nothing to select by: say select='last', not {self.select!r}")

    def _checked(self, name: str, kind: Any, value: Any) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind in (int, float, str, bool):
            if type(value) is not kind:
                raise ValueError(f"{name}={value!r} must be a value of type {kind.__name__}")
        elif name == "map_epochs" and value is not None and type(value) is not int:
            raise ValueError(f"{name}={value!r} must be a value of type int, or None")
        elif name.endswith("_options"):
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                raise ValueError(f"{name}={value!r} must be a mapping from option names to values")
            return {key: _as_plain(value[key]) for key in sorted(value)}
        elif name == "attention_where" and value is not None:
            if not isinstance(value, list | tuple) or not all(isinstance(place, str) for place in value):
                raise ValueError(f"{name}={value!r} must be a list of module names, or None")
            if not value:
                raise ValueError(f"{name}={value!r} names no module: leave it out for every residual block")
            return tuple(value)
        return value

    def to_dict(self) -> dict[str, Any]:
        """Give every field as plain values, in the order of the class."""
        values = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def to_yaml(self) -> str:
        """Write the recipe as YAML; `from_yaml` gives an equal one back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a recipe from plain values; fields left out take their defaults, unknown ones are refused."""
        known = {spec.name: spec for spec in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise ValueError(f"a recipe has no field {name!r}{near(name, known)}; there are {', '.join(known)}")
        return cls(**{name: _as_number(known[name].type, value) for name, value in values.items()})

    @classmethod
    def from_yaml(cls, source: str | Path) -> Self:
        """Read a recipe from YAML text, or from a file given as Path."""
        text = source.read_text() if isinstance(source, Path) else source
        values = read_yaml(text)
        if not isinstance(values, dict):
            raise ValueError(f"a recipe in YAML is a list of 'field: value'; given was {text[:60]!r}")
        return cls.from_dict(values)

    @property
    def run_id(self) -> str:
        """A readable name and a hash of every field that is not at its default: the run's folder.

        So a field that is added later, with a default, leaves the identity of earlier runs as it was.
        """
        defaults = type(self)().to_dict()
        said = {name: value for name, value in self.to_dict().items() if value != defaults[name]}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
        dataset = Path(self.dataset).name.removesuffix(".npz")
        method = weighing(self.weight_map, self.attention)
        name = f"{dataset}{self.size}-{self.network}-{method}-s{self.seed}-{digest}"
        return re.sub(r"[^\w.-]+", "-", name)

    def replace(self, **changes) -> Self:
        """Give a recipe with some fields changed."""
        return dataclasses.replace(self, **changes)


GLOBAL_ATTENTION = Recipe(  # section 4.4; K, lambda and weight decay were searched over the grid below
    dataset="idrid",
    size=224,
    normalise="imagenet",
    network="densenet161",
    pretrained=True,
    weight_map="global",
    map_hidden=32,
    map_penalty=0.001,
    map_epochs=60,
    optimizer="adam",
    lr=1e-4,
    weight_decay=1e-4,
    lr_step=250,
    epochs=250,
)
GLOBAL_GRID = {
    "map_hidden": (32, 62, 128, 256),  # 62 as printed; the others are powers of two
    "map_penalty": (0.1, 0.01, 0.001, 0.0001),
    "weight_decay": (1e-3, 1e-4, 1e-5),
}
L1_GRID = {"map_penalty": (1e5, 1e4, 1e3, 1e2, 10.0, 1.0), "weight_decay": GLOBAL_GRID["weight_decay"]}


def read_yaml(text: str) -> Any:
    """Read a value in YAML, such as "0.1" or "[a, b]"; raises ValueError where it is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text[:60]!r} is no YAML: {' '.join(str(error).split())}") from error


def weighing(weight_map: str, attention: str) -> str:
    """Name what a network is weighed by, such as "ppcr", "global+ppcr", or "none"."""
    return "+".join(name for name in (weight_map, attention) if name != "none") or "none"


def _as_plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_plain(item) for item in value]
    if value is None or type(value) in (int, float, str, bool):
        return value
    raise ValueError(f"an option's value is a number, text, true or false, or a list of these; given was {value!r}")


def _as_number(kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            return value  # refused by the recipe, with the field's name
    return value
