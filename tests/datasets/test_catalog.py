"""The catalog: every name loads or says clearly why not."""

import re

import pytest
import torch
from medmnist import INFO

from medattn.datasets import (
    DATASETS,
    catalog,
    images_with_lesions,
    isic2018,
    jaffe,
    load_dataset,
    phantoms,
    relevant_region,
)
from medattn.datasets.dataset import MAX_SIZE, MIN_SIZE
from medattn.datasets.idrid.grading import TASKS
from medattn.paths import data_folder

OFFLINE = ("phantoms", "digits")
FOLDERS = ("idrid", "jaffe", "glaucoma", "isic2018", "fundus_isee")
CIFAR = ("cifar10", "cifar100")


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_loads_or_says_what_is_missing(name, empty_folder):
    if name in OFFLINE:
        data = load_dataset(name)
        assert (data.name, data.size, data.n_classes) == (name, 28, DATASETS[name].classes)
        assert all(len(split) for split in (data.train, data.val, data.test))
    elif name == "chestmnist":
        with pytest.raises(ValueError, match="multi-label"):
            load_dataset(name)
    elif name in (*FOLDERS, *CIFAR):
        with pytest.raises(FileNotFoundError) as caught:
            load_dataset(name, 32)
        for part in (str(empty_folder / name), *OFFLINE):
            assert part in str(caught.value)
    else:
        with pytest.raises(FileNotFoundError) as caught:
            load_dataset(name, 64)
        message = str(caught.value)
        for part in (
            str(empty_folder / "medmnist" / f"{name}_64.npz"),
            f"medattn data --download {name} --size 64",
        ):
            assert part in message
        assert re.search(r"MD5 [0-9a-f]{32}", message) and "https://" in message
        assert all(offline in message for offline in OFFLINE)


def test_the_catalog_lists_every_set_and_how_to_get_it(empty_folder):
    table = catalog()
    assert list(table) == [
        "name",
        "classes",
        "sizes",
        "images",
        "licence",
        "citation",
        "here",
        "get",
    ]
    assert table["name"].tolist() == [*DATASETS, "npz:PATH", "folder:PATH"]
    assert (
        table["name"].str.endswith("mnist").sum() == 12
    )  # MedMNIST's two-dimensional sets, none of the others
    assert table.notna().all(axis=None) and (table.astype(str) != "").all(axis=None)
    table = table.set_index("name")
    assert table.loc["phantoms", "here"] == "built in"
    assert table.loc["retinamnist", "here"] == "missing"
    assert table.loc["retinamnist", ["classes", "licence"]].tolist() == [5, "CC BY 4.0"]
    assert table.loc["retinamnist", "images"] == "1080 / 120 / 400"
    assert table.loc["dermamnist", "licence"] == "CC BY-NC 4.0"
    assert table.loc["idrid", ["classes", "licence", "here"]].tolist() == [
        "5 retinopathy, 3 edema",
        "CC BY 4.0",
        "missing",
    ]
    assert "several labels" in table.loc["chestmnist", "here"]


def test_the_catalog_names_the_sizes_that_are_here(empty_folder):
    (empty_folder / "medmnist").mkdir()
    for file in ("breastmnist.npz", "breastmnist_224.npz"):
        (empty_folder / "medmnist" / file).touch()
    assert catalog().set_index("name").loc["breastmnist", "here"] == "28, 224"
    (empty_folder / "idrid" / "B. Disease Grading").mkdir(parents=True)
    (empty_folder / "jaffe").mkdir()
    assert catalog().set_index("name").loc[["idrid", "jaffe", "glaucoma"], "here"].tolist() == [
        *("here", "here", "missing"),
    ]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "retina",
            {},
            "name='retina' .did you mean 'retinamnist'[?]. is not one of phantoms, digits",
        ),
        ("", {}, "name='' is not one of"),
        (
            "phantoms",
            {"contrst": 1.0},
            "contrst=1.0 is no option of phantoms, which has n_train, .*contrast, seed",
        ),
        ("digits", {"seed": 1}, "seed=1 is no option of digits, which has none"),
        ("breastmnist", {"seed": 1}, "seed=1 is no option of breastmnist, which has none"),
        ("npz:x.npz", {"task": 1}, "task=1 is no option of npz:x.npz, which has seed"),
        (
            "cifar10",
            {"size": 28},
            "size=28, but images of cifar10 are 32 x 32: load it with size=32",
        ),
        ("isic2018", {"division": "8:2"}, "division='8:2' is not one of official, 7:1:2"),
        ("digits", {"size": 7}, "size=7 must be a whole number of pixels from 8 to 224"),
        ("breastmnist", {"size": 32}, "size=32 is not one of 28, 64, 128, 224"),
    ],
)
def test_unknown_names_and_options_are_refused(name, options, says, empty_folder):
    with pytest.raises(ValueError, match=says):
        load_dataset(name, **options)


def test_data_folder_is_read_each_time(empty_folder):
    assert data_folder() == empty_folder


def test_images_without_a_lesion_are_left_out():
    data = load_dataset("phantoms", 28, n_train=3, n_val=3, n_test=9)
    images, masks = images_with_lesions("phantoms", 28, n_train=3, n_val=3, n_test=9)
    ill = data.test.labels > 0
    assert torch.equal(images, data.test.images[ill]) and torch.equal(masks, data.test.masks[ill])


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_names_real_functions(name):
    entry = DATASETS[name]
    for role in ("load", "state", "download", "lesions", "region"):
        assert not getattr(entry, role) or callable(entry.function(role))


@pytest.mark.parametrize("name", [name for name in DATASETS if name.endswith("mnist")])
def test_medmnist_entries_agree_with_medmnist(name):
    entry, info = DATASETS[name], INFO[name]
    assert (entry.classes, entry.licence) == (len(info["label"]), info["license"])
    n_images = [str(info["n_samples"][split]) for split in ("train", "val", "test")]
    assert entry.images == " / ".join(n_images)


def test_other_entries_agree_with_their_modules():
    assert DATASETS["phantoms"].classes == len(phantoms.CLASSES)
    assert len(isic2018.CLASSES) == 7
    assert DATASETS["jaffe"].classes == len(jaffe.CLASSES)
    tasks = [f"{len(classes)} {task}" for task, (_, classes) in TASKS.items()]
    assert DATASETS["idrid"].classes == ", ".join(tasks)
    for name in FOLDERS:
        assert DATASETS[name].sizes == f"{MIN_SIZE} to {MAX_SIZE}"


def test_region_of_data_set_comes_before_entry():
    data = load_dataset("phantoms", n_train=3, n_val=3, n_test=3)
    assert relevant_region(data) is data.region
    assert relevant_region(load_dataset("digits")) is None
