"""The papers' tables as lists of recipes: `table_recipes("table2", datasets=["breastmnist"], seeds=3)`.

Papers: PPCR, Tables 1 to 6; global attention, Table 2 and Fig. 7.
Differs from the papers: they do not say how many runs a cell has (global attention: one, tested at 30 epochs, see
`protocol.py`); here it is one a seed. LR and SVM of global attention's Table 2 are no training runs (`fit_classical`).
Of Fig. 7 the cut-off epochs other than 60 are ours, the text names none. Weight decay and the L1 coefficient, which
the paper searched, stand at one point of its grids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from medattn.attention import NORMALISATIONS
from medattn.datasets import is_known
from medattn.networks import build_network
from medattn.training.recipe import GLOBAL_ATTENTION, Recipe

METHODS = ("none", "se", "spa", "ca", "sa", "nl", "gc", "ea", "ppcr")  # in the order of PPCR's tables
_ATTENTIONS = {name: {"attention": name} for name in METHODS}
_MAPS = {
    "none": {"weight_map": "none", "map_penalty": 0.0, "map_epochs": None},
    "l1": {"weight_map": "l1", "map_penalty": 1.0, "map_epochs": None},
    "global": {},
}
_SETTINGS: dict[str, dict[str, Any]] = {  # PPCR, sections 4.1 and 4.4; every other set: 28 px, as it is
    "isic2018": {"size": 224, "augment": "isic"},
    "fundus_isee": {"size": 224},
    "cifar10": {"size": 32, "augment": "crop"},
    "cifar100": {"size": 32, "augment": "crop"},
}


@dataclass(frozen=True)
class Table:
    """A table: what it shows, its data sets ("idrid:edema" is a set and its task), networks and methods.

    `methods` are changes of the `base` recipe by name; `plain_networks` are rivals of their own, from scratch, to which
    only the method "none" is applied.
    """

    says: str
    datasets: tuple[str, ...]
    networks: tuple[str, ...]
    methods: Mapping[str, Mapping[str, Any]]
    base: Recipe = field(default_factory=Recipe)
    plain_networks: tuple[str, ...] = ()


def _ppcr(says: str, methods: Mapping[str, Mapping[str, Any]]) -> Table:
    """An ablation of PPCR; options at their defaults are left out, so that all three share the run as proposed."""
    named = {name: {"attention": "ppcr", "attention_options": options} for name, options in methods.items()}
    return Table(says, ("isic2018",), ("resnet18",), named)


_BACKBONES = ("resnet18", "resnet50")
TABLES: dict[str, Table] = {
    "table1": Table("PPCR, Table 1: 224 px", ("isic2018", "fundus_isee"), _BACKBONES, _ATTENTIONS),
    "table2": Table("PPCR, Table 2: 28 px", ("breastmnist", "retinamnist", "octmnist"), _BACKBONES, _ATTENTIONS),
    "table3": _ppcr(
        "PPCR, Table 3: scales",
        {f"scales-{k}": {} if k == 3 else {"scales": [2**i for i in range(k)]} for k in (1, 2, 3, 4)},
    ),
    "table4": _ppcr(
        "PPCR, Table 4: normalisations", {name: {} if name == "pixel" else {"norm": name} for name in NORMALISATIONS}
    ),
    "table5": _ppcr("PPCR, Table 5: W at the start", {"init-0": {}, "init-1": {"init": 1.0}}),
    "table6": Table("PPCR, Table 6: 32 px", ("cifar10", "cifar100"), _BACKBONES, _ATTENTIONS),
    "global-table2": Table(
        "global attention, Table 2",
        ("glaucoma", "idrid:retinopathy", "idrid:edema", "jaffe"),
        ("googlenet", "vgg16", "resnet152", "densenet161"),
        _MAPS,
        GLOBAL_ATTENTION,
        ("vgg_att3", "pytorchcv:resattnet92"),
    ),
    "global-fig7": Table(
        "global attention, Fig. 7: K, lambda, E",
        ("idrid:retinopathy",),
        ("densenet161",),
        {f"K-{k}": {"map_hidden": k} for k in (32, 62, 128, 256)}
        | {f"lambda-{value}": {"map_penalty": value} for value in (0.1, 0.01, 0.001, 0.0001)}
        | {f"E-{epoch}": {"map_epochs": epoch} for epoch in (20, 40, 60, 100)},
        GLOBAL_ATTENTION,
    ),
}


def table_recipes(
    table: str,
    datasets: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    seeds: int = 1,
    **changes: Any,
) -> list[Recipe]:
    """Give a table's recipes, each once, seed by seed.

    `datasets` and `networks` take the place of the table's (any that there are); `methods` names some of its own;
    `changes` are fields of every recipe, such as epochs=30. Raises ValueError for a name that is not known.
    """
    datasets, networks, methods = ([one] if isinstance(one, str) else one for one in (datasets, networks, methods))
    if table not in TABLES:
        raise ValueError(f"table={table!r} is unknown; there are {', '.join(TABLES)}")
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be 1 or more")
    asked = TABLES[table]
    varied = {"dataset", "network", "seed"}.union(*asked.methods.values())
    for name in varied.intersection(changes):
        raise ValueError(f"{name} is what the table varies: choose by datasets, networks, methods and seeds")
    for method in methods or ():
        if method not in asked.methods:
            raise ValueError(f"methods: {method!r} is not in {table}, which has {', '.join(asked.methods)}")
    with torch.device("meta"):
        for network in networks or ():
            build_network(network, n_classes=2)  # refuses a name that there is not
    for dataset in datasets or ():
        if not is_known(dataset.partition(":")[0]) and not is_known(dataset):
            raise ValueError(f"datasets: {dataset!r} is unknown; `medattn data` lists what there is")
    more_options = changes.pop("dataset_options", {})
    if not isinstance(more_options, Mapping):
        raise ValueError(f"dataset_options={more_options!r} must be a mapping from option names to values")
    recipes = {}
    for seed in range(seeds):
        for dataset in datasets or asked.datasets:
            base = asked.base.replace(**_of_dataset(dataset), seed=seed)
            chosen = [(n, asked.methods, {}) for n in networks or asked.networks]
            if networks is None:
                chosen += [(n, {"none": asked.methods["none"]}, {"pretrained": False}) for n in asked.plain_networks]
            for network, its_methods, more in chosen:
                for method in methods or its_methods:
                    if method in its_methods:
                        recipe = base.replace(**{"network": network, **more, **its_methods[method]})
                        options = {"dataset_options": {**recipe.dataset_options, **more_options}}  # its task stays
                        recipe = Recipe.from_dict({**recipe.to_dict(), **changes, **options})
                        recipes[recipe.run_id] = recipe
    return list(recipes.values())


def _of_dataset(dataset: str) -> dict[str, Any]:
    name, _, task = dataset.partition(":")
    if not task or not is_known(name):  # npz:PATH and folder:PATH have a colon, and no task
        return {"dataset": dataset, **_SETTINGS.get(dataset, {})}
    return {"dataset": name, "dataset_options": {"task": task}}
