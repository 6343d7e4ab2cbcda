"""The papers' tables as recipes: complete, each run once, and the runs of the results."""

import pytest

from medattn.papers.published import published
from medattn.papers.results import result_runs
from medattn.papers.tables import TABLES, table_recipes
from medattn.training import Recipe


@pytest.mark.parametrize("table", TABLES)
def test_tables_give_each_recipe_once(table):
    recipes = table_recipes(table, seeds=2)
    assert len({recipe.run_id for recipe in recipes}) == len(recipes)
    assert [recipe.seed for recipe in recipes] == sorted(recipe.seed for recipe in recipes)
    assert {recipe.seed for recipe in recipes} == {0, 1}


@pytest.mark.parametrize("table", ["table1", "table2", "table6"])
def test_comparisons_have_all_printed_rows(table):
    printed = published(f"ppcr_{table}")
    columns = [printed[name].str.lower() for name in ("dataset", "network", "method")]
    rows = {(d.replace("-", "_"), n, m) for d, n, m in zip(*columns, strict=True)}
    recipes = {(r.dataset, r.network, r.attention) for r in table_recipes(table)}
    plain = {(d.replace("_", ""), n, m) for d, n, m in recipes}
    assert {(d.replace("_", ""), n, m) for d, n, m in rows} <= plain
    # SA is announced in section 4.1 and stands in no table
    assert "sa" in {m for *_, m in recipes} - {m for *_, m in rows}


def test_ablations_share_the_proposed_run():
    proposed = Recipe(dataset="breastmnist", attention="ppcr")
    tables = [
        table_recipes(name, datasets=["breastmnist"]) for name in ("table3", "table4", "table5")
    ]
    assert [len(table) for table in tables] == [4, 5, 2]
    assert all(proposed in table for table in tables)


def test_results_are_runs_of_the_tables():
    runs = set(result_runs()["run"])
    for name in ("table2", "table3", "table4", "table5"):
        for recipe in table_recipes(name, ["breastmnist"], ["resnet18"], epochs=30):
            assert recipe.run_id in runs


def test_settings_are_the_papers():
    assert {r.size for r in table_recipes("table1")} == {224}
    assert {r.augment for r in table_recipes("table6")} == {"crop"}
    few, *_ = table_recipes(
        "global-table2", ["idrid:edema"], ["resnet152"], ["none"], dataset_options={"n": 3}
    )
    assert few.dataset_options == {"n": 3, "task": "edema"}
    by_task = {
        str(r.dataset_options)
        for r in table_recipes("global-table2", ["idrid:edema", "idrid:retinopathy"])
    }
    assert by_task == {"{'task': 'edema'}", "{'task': 'retinopathy'}"}
    networks = {
        r.network: r.pretrained for r in table_recipes("global-table2") if r.weight_map == "none"
    }
    assert networks["vgg16"] and not networks["vgg_att3"]
    assert (
        table_recipes("table2", ["npz:some/file.npz"], methods=["ppcr"])[0].dataset
        == "npz:some/file.npz"
    )
    assert table_recipes("table2", methods=["ppcr"], epochs=3, lr="1e-3")[0].lr == 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"table": "table9"}, "table='table9' is unknown; there are table1"),
        (
            {"table": "table2", "methods": ["cbam"]},
            "methods: 'cbam' is not in table2, which has none, se",
        ),
        ({"table": "table2", "datasets": ["mnist"]}, "datasets: 'mnist' is unknown"),
        ({"table": "table2", "seeds": 0}, "seeds=0 must be 1 or more"),
        ({"table": "table2", "epoch": 3}, "a recipe has no field 'epoch'"),
        (
            {"table": "table2", "networks": ["resnet19"]},
            "network 'resnet19' .* is unknown",
        ),
        ({"table": "table2", "attention": "se"}, "attention varies: choose by datasets"),
        ({"table": "table2", "seed": 3}, "seed varies: choose by datasets"),
        ({"table": "global-fig7", "map_epochs": 3}, "map_epochs varies: choose by datasets"),
    ],
)
def test_wrong_arguments_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        table_recipes(**words)


def test_single_name_needs_no_list():
    lists = table_recipes("table2", ["breastmnist"], ["resnet18"], ["ppcr"])
    assert table_recipes("table2", "breastmnist", "resnet18", "ppcr") == lists
