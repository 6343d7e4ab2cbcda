"""A recipe: its identity, its way to YAML and back, and what it refuses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medattn.papers.tables import GLOBAL_ATTENTION, GLOBAL_ATTENTION_REPAIRED, GLOBAL_GRID, L1_GRID
from medattn.training import Recipe


def test_defaults_are_the_paper_settings():
    recipe = Recipe()
    assert (recipe.optimizer, recipe.batch_size, recipe.epochs) == ("sgd", 32, 150)
    assert (recipe.lr_step, recipe.lr_factor) == (40, 0.1)


def test_recipe_is_frozen_and_hashable():
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
def test_yaml_keeps_recipe_and_run_id(recipe):
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.run_id == recipe.run_id
    assert "/" not in recipe.run_id


def test_every_field_changes_the_run_id():
    changed = {
        "dataset": "digits", "size": 32, "dataset_options": {"n_train": 3}, "augment": "flip",
        "normalise": "imagenet", "network": "resnet50", "pretrained": True, "stem": "usual",
        "attention": "ppcr", "attention_options": {"init": 1.0}, "attention_where": ["layer1"],
        "optimizer": "adam", "lr": 0.1, "momentum": 0.5, "weight_decay": 0.0, "lr_step": 10,
        "lr_factor": 0.5, "epochs": 2, "batch_size": 8, "accumulate": 2, "precision": "bf16",
        "channels_last": False, "compile": True, "select": "auc", "seed": 3, "split": "2/5",
        "shuffle_labels": True, "weight_map": "global", "map_options": {"kernel": 5},
        "map_hidden": 62, "map_penalty": 0.01, "map_epochs": 60, "test_every_epoch": True,
        "prior": "a-run", "prior_use": "start", "map_step": 0.05, "attention_lr": 10.0,
        "attention_decay": 0.0,
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


def test_global_attention_settings_and_grids():
    """Section 4.4, the odd 62 included."""
    r = GLOBAL_ATTENTION
    assert (r.optimizer, r.lr, r.batch_size, r.epochs, r.map_epochs, r.size) == (
        "adam",
        1e-4,
        32,
        250,
        60,
        224,
    )
    assert GLOBAL_GRID["map_hidden"] == (32, 62, 128, 256)
    for grid, weight_map in ((GLOBAL_GRID, "global"), (L1_GRID, "l1")):
        for name, values in grid.items():
            assert [
                getattr(r.replace(weight_map=weight_map, **{name: v}), name) for v in values
            ] == list(values)
        assert set(grid["weight_decay"]) == {1e-3, 1e-4, 1e-5}


def test_repaired_setting_is_the_printed_one_but_for_the_step():
    assert GLOBAL_ATTENTION_REPAIRED.map_step == 0.05
    assert GLOBAL_ATTENTION_REPAIRED.replace(map_step=None) == GLOBAL_ATTENTION


def test_equal_options_have_one_run_id():
    whole, real = (Recipe(attention="ppcr", attention_options={"init": init}) for init in (1, 1.0))
    assert whole.run_id == real.run_id and whole.to_yaml() == real.to_yaml()
    assert Recipe(attention="se", attention_options={"reduction": 8}).attention_options == {
        "reduction": 8
    }


def test_options_in_any_order_are_equal():
    one = Recipe(attention="ppcr", attention_options={"scales": (1, 2), "norm": "pixel"})
    other = Recipe(attention="ppcr", attention_options={"norm": "pixel", "scales": [1, 2]})
    assert one == other
    assert one.run_id == other.run_id


PPCR = {"attention": "ppcr"}
MAPPED = {"weight_map": "global"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be 1 or more"),
        ({"epochs": "3"}, "epochs='3' must be a whole number"),
        ({"epochs": True}, "epochs=True must be a whole number"),
        ({"lr": float("inf")}, "lr=inf must be a finite number"),
        ({"lr": float("nan")}, "lr=nan must be a finite number"),
        ({"lr": 0}, "lr=0 must be above 0"),
        ({"lr_factor": -0.5}, "lr_factor=-0.5 must be above 0"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"momentum": float("nan")}, "momentum=nan must be a finite number"),
        ({"pretrained": 1}, "pretrained=1 must be true or false"),
        ({"optimizer": "lamb"}, "optimizer='lamb' is unknown; there are sgd, adam"),
        ({"attention": "spa?"}, "attention='spa[?]' is unknown; there are none, "),
        ({"augment": "mixup"}, "augment='mixup' is unknown; there are none"),
        ({"precision": "fp8"}, "there are float32, bf16"),
        ({"stem": "tiny"}, "stem='tiny' is unknown; there are small, usual, or None"),
        ({"accumulate": 3}, "accumulate=3 does not divide batch_size=32"),
        ({"attention_options": {"init": 1}}, "attention='none' takes no attention_options"),
        ({"attention_where": ["layer1"]}, "attention='none' takes no attention_where"),
        (PPCR | {"attention_where": []}, "attention_where=.. names no module"),
        (PPCR | {"attention_where": "layer1"}, "attention_where='layer1' must be a list"),
        (PPCR | {"attention_where": 5}, "attention_where=5 must be a list"),
        (PPCR | {"attention_where": [5]}, "must be a list, and each of its items text, or None"),
        ({"dataset_options": {"size": 64}}, "dataset_options: name and size are the recipe's"),
        ({"weight_map": "local"}, "weight_map='local' is unknown; there are none, global, l1"),
        ({"map_penalty": 0.1}, "weight_map='none' takes no map_penalty: 0.1"),
        ({"map_step": 0.05}, "weight_map='none' takes no map_step: 0.05"),
        (MAPPED | {"map_step": 0}, "map_step=0.* must be above 0, or None"),
        ({"attention_lr": 10}, "attention='none' takes no attention_lr: 10.0"),
        ({"attention_decay": 0}, "attention='none' takes no attention_decay: 0.0"),
        (PPCR | {"attention_lr": 0}, "attention_lr=0.* must be above 0"),
        (MAPPED | {"map_epochs": 0}, "map_epochs=0 must be 1 or more, or None"),
        (MAPPED | {"map_epochs": 2.5}, "map_epochs=2.5 must be a whole number, or None"),
        (MAPPED | {"map_hidden": 0}, "map_hidden=0 must be 1 or more"),
        ({"prior": "a-run"}, "prior='a-run' needs attention='ppcr', not 'none'"),
        ({"prior": "a-run", "attention": "se"}, "needs attention='ppcr', not 'se'"),
        (PPCR | {"prior_use": "start"}, "prior_use='start' needs a prior: a run with a weight map"),
        (PPCR | {"prior_use": "add"}, "prior_use='add' is unknown; there are multiply"),
        ({"prior": None}, "prior=None must be text"),
        ({"split": "6/5"}, "split='6/5': there are 'own', 'all', or fold k of n"),
        ({"split": "all"}, "split='all' needs select='last', not 'accuracy'"),
        ({"dataset_options": [1]}, "dataset_options=.1. must be a mapping"),
        ({"dataset_options": {"a": object()}}, "has the value <object .*; allowed are numbers"),
    ],
)
def test_wrong_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


def test_yaml_is_read_or_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("lr: 1e-3\nepochs: 2\n")
    assert Recipe.from_yaml(path) == Recipe(lr=0.001, epochs=2)
    with pytest.raises(ValueError, match="no field 'learning_rate'; there are dataset, size"):
        Recipe.from_yaml("learning_rate: 1")
    with pytest.raises(ValueError, match="has lines 'field: value'; 'just words' was given"):
        Recipe.from_yaml("just words")
    with pytest.raises(ValueError, match="lr='fast' must be a finite number"):
        Recipe.from_yaml("lr: fast")


def test_malformed_yaml_is_refused():
    with pytest.raises(ValueError, match=r"'epochs: .1' is not YAML: .*expected"):
        Recipe.from_yaml("epochs: [1")
