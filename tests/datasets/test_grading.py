"""IDRiD's grading part: cut, aligned, labelled; and all that may be wrong with a copy of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import FOLDERS, GRADING, TABLES, eye, save
from papers_text import GLOBAL_TEXT, with_text
from torch.nn import functional as F

from medattn.datasets import load_dataset
from medattn.datasets.area import shrink
from medattn.datasets.idrid.grading import LEFT, RIGHT, TASKS, flipped_positions

N = {"train": 30, "test": 10}
HEADERS = {"train": "Image name,Retinopathy grade,Risk of macular edema ,,,", "test": ""}
HEADERS["test"] = HEADERS["train"].rstrip(",")


def image_file(folder: Path, split: str, number: int) -> Path:
    return folder / GRADING / "1. Original Images" / FOLDERS[split] / f"IDRiD_{number:03}.jpg"


def table_file(folder: Path, split: str) -> Path:
    return folder / GRADING / "2. Groundtruths" / TABLES[split]


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_bytes().decode()
    assert old in text
    file.write_bytes(text.replace(old, new).encode())


@pytest.fixture
def tree(folder):
    """A small copy; right eyes, with the disc on the right, are those of the supplement."""
    root, flips = folder / "idrid", flipped_positions()
    for split, n in N.items():
        for i in range(n):
            image, _ = eye(24, 36, 0.77 if i in flips[split] else 0.23)
            save(image, image_file(root, split, i + 1))
        rows = [
            f"IDRiD_{i + 1:03},{i % 5},{i % 3}" + (",,," if split == "train" else "")
            for i in range(n)
        ]
        table_file(root, split).parent.mkdir(parents=True, exist_ok=True)
        table_file(root, split).write_bytes(
            "\r\n".join([HEADERS[split], *rows, ",,,", ""]).encode()
        )
    return root


@pytest.mark.parametrize("task", TASKS)
def test_loads_each_task_with_its_classes(tree, task):
    data = load_dataset("idrid", 16, task=task)
    assert (data.name, data.size, data.channels, data.classes) == ("idrid", 16, 3, TASKS[task][1])
    assert [len(split) for split in (data.train, data.val, data.test)] == [24, 6, 10]
    assert data.test.labels.tolist() == [i % data.n_classes for i in range(10)]
    assert (data.train.labels.bincount() + data.val.labels.bincount()).tolist() == [
        30 // data.n_classes
    ] * data.n_classes


def test_default_task_and_stratified_validation(tree):
    data = load_dataset("idrid", 16)
    assert data.n_classes == 5 and data.val.labels.bincount(minlength=5).min() >= 1
    assert torch.equal(data.val.images, load_dataset("idrid", 16).val.images)


def test_every_disc_lies_on_the_left_after_flipping(tree):
    data = load_dataset("idrid", 32)
    for split in (data.train, data.val, data.test):
        bright = split.images.float().mean((1, 2))  # (N, W)
        assert (bright.argmax(1) < 14).all() and (bright.argmax(1) > 2).all()


def test_the_images_are_the_files_cut_and_shrunk(tree):
    from PIL import Image

    data = load_dataset("idrid", 16)
    for number in (1, 2):  # left as it is, flipped
        whole = np.asarray(Image.open(image_file(tree, "test", number)))
        expected = shrink(whole, 16, LEFT, RIGHT)[:, :: -1 if number == 2 else 1]
        assert np.array_equal(data.test.images[number - 1].permute(1, 2, 0).numpy(), expected)


def test_both_tasks_share_one_decoding(tree, own_cache, monkeypatch):
    load_dataset("idrid", 16)
    monkeypatch.setattr("medattn.datasets.idrid.grading.shrink", None)  # would fail when called
    load_dataset("idrid", 16, task="edema")
    assert len(list(own_cache.iterdir())) == 1


def test_the_data_folder_stays_as_it_is(tree):
    before = sorted(tree.rglob("*"))
    load_dataset("idrid", 16)
    assert sorted(tree.rglob("*")) == before


def test_problems_are_reported_at_once(tree):
    image_file(tree, "train", 4).unlink()
    image_file(tree, "test", 9).rename(image_file(tree, "test", 77))
    image_file(tree, "train", 6).write_bytes(b"no image")
    whole = image_file(tree, "train", 7).read_bytes()
    image_file(tree, "train", 7).write_bytes(whole[:-20])
    edit(table_file(tree, "train"), "IDRiD_008,2,", "IDRiD_008,5,")
    edit(table_file(tree, "train"), "IDRiD_010,4,", "IDRiD_010,,")
    edit(table_file(tree, "train"), "IDRiD_012,1,", "IDRiD_011,1,")
    with pytest.raises(ValueError) as caught:
        load_dataset("idrid", 16)
    message = str(caught.value)
    for part in (
        "2 labelled images that are absent: a. Training Set/IDRiD_004, b. Testing Set/IDRiD_009",
        "2 images without a label: a. Training Set/IDRiD_012, b. Testing Set/IDRiD_077",
        "2 images that cannot be read",
        "IDRiD_006.jpg (it is no image)",
        "IDRiD_007.jpg (image file is truncated",
        "2 labels that are none of 0, 1, 2, 3, 4: a. Training Set/IDRiD_008 '5', a. Training Set/",
        "1 images with two labels: a. Training Set/IDRiD_011",
        str(tree),
        "B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg",
    ):
        assert part in message


def test_mended_folder_loads(tree):
    whole = image_file(tree, "train", 7).read_bytes()
    image_file(tree, "train", 7).write_bytes(whole[:50])
    with pytest.raises(ValueError, match="1 images that cannot be read"):
        load_dataset("idrid", 16)
    image_file(tree, "train", 7).write_bytes(whole)
    assert len(load_dataset("idrid", 16).train) == 24


def test_long_lists_end_with_a_count(tree):
    for number in range(1, 14):
        image_file(tree, "train", number).unlink()
    with pytest.raises(
        ValueError, match=r"13 labelled images that are absent: .*IDRiD_010 and 3 more"
    ):
        load_dataset("idrid", 16)


def test_missing_tables_and_folders_are_named(tree):
    table_file(tree, "test").unlink()
    edit(table_file(tree, "train"), "Retinopathy grade", "Grade")
    for file in image_file(tree, "test", 1).parent.iterdir():
        file.unlink()
    with pytest.raises(ValueError) as caught:
        load_dataset("idrid", 16)
    for part in (
        "2 tables that cannot be used",
        "Training Labels.csv has no column Retinopathy grade; its columns are Image name, Grade,",
        "Testing Labels.csv cannot be read",
        "1 folders without images: B. Disease Grading/1. Original Images/b. Testing Set",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("what", ["nothing", "other parts"])
def test_missing_set_says_how_to_get_it(folder, what):
    if what == "other parts":
        (folder / "idrid" / "A. Segmentation").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("idrid", 16)
    for part in (
        "idrid",
        "https://idrid.grand-challenge.org/Data/",
        "IEEE DataPort",
        folder / "idrid",
        "phantoms",
    ):
        assert str(part) in str(caught.value)
    for split in FOLDERS:
        assert f"1. Original Images/{FOLDERS[split]}/IDRiD_001.jpg" in str(caught.value)
        assert f"2. Groundtruths/{TABLES[split]}" in str(caught.value)


def test_invalid_options_are_refused(tree):
    with pytest.raises(ValueError, match="task='glaucoma' is not one of retinopathy, edema"):
        load_dataset("idrid", 16, task="glaucoma")
    with pytest.raises(ValueError, match="size=4 must be"):
        load_dataset("idrid", 4)
    with pytest.raises(ValueError, match="seed=1 is no option of idrid, which has task"):
        load_dataset("idrid", 16, seed=1)


def test_flips_are_204_and_47_positions():
    flips = flipped_positions()
    assert {split: len(at) for split, at in flips.items()} == {"train": 204, "test": 47}
    assert min(flips["train"]) == 0 and max(flips["train"]) == 412
    assert min(flips["test"]) == 1 and max(flips["test"]) == 102


@with_text
def test_flips_are_those_of_supplement():
    text = GLOBAL_TEXT.read_text().split("Preprocessing of Datasets")[1]
    printed = [sorted(map(int, found.split(","))) for found in re.findall(r"\{([\d,\s]+)\}", text)]
    assert printed == [sorted(flipped_positions()[split]) for split in ("train", "test")]


def test_real_images_have_official_numbers(real_idrid):
    counts = {
        "retinopathy": ([134, 20, 136, 74, 49], [34, 5, 32, 19, 13]),
        "edema": ([177, 41, 195], [45, 10, 48]),
    }
    for task, (pool, test) in counts.items():
        data = load_dataset("idrid", 64, task=task)
        assert (data.train.labels.bincount() + data.val.labels.bincount()).tolist() == pool
        assert data.test.labels.bincount().tolist() == test
        assert [len(split) for split in (data.train, data.val, data.test)] == [330, 83, 103]
    images = (
        torch.cat([data.train.images, data.val.images, data.test.images])
        .float()
        .sum(1, keepdim=True)
    )
    brightest = F.avg_pool2d(images, 5, stride=1, padding=2).flatten(1).argmax(1) % 64  # column
    assert (brightest < 32).float().mean() > 0.95
