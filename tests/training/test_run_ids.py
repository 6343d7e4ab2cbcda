"""The ids of runs that were made long ago: a change of `Recipe` must not rename their folders."""

import pytest
import yaml

from medattn.paths import results_folder
from medattn.training import Recipe

TIMM = {"network": "timm:test_resnet", "optimizer": "adam"}
MAPPED = TIMM | {"lr": 0.0005, "lr_step": 12, "epochs": 16, "normalise": "imagenet",
                 "weight_map": "global", "map_epochs": 8}  # fmt: skip
PHANTOMS = TIMM | {"lr": 0.002, "lr_step": 10, "epochs": 15}
IDRID = TIMM | {"dataset": "idrid", "size": 112, "dataset_options": {"task": "retinopathy"},
                "lr": 0.001, "lr_step": 20, "epochs": 30}  # fmt: skip
DENSENET = {"dataset": "idrid", "size": 224, "dataset_options": {"task": "edema"},
            "normalise": "imagenet", "network": "densenet161", "optimizer": "adam", "lr": 1e-4,
            "lr_step": 250, "epochs": 1, "accumulate": 4, "weight_map": "global",
            "map_penalty": 0.001, "map_epochs": 1}  # fmt: skip
RUN_IDS = {
    "phantoms28-resnet18-none-s0-44136fa3": {},
    "breastmnist28-resnet18-none-s0-923ef1af": {"dataset": "breastmnist", "precision": "bf16"},
    "breastmnist28-resnet50-ppcr-s1-6c0fe904": {
        "dataset": "breastmnist", "network": "resnet50", "attention": "ppcr", "epochs": 30,
        "seed": 1},
    "retinamnist28-resnet18-ppcr-s1-796f71c0": {
        "dataset": "retinamnist", "attention": "ppcr", "attention_options": {"scales": (1,)},
        "epochs": 30, "seed": 1},
    "breastmnist224-timm-test_resnet-gc-s0-9f8516a9": TIMM | {
        "dataset": "breastmnist", "size": 224, "attention": "gc", "lr": 0.001, "lr_step": 8,
        "epochs": 12},
    "phantoms28-timm-test_resnet-none-s0-b619be26": PHANTOMS | {"shuffle_labels": True},
    "phantoms28-timm-test_resnet-global-s0-02e7015c": MAPPED | {"map_penalty": 0.1},
    "phantoms28-timm-test_resnet-global-s0-6cd2d15b": MAPPED | {
        "epochs": 20, "map_penalty": 0.001, "split": "all", "select": "last",
        "test_every_epoch": True},
    "phantoms28-timm-test_resnet-global-s0-37dda081": MAPPED | {
        "epochs": 20, "map_penalty": 0.001, "split": "5/5"},
    "phantoms28-timm-test_resnet-global-s0-9e5b59ad": MAPPED | {
        "map_penalty": 0.1, "map_options": {"basis": "principal"}},
    "phantoms28-timm-test_resnet-global-s1-633a2c88": MAPPED | {
        "map_penalty": 0.001, "map_hidden": 62, "seed": 1},
    "idrid112-timm-test_resnet-global-ppcr-s1-b4cae2bf": IDRID | {
        "attention": "ppcr", "weight_map": "global", "map_penalty": 0.001, "seed": 1},
    "idrid112-timm-test_resnet-ppcr-s0-39ed054a": IDRID | {
        "attention": "ppcr", "prior": "idrid112-timm-test_resnet-global-s0-a91cac6c",
        "prior_use": "start"},
    "idrid224-densenet161-global-s0-404cea5f": DENSENET,
}  # fmt: skip


@pytest.mark.parametrize("run_id", RUN_IDS)
def test_run_id_of_recipe_stays(run_id):
    recipe = Recipe(**RUN_IDS[run_id])
    assert recipe.run_id == run_id
    assert Recipe.from_yaml(recipe.to_yaml()).run_id == run_id


def test_run_ids_of_committed_results_stay():
    paths = sorted((results_folder() / "runs").glob("*/recipe.yaml"))
    assert len(paths) >= 283
    for path in paths:
        recipe = Recipe.from_yaml(path)
        assert recipe.run_id == path.parent.name
        written = yaml.safe_load(path.read_text())
        assert {name: recipe.to_dict()[name] for name in written} == written


def test_later_field_leaves_earlier_ids():
    """Check ids of runs made before `shuffle_labels`, `prior` and `prior_use` existed."""
    recipe = Recipe(**TIMM, normalise="imagenet", lr=0.0005, lr_step=12, epochs=16)
    learned = recipe.replace(weight_map="global", map_penalty=0.001, map_epochs=8)
    assert recipe.run_id == "phantoms28-timm-test_resnet-none-s0-c5a62a81"
    assert learned.run_id == "phantoms28-timm-test_resnet-global-s0-babe06fe"


def test_run_id_is_a_valid_folder_name():
    recipe = Recipe(network="my.package:build", dataset="npz:/some where/My set.npz")
    assert recipe.run_id.startswith("My-set28-my.package-build-none-s0-")
    assert not set(recipe.run_id) & set("/\\: ")
