"""The papers' tables as lists of recipes: `table_recipes("table2", ["breastmnist"], seeds=3)`.

Papers: PPCR, Tables 1 to 6; global attention, Table 2 and Fig. 7.
Differs from the papers:
- They do not say how many runs a cell has (global attention: one, tested at 30 epochs, see
  `protocol.py`). Here a cell has one run per seed.
- LR and SVM of global attention's Table 2 are not training runs (`fit_classical`).
- In Fig. 7 the cut-off epochs other than 60 are ours; the text names none.
- Weight decay and the L1 coefficient, which the paper searched, are fixed at one point of its grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from medattn.datasets import is_known
from medattn.networks import build_network
from medattn.training.recipe import Recipe

Changes = Mapping[str, Any]  # fields of a recipe

# in the order of PPCR's tables
METHODS = ("none", "se", "spa", "ca", "sa", "nl", "gc", "ea", "ppcr")


@dataclass(frozen=True)
class Table:
    """A printed table: its title, data sets, networks and methods; tables.yaml has them all."""

    title: str
    datasets: Sequence[str]
    networks: Sequence[str]
    methods: Mapping[str, Changes]  # changes of `base` by name
    base: Recipe
    plain_networks: Sequence[str]


def _table(row: Mapping[str, Any]) -> Table:
    ablation = row.get("ablation", {}).items()
    methods = {name: {"attention": "ppcr", "attention_options": o} for name, o in ablation}
    methods = methods or row.get("methods") or {name: {"attention": name} for name in METHODS}
    base, plain_networks = Recipe(**row.get("base", {})), row.get("plain_networks", ())
    return Table(row["title"], row["datasets"], row["networks"], methods, base, plain_networks)


_FILE = yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text(encoding="utf-8"))
TABLES = {name: _table(row) for name, row in _FILE["tables"].items()}
GLOBAL_ATTENTION = TABLES["global-table2"].base
GLOBAL_ATTENTION_REPAIRED = GLOBAL_ATTENTION.replace(map_step=0.05)  # ours: notebook 19
GLOBAL_GRID, L1_GRID = (
    {name: tuple(values) for name, values in grid.items()} for grid in _FILE["grids"].values()
)


def table_recipes(
    table: str,
    datasets: str | Sequence[str] | None = None,
    networks: str | Sequence[str] | None = None,
    methods: str | Sequence[str] | None = None,
    seeds: int = 1,
    **changes: Any,
) -> list[Recipe]:
    """Return the recipes of a table, each once, seed by seed.

    `datasets` and `networks` replace the table's. `methods` selects some of its own. `changes` are
    fields of every recipe, such as epochs=30. Raises ValueError for unknown names.
    """
    datasets, networks, methods = (
        [names] if isinstance(names, str) else names for names in (datasets, networks, methods)
    )
    if table not in TABLES:
        raise ValueError(f"table={table!r} is unknown; there are {', '.join(TABLES)}")
    spec = TABLES[table]
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be 1 or more")
    for name in {"dataset", "network", "seed"}.union(*spec.methods.values()) & changes.keys():
        raise ValueError(f"{name} varies: choose by datasets, networks, methods and seeds")
    for method in methods or ():
        if method not in spec.methods:
            there = ", ".join(spec.methods)
            raise ValueError(f"methods: {method!r} is not in {table}, which has {there}")
    with torch.device("meta"):
        for network in networks or ():
            build_network(network, n_classes=2)  # raises for an unknown name
    for dataset in datasets or ():
        if not is_known(dataset) and not is_known(dataset.partition(":")[0]):
            raise ValueError(f"datasets: {dataset!r} is unknown; `medattn data` lists them all")
    dataset_options = changes.pop("dataset_options", {})
    if not isinstance(dataset_options, Mapping):
        raise ValueError(f"dataset_options={dataset_options!r} must map option names to values")
    variants = [  # one per network and method
        {"network": network, **spec.methods[method]}
        for network in networks or spec.networks
        for method in methods or spec.methods
    ]
    if networks is None and "none" in (methods or spec.methods):
        plain = {"pretrained": False, **spec.methods["none"]}
        variants += [{"network": network, **plain} for network in spec.plain_networks]
    recipes = {}
    for seed in range(seeds):
        for dataset in datasets or spec.datasets:
            for variant in variants:
                recipe = spec.base.replace(**_dataset_fields(dataset), **variant, seed=seed)
                options = {"dataset_options": {**recipe.dataset_options, **dataset_options}}
                recipe = Recipe.from_dict({**recipe.to_dict(), **changes, **options})
                recipes[recipe.run_id] = recipe
    return list(recipes.values())


def _dataset_fields(dataset: str) -> dict[str, Any]:
    name, _, task = dataset.partition(":")
    if not task or not is_known(name):  # npz:PATH and folder:PATH have a colon, and no task
        return {"dataset": dataset, **_FILE["settings"].get(dataset, {})}
    return {"dataset": name, "dataset_options": {"task": task}}
