"""A recipe: its identity, its way to YAML and back, and what it refuses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medattn.training import Recipe
from medattn.training.recipe import GLOBAL_ATTENTION, GLOBAL_GRID, L1_GRID


def test_the_paper_settings_are_the_defaults():
    recipe = Recipe()
    assert (recipe.optimizer, recipe.batch_size, recipe.epochs) == ("sgd", 32, 150)
    assert (recipe.lr_step, recipe.lr_factor) == (40, 0.1)


def test_it_is_frozen_and_hashable():
    recipe = Recipe(dataset_options={"n_train": 4})
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1
    assert {recipe: 1}[Recipe(dataset_options={"n_train": 4})] == 1


recipes = st.builds(
    Recipe,
    dataset=st.sampled_from(["phantoms", "breastmnist", "npz:/some/where/My set.npz"]),
    size=st.integers(1, 512),
    dataset_options=st.dictionaries(
        st.text("abc_", min_size=1), st.one_of(st.integers(), st.booleans(), st.text("ab é1"))
    ),
    attention=st.just("ppcr"),
    attention_options=st.just({"scales": (1, 2), "norm": "pixel"}),
    attention_where=st.one_of(st.none(), st.just(("layer1", "layer2"))),
    lr=st.floats(1e-8, 10),
    seed=st.integers(0, 2**31),
    compile=st.booleans(),
)


@given(recipes)
def test_yaml_gives_the_same_recipe_and_the_same_identity(recipe):
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.run_id == recipe.run_id
    assert "/" not in recipe.run_id


def test_every_field_is_part_of_the_identity():
    changed = {
        "dataset": "digits", "size": 32, "dataset_options": {"n_train": 3}, "augment": "flip", "normalise": "imagenet",
        "network": "resnet50", "pretrained": True, "stem": "usual", "attention": "ppcr",
        "attention_options": {"init": 1.0}, "attention_where": ["layer1"], "optimizer": "adam", "lr": 0.1,
        "momentum": 0.5, "weight_decay": 0.0, "lr_step": 10, "lr_factor": 0.5, "epochs": 2, "batch_size": 8,
        "accumulate": 2, "precision": "bf16", "channels_last": False, "compile": True, "select": "auc", "seed": 3,
        "split": "2/5", "shuffle_labels": True, "weight_map": "global", "map_options": {"kernel": 5}, "map_hidden": 62,
        "map_penalty": 0.01, "map_epochs": 60, "test_every_epoch": True, "prior": "a-run", "prior_use": "start",
    }  # fmt: skip
    assert set(changed) == {field.name for field in dataclasses.fields(Recipe)}
    base = Recipe(attention="ppcr", weight_map="l1")
    needs = {"prior_use": {"prior": "another"}}
    ids = {
        base.replace(**{name: value}, **needs.get(name, {})).run_id
        for name, value in changed.items()
        if name != "attention"
    }
    assert base.replace(prior="another").run_id not in ids
    assert len(ids | {base.run_id, Recipe().run_id}) == len(changed) + 1


def test_a_field_that_came_later_leaves_earlier_runs_as_they_were():
    """Names of runs that were recorded before `shuffle_labels`, `prior` and `prior_use` were there."""
    recipe = Recipe(
        network="timm:test_resnet", normalise="imagenet", optimizer="adam", lr=0.0005, lr_step=12, epochs=16
    )
    learned = recipe.replace(weight_map="global", map_penalty=0.001, map_epochs=8)
    assert recipe.run_id == "phantoms28-timm-test_resnet-none-s0-c5a62a81"
    assert learned.run_id == "phantoms28-timm-test_resnet-global-s0-babe06fe"


def test_the_global_attention_papers_settings_and_grids():
    """Section 4.4, the odd 62 included."""
    r = GLOBAL_ATTENTION
    assert (r.optimizer, r.lr, r.batch_size, r.epochs, r.map_epochs, r.size) == ("adam", 1e-4, 32, 250, 60, 224)
    assert GLOBAL_GRID["map_hidden"] == (32, 62, 128, 256)
    for grid, weight_map in ((GLOBAL_GRID, "global"), (L1_GRID, "l1")):
        for name, values in grid.items():
            assert [getattr(r.replace(weight_map=weight_map, **{name: v}), name) for v in values] == list(values)
        assert set(grid["weight_decay"]) == {1e-3, 1e-4, 1e-5}


def test_equal_options_have_one_identity():
    whole, real = (Recipe(attention="ppcr", attention_options={"init": init}) for init in (1, 1.0))
    assert whole.run_id == real.run_id and whole.to_yaml() == real.to_yaml()
    assert Recipe(attention="se", attention_options={"reduction": 8}).attention_options == {"reduction": 8}


def test_options_come_in_any_order_and_as_lists_or_tuples():
    one = Recipe(attention="ppcr", attention_options={"scales": (1, 2), "norm": "pixel"})
    other = Recipe(attention="ppcr", attention_options={"norm": "pixel", "scales": [1, 2]})
    assert one == other
    assert one.run_id == other.run_id


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epochs": 0}, "epochs=0 must be 1 or more"),
        ({"epochs": "3"}, "epochs='3' must be a value of type int"),
        ({"epochs": True}, "epochs=True must be a value of type int"),
        ({"lr": float("inf")}, "lr=inf must be a number above 0"),
        ({"attention": "ppcr", "attention_where": []}, "attention_where=.. names no module"),
        ({"lr": float("nan")}, "lr=nan must be a number above 0"),
        ({"lr": 0}, "lr=0.0 must be a number above 0"),
        ({"seed": -1}, "seed=-1 must be a number, 0 or more"),
        ({"optimizer": "lamb"}, "optimizer='lamb' is unknown; there are sgd, adam"),
        ({"attention": "spa?"}, "attention='spa[?]' is unknown; there are none, ppcr"),
        ({"augment": "mixup"}, "augment='mixup' is unknown; there are none"),
        ({"precision": "fp8"}, "there are float32, bf16"),
        ({"stem": "tiny"}, "stem='tiny' is unknown"),
        ({"accumulate": 3}, "accumulate=3 does not divide batch_size=32"),
        ({"attention_options": {"init": 1}}, "attention='none' was given"),
        ({"attention": "ppcr", "attention_where": "layer1"}, "attention_where='layer1' must be a list"),
        ({"attention": "ppcr", "attention_where": 5}, "attention_where=5 must be a list"),
        ({"dataset_options": {"size": 64}}, "dataset_options: size is no option; say the recipe's own"),
        ({"weight_map": "local"}, "weight_map='local' is unknown; there are none, global, l1"),
        ({"map_penalty": 0.1}, "need a weight_map; weight_map='none' was given"),
        ({"weight_map": "global", "map_epochs": 0}, "map_epochs=0 must be 1 or more, or None"),
        ({"weight_map": "global", "map_epochs": 2.5}, "map_epochs=2.5 must be a value of type int, or None"),
        ({"weight_map": "global", "map_hidden": 0}, "map_hidden=0 must be 1 or more"),
        ({"prior": "a-run"}, "prior='a-run' scales PPCR's weights and needs attention='ppcr'; attention='none' was"),
        ({"prior": "a-run", "attention": "se"}, "attention='se' was given"),
        ({"prior_use": "start", "attention": "ppcr"}, "prior_use='start' needs a prior: the name of a run"),
        ({"prior": "a-run", "prior_use": "add", "attention": "ppcr"}, "prior_use='add' is unknown; there are multiply"),
        ({"prior": None}, "prior=None must be a value of type str"),
        ({"split": "6/5"}, "split='6/5' is unknown; there are 'own', 'all', or fold k of n"),
        ({"split": "all"}, "split='all' leaves nothing to select by: say select='last'"),
        ({"dataset_options": [1]}, "dataset_options=.1. must be a mapping"),
        ({"dataset_options": {"a": object()}}, "an option's value is a number"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(fields, said):
    with pytest.raises(ValueError, match=said):
        Recipe(**fields)


def test_yaml_is_read_forgivingly_and_refused_clearly(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("lr: 1e-3\nepochs: 2\n")
    assert Recipe.from_yaml(path) == Recipe(lr=0.001, epochs=2)
    with pytest.raises(ValueError, match="no field 'learning_rate'; there are dataset, size"):
        Recipe.from_yaml("learning_rate: 1")
    with pytest.raises(ValueError, match="list of 'field: value'"):
        Recipe.from_yaml("just words")
    with pytest.raises(ValueError, match="lr='fast' must be a value of type float"):
        Recipe.from_yaml("lr: fast")


def test_a_text_that_is_no_yaml_is_refused():
    with pytest.raises(ValueError, match=r"'epochs: .1' is no YAML: .*expected"):
        Recipe.from_yaml("epochs: [1")
