"""Any folder of images, in each of its three forms, and everything that may be wrong with it."""

import os
import re

import numpy as np
import pytest
import torch
from layouts import save
from PIL import Image

from medattn.datasets import load_dataset

CLASSES = ("cat", "dog")


def picture(value: int, colour: bool = False, height: int = 12, width: int = 20) -> np.ndarray:
    return np.full((height, width, 3), (value, value, value // 2 if colour else value), np.uint8)


@pytest.fixture
def own(folder):
    """Twenty images of each class, in a folder for each; the images of class k are k * 100 + i."""
    for k, name in enumerate(CLASSES):
        for i in range(20):
            save(picture(100 * k + i), folder / "own" / name / f"{i:02}.png")
    return folder / "own"


def parts(data):
    return (data.train, data.val, data.test)


def table(own, lines, header="image,label"):
    (own / "labels.csv").write_text("\n".join([header, *lines]))


def as_table(own, split=lambda i: "") -> list[str]:
    """The same images in one folder, and the lines of their table."""
    lines = []
    for k, name in enumerate(CLASSES):
        for file in sorted((own / name).iterdir()):
            file = file.rename(own / f"{name}_{file.name}")
            lines.append(f"{file.name},{CLASSES[k]}{split(len(lines))}")
        (own / name).rmdir()
    return lines


def right(split) -> bool:
    return all(
        label == value // 100
        for label, value in zip(split.labels, split.images[:, 0, 0, 0], strict=True)
    )


def test_a_folder_for_each_class(own):
    data = load_dataset("folder:own", 8)
    assert (data.name, data.size, data.channels, data.classes) == ("folder:own", 8, 1, CLASSES)
    assert [len(split) for split in parts(data)] == [25, 7, 8] and all(map(right, parts(data)))
    assert data.test.labels.bincount().tolist() == [4, 4]
    values = torch.cat([split.images[:, 0, 0, 0] for split in parts(data)])
    assert sorted(values.tolist()) == [*range(20), *range(100, 120)]


def test_a_whole_path_and_the_seed(own):
    one, same, other = (
        load_dataset(f"folder:{own}", 8, seed=seed).test.images for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_folders_of_splits(own):
    for split, first, last in (("train", 0, 10), ("val", 10, 14), ("test", 14, 20)):
        for name in CLASSES:
            (own / split / name).mkdir(parents=True)
            for i in range(first, last):
                (own / name / f"{i:02}.png").rename(own / split / name / f"{i:02}.png")
    for name in CLASSES:
        (own / name).rmdir()
    data = load_dataset("folder:own", 8)
    assert [len(split) for split in parts(data)] == [20, 8, 12] and all(map(right, parts(data)))
    assert sorted(data.val.images[:, 0, 0, 0].tolist()) == [10, 11, 12, 13, 110, 111, 112, 113]

    (own / "test").rename(own / "tests")
    with pytest.raises(
        ValueError, match="2 folders of a split, of which train and test must be there: train, val"
    ):
        load_dataset("folder:own", 8)
    (own / "tests").rename(own / "test")
    for split in ("train", "val", "test"):
        (own / split).rename(own / split.title())
    with pytest.raises(
        ValueError,
        match="3 folders that look like splits, which are called train, val, test: Test, ",
    ):
        load_dataset("folder:own", 8)
    for split in ("train", "val", "test"):
        (own / split.title()).rename(own / split)
    (own / "val").rename(own / "valid")
    with pytest.raises(
        ValueError,
        match="1 folders that look like splits, which are called train, val, test: valid",
    ):
        load_dataset("folder:own", 8)
    (own / "valid").rename(own / "val")

    for name in CLASSES:  # without val: a fifth of train
        for file in (own / "val" / name).iterdir():
            file.unlink()
    data = load_dataset("folder:own", 8)
    assert [len(split) for split in parts(data)] == [16, 4, 12] and all(map(right, parts(data)))


def test_a_table(own):
    table(own, as_table(own))
    data = load_dataset("folder:own", 8)
    assert [len(split) for split in parts(data)] == [25, 7, 8] and all(map(right, parts(data)))
    assert data.classes == CLASSES


def test_a_table_with_splits_and_folders_below(own):
    lines = [
        f"{name}/{i:02}.png,{name},{'test' if i < 5 else 'train'},x"
        for name in CLASSES
        for i in range(20)
    ]
    table(own, lines, "image , label,split,note")
    data = load_dataset("folder:own", 8)
    assert [len(split) for split in parts(data)] == [24, 6, 10] and all(map(right, parts(data)))
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == [*range(5), *range(100, 105)]


def test_numbers_are_sorted_by_value(own):
    lines = as_table(own)
    table(own, [line.replace(",cat", ",10").replace(",dog", ",9") for line in lines])
    assert load_dataset("folder:own", 8).classes == ("9", "10")


def test_one_image_in_colour_makes_all_of_them_rgb(own):
    save(picture(200, colour=True), own / "dog" / "colour.png")
    data = load_dataset("folder:own", 8)
    assert data.channels == 3
    images = torch.cat([split.images for split in parts(data)])
    assert (images[:, 2] != images[:, 0]).flatten(1).any(1).sum() == 1


def test_formats_of_files(own):
    Image.fromarray(picture(7)[..., 0]).save(own / "cat" / "grey.PNG")
    Image.fromarray(picture(7)[..., 0]).convert("P").save(own / "cat" / "palette.bmp")
    Image.fromarray(picture(7)).convert("RGBA").save(own / "cat" / "alpha.tif")
    (own / "cat" / "notes.txt").write_text("not an image")
    (own / "cat" / "._00.png").write_text("what a Mac leaves")
    (own / ".hidden").mkdir()
    save(picture(7), own / ".hidden" / "thumb.png")
    data = load_dataset("folder:own", 8)
    assert data.channels == 1 and sum(len(split) for split in parts(data)) == 43


def test_class_folders_may_be_links_and_have_folders(own, folder):
    (own / "dog").rename(folder / "elsewhere")
    os.symlink(folder / "elsewhere", own / "dog")
    (own / "cat" / "more").mkdir()
    (own / "cat" / "00.png").rename(own / "cat" / "more" / "00.png")
    data = load_dataset("folder:own", 8)
    assert sum(len(split) for split in parts(data)) == 40 and all(map(right, parts(data)))


def test_a_new_image_is_seen(own):
    load_dataset("folder:own", 8)
    save(picture(150), own / "dog" / "new.png")
    images = torch.cat([split.images for split in parts(load_dataset("folder:own", 8))])
    assert len(images) == 41 and (images == 150).any()


def test_a_second_load_decodes_nothing(own, monkeypatch):
    load_dataset("folder:own", 8)
    monkeypatch.setattr("medattn.datasets.files.read_picture", None)
    load_dataset("folder:own", 8, seed=3)


def test_folder_problems_are_reported_at_once(own):
    save(picture(1), own / "stray.png")
    (own / "cat" / "00.png").write_bytes(b"")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(own / "dog" / "deep.png")
    with pytest.raises(ValueError) as caught:
        load_dataset("folder:own", 8)
    for part in (
        "1 images without a label, outside the class folders: stray.png",
        "2 images that cannot be read: cat/00.png (it is no image), dog/deep.png (its pixels are I",
        "labels.csv with the columns image",
        str(own),
    ):
        assert part in str(caught.value)


def test_table_problems_are_reported_at_once(own):
    lines = as_table(own, lambda i: ",train" if i % 3 else ",test")
    lines[1] = "cat_01.png,cat,tset"
    lines[2] = "cat_02.png,,train"
    lines[3] = "gone.png,cat,train"
    table(own, [*lines, "dog_00.png,cat,train"], "image,label,split")
    (own / "dog_01.png").write_bytes(b"no image")
    with pytest.raises(ValueError) as caught:
        load_dataset("folder:own", 8)
    for part in (
        "1 splits that are none of train, val, test: cat_01.png 'tset'",
        "1 empty labels: cat_02.png",
        "1 labelled images that are absent: gone.png",
        "1 images without a label: cat_03.png",
        "1 images with two labels: dog_00.png",
        "1 images that cannot be read: dog_01.png (it is no image)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"file,label\n", "labels.csv has no column image; its columns are file, label"),
        (b"", "labels.csv has no column image, label; its columns are none"),
        (b"\xff\xfe\x00image", "labels.csv cannot be read"),
    ],
)
def test_invalid_table_is_named(own, content, says):
    (own / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(says)):
        load_dataset("folder:own", 8)


def test_too_few_classes_or_images_are_refused(folder):
    save(picture(1), folder / "own" / "cat" / "0.png")
    with pytest.raises(ValueError, match="has one class, 'cat'; two or more are needed"):
        load_dataset("folder:own", 8)
    save(picture(1), folder / "own" / "dog" / "0.png")
    with pytest.raises(
        ValueError, match=r"too few images to hold out 1 of 5 .*: the classes have cat 1, dog 1"
    ):
        load_dataset("folder:own", 8)


def test_splits_without_a_class_or_a_test_are_named(own):
    lines = as_table(own, lambda i: ",train" if i < 20 else ",test")
    table(own, lines, "image,label,split")
    with pytest.raises(ValueError, match="has no training images of dog"):
        load_dataset("folder:own", 8)
    table(own, [line.replace(",test", ",train") for line in lines], "image,label,split")
    with pytest.raises(ValueError, match="has no test images"):
        load_dataset("folder:own", 8)


@pytest.mark.parametrize("name", ["", "none", "own/cat/00.png"])
def test_missing_folder_is_refused(own, name):
    with pytest.raises(FileNotFoundError, match=r"(?s)there is no folder .*CLASS/image.png"):
        load_dataset(f"folder:{name}", 8)


def test_an_empty_folder_is_named(folder):
    (folder / "own").mkdir()
    with pytest.raises(ValueError, match="1 folders without images: own"):
        load_dataset("folder:own", 8)


def test_options_and_sizes_are_checked(own):
    with pytest.raises(ValueError, match="task=1 is no option of folder:own, which has seed"):
        load_dataset("folder:own", 8, task=1)
    with pytest.raises(ValueError, match="size=7 must be"):
        load_dataset("folder:own", 7)


def test_glaucoma_is_a_folder_and_private(own, folder):
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("glaucoma", 8)
    for part in ("glaucoma", "private", folder / "glaucoma", "CLASS/image.png", "phantoms"):
        assert str(part) in str(caught.value)
    own.rename(folder / "glaucoma")
    data = load_dataset("glaucoma", 8)
    assert data.name == "glaucoma" and [len(split) for split in parts(data)] == [25, 7, 8]
