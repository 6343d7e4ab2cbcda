"""A recipe describes a run completely; its hash identifies the run.

Paper: PPCR, section 4.1 (SGD, batch 32, 150 epochs, learning rate / 10 every 40 epochs, best epoch
on validation). Where the text only has "default settings", the values are those of the authors'
later public code: learning rate 0.0025, momentum 0.9, weight decay 1e-4, no pretraining.
The settings of the global attention paper are in `medattn.papers.tables`.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import torch
import yaml

from medattn.attention import ATTENTION, PRIORS, WEIGHT_MAPS
from medattn.attention.methods import with_floats
from medattn.datasets.splits import fold_of
from medattn.paths import did_you_mean
from medattn.preprocess import NORMALISE
from medattn.training.augment import AUGMENT
from medattn.training.checks import above, at_least, check, one_of, parse

OPTIMIZERS = {
    "sgd": lambda groups, r: torch.optim.SGD(groups, r.lr, r.momentum, weight_decay=r.weight_decay),
    "adam": lambda groups, r: torch.optim.Adam(groups, r.lr, weight_decay=r.weight_decay),
}
SELECTIONS = ("accuracy", "auc", "loss", "last")  # of the validation images; or the last epoch
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

Count = Annotated[int, at_least(1)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run's numbers. The defaults are PPCR's settings for plain ResNet18.

    Raises ValueError naming the field, its value and what is allowed.
    """

    # data
    dataset: str = "phantoms"
    size: Count = 28  # px
    dataset_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    split: str = "own"  # "k/n": validate on fold k of n; "all": train on validation images too
    shuffle_labels: bool = False  # a control: permute training and validation labels, by seed
    augment: Annotated[str, one_of(AUGMENT)] = "none"
    normalise: Annotated[str, one_of(NORMALISE)] = "half"
    # network
    network: str = "resnet18"  # any name of `build_network`, such as "my.package:build"
    pretrained: bool = False
    stem: Annotated[str, one_of(("small", "usual"))] | None = None
    # attention
    attention: Annotated[str, one_of(("none", *ATTENTION))] = "none"
    attention_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    attention_where: tuple[str, ...] | None = None  # module names; None: every residual block
    attention_lr: Annotated[float, above(0)] = 1.0  # of its own weights, times lr
    attention_decay: Annotated[float, at_least(0)] | None = None  # None: weight_decay
    prior: str = ""  # id of a run whose weight map multiplies PPCR's W, or starts it
    prior_use: Annotated[str, one_of(PRIORS)] = "multiply"
    # global map, in front of the network
    weight_map: Annotated[str, one_of(("none", *WEIGHT_MAPS))] = "none"
    map_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    map_hidden: Count = 32  # K, the pixel CNN's channels
    map_penalty: Annotated[float, at_least(0)] = 0.0  # lambda of Eq. (1)
    map_step: Annotated[float, above(0)] | None = None  # `step_groups`; None: the map learns by lr
    map_epochs: Count | None = None  # E, the cut-off epoch of Algorithm 1; None: no cut-off
    # optimiser
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "sgd"
    lr: Annotated[float, above(0)] = 0.0025
    momentum: Annotated[float, at_least(0)] = 0.9
    weight_decay: Annotated[float, at_least(0)] = 1e-4
    lr_step: Count = 40  # epochs
    lr_factor: Annotated[float, above(0)] = 0.1
    epochs: Count = 150
    batch_size: Count = 32
    accumulate: Count = 1  # parts that a batch is cut into, to fit the memory
    # run
    precision: Annotated[str, one_of(PRECISIONS)] = "float32"
    channels_last: bool = True
    compile: bool = False
    select: Annotated[str, one_of(SELECTIONS)] = "accuracy"
    test_every_epoch: bool = False  # for the printed protocol of global attention
    seed: Annotated[int, at_least(0)] = 0

    def __post_init__(self):
        for spec in dataclasses.fields(self):
            checked = check(spec.name, spec.type, getattr(self, spec.name))
            object.__setattr__(self, spec.name, checked)  # frozen
        if self.attention != "none":
            options = with_floats(self.attention, self.attention_options)
            object.__setattr__(self, "attention_options", options)
        for name in ("attention_options", "attention_where", "attention_lr", "attention_decay"):
            if self.attention == "none" and getattr(self, name) not in ({}, None, 1):
                raise ValueError(f"attention='none' takes no {name}: {getattr(self, name)!r}")
        if self.attention_where == ():
            raise ValueError("attention_where=() names no module; None means all residual blocks")
        if self.prior and self.attention != "ppcr":
            raise ValueError(f"prior={self.prior!r} needs attention='ppcr', not {self.attention!r}")
        if self.prior_use != "multiply" and not self.prior:
            raise ValueError(f"prior_use={self.prior_use!r} needs a prior: a run with a weight map")
        for name in ("map_options", "map_penalty", "map_step", "map_epochs"):
            if self.weight_map == "none" and getattr(self, name):
                raise ValueError(f"weight_map='none' takes no {name}: {getattr(self, name)!r}")
        if (batch := self.batch_size) % (parts := self.accumulate):
            raise ValueError(f"accumulate={parts} does not divide batch_size={batch}")
        if self.dataset_options.keys() & {"name", "size"}:
            raise ValueError("dataset_options: name and size are the recipe's dataset and size")
        fold_of(self.split)  # raises ValueError for an unknown split
        if self.split == "all" and self.select != "last":
            raise ValueError(f"split='all' needs select='last', not {self.select!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return every field as a plain value, in the order of the class."""
        values = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def to_yaml(self) -> str:
        """Return the recipe as YAML, for `from_yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a recipe from plain values; fields that are left out keep their defaults."""
        types = {spec.name: spec.type for spec in dataclasses.fields(cls)}
        for name in values:
            if name not in types:
                known = f"{did_you_mean(name, types)}; there are {', '.join(types)}"
                raise ValueError(f"a recipe has no field {name!r}{known}")
        texts = {k: v for k, v in values.items() if isinstance(v, str)}  # YAML's for 1e-3
        return cls(**{**values, **{name: parse(types[name], v) for name, v in texts.items()}})

    @classmethod
    def from_yaml(cls, source: str | Path) -> Self:
        """Read a recipe from YAML text, or from a file given as Path."""
        text = source.read_text() if isinstance(source, Path) else source
        values = read_yaml(text)
        if not isinstance(values, dict):
            raise ValueError(f"a recipe in YAML has lines 'field: value'; {text[:60]!r} was given")
        return cls.from_dict(values)

    @property
    def run_id(self) -> str:
        """A readable name and a hash of all fields that differ from their defaults.

        A field that is added later, with a default, does not change the ids of earlier runs.
        """
        defaults = type(self)().to_dict()
        changed = {name: value for name, value in self.to_dict().items() if value != defaults[name]}
        digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
        dataset = Path(self.dataset).name.removesuffix(".npz")
        method = method_name(self.weight_map, self.attention)
        name = f"{dataset}{self.size}-{self.network}-{method}-s{self.seed}-{digest}"
        return re.sub(r"[^\w.-]+", "-", name)

    def replace(self, **changes) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def read_yaml(text: str) -> Any:
    """Read a value in YAML, such as "0.1" or "[a, b]". Raises ValueError for malformed text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text[:60]!r} is not YAML: {' '.join(str(error).split())}") from error


def method_name(weight_map: str, attention: str) -> str:
    """Return the name of a weight map and an attention together, such as "global+ppcr"."""
    return "+".join(name for name in (weight_map, attention) if name != "none") or "none"
