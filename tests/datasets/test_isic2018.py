"""ISIC2018: its official parts, its division, and all that may be wrong with a copy."""

import re

import numpy as np
import pytest
import torch
from layouts import save

from medattn.datasets import DATASETS, catalog, load_dataset
from medattn.datasets.isic2018 import CLASSES

HEADER = ",".join(["image", *CLASSES])
N = {"Training": 70, "Validation": 14, "Test": 21}  # image i of a part is of class i % 7


def image_file(root, part: str, i: int):
    return root / f"ISIC2018_Task3_{part}_Input" / f"ISIC_{i:07}.jpg"


def table_file(root, part: str):
    return root / f"ISIC2018_Task3_{part}_GroundTruth" / f"ISIC2018_Task3_{part}_GroundTruth.csv"


def row(i: int, *marked: int, n: int = 7) -> str:
    return ",".join([f"ISIC_{i:07}", *("1.0" if k in marked else "0.0" for k in range(n))])


def write(root, part: str, rows: list[str], header: str = HEADER) -> None:
    table_file(root, part).parent.mkdir(parents=True, exist_ok=True)
    table_file(root, part).write_text("\n".join([header, *rows]) + "\n")


def rows_of(part: str) -> list[str]:
    return [row(i, i % 7) for i in range(N[part])]


@pytest.fixture
def tree(folder):
    """Small copies of the three parts: image i is plain, 3 i in red, beside other files."""
    root = folder / "isic2018"
    for part, n in N.items():
        for i in range(n):
            save(np.full((9, 12, 3), (3 * i, 100, 50), np.uint8), image_file(root, part, i))
        image_file(root, part, 0).with_name("LICENSE.txt").write_text("CC BY-NC")
        write(root, part, rows_of(part))
    return root


def splits(data):
    return data.train, data.val, data.test


def numbers(split) -> torch.Tensor:
    return (
        (split.images[:, 0].float().mean((1, 2)) / 3).round().long()
    )  # JPEG changes a value by 1 at most


def test_the_official_parts(tree):
    data = load_dataset("isic2018", 8)
    assert (data.name, data.size, data.channels) == ("isic2018", 8, 3)
    assert data.classes[:2] == ("melanoma", "melanocytic nevus") and data.n_classes == 7
    for split, n in zip(splits(data), N.values(), strict=True):
        assert numbers(split).tolist() == list(range(n)) and split.labels.tolist() == [
            i % 7 for i in range(n)
        ]


def test_seven_one_two_divides_by_seed(tree):
    for part in ("Validation", "Test"):
        table_file(tree, part).unlink()  # not needed
    data, same, other = (
        load_dataset("isic2018", 8, division="7:1:2", seed=seed) for seed in (0, 0, 1)
    )
    assert [len(split) for split in splits(data)] == [49, 7, 14]
    assert [split.labels.bincount().tolist() for split in splits(data)] == [
        [7] * 7,
        [1] * 7,
        [2] * 7,
    ]
    assert sorted(torch.cat([numbers(split) for split in splits(data)]).tolist()) == list(range(70))
    assert all(torch.equal(numbers(split) % 7, split.labels) for split in splits(data))
    assert torch.equal(data.test.images, same.test.images) and not torch.equal(
        data.test.images, other.test.images
    )


def test_both_divisions_decode_an_image_once(tree, monkeypatch):
    load_dataset("isic2018", 8)
    monkeypatch.setattr("medattn.datasets.files.read_picture", None)
    load_dataset("isic2018", 8, division="7:1:2", seed=3)
    assert len(load_dataset("isic2018", 8).train) == 70


def test_the_order_of_the_table_does_not_matter(tree):
    write(tree, "Training", rows_of("Training")[::-1])
    assert load_dataset("isic2018", 8).train.labels.tolist() == [i % 7 for i in range(70)]


def test_invalid_options_are_refused(tree):
    with pytest.raises(
        ValueError, match="seed=2 changes nothing of division='official'; use '7:1:2'"
    ):
        load_dataset("isic2018", 8, seed=2)
    with pytest.raises(ValueError, match="seed=-1 must be a whole number from 0"):
        load_dataset("isic2018", 8, division="7:1:2", seed=-1)
    with pytest.raises(ValueError, match="size=7 must be"):
        load_dataset("isic2018", 7)


def test_too_few_images_to_divide_are_named(tree):
    write(tree, "Training", [row(i, 0 if i else 6) for i in range(70)])
    with pytest.raises(ValueError, match=r"too few images to hold out 1 of 5 .*vascular lesion 1"):
        load_dataset("isic2018", 8, division="7:1:2")


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (
            [row(0), row(1, 1)],
            HEADER,
            "1 images without a label: ISIC2018_Task3_Test_Input/ISIC_0000000",
        ),
        ([row(1, 1)], HEADER, "1 images without a label: ISIC2018_Task3_Test_Input/ISIC_0000000"),
        (
            [row(0, 0, 3), row(1, 1)],
            HEADER,
            "1 images with two labels: ISIC2018_Task3_Test_Input/ISIC_0000000",
        ),
        (
            [row(0, 0), row(0, 3), row(1, 1)],
            HEADER,
            "1 images with two labels: ISIC2018_Task3_Test_Input/ISIC_0000000",
        ),
        (
            [row(0, 0), row(1, 1), row(9, 2)],
            HEADER,
            "1 labelled images that are absent: ISIC2018_Task3_Test_Input/ISIC_",
        ),
        (
            [row(0, 7, n=8), row(1, 1, n=8)],
            f"{HEADER},SCC",
            "1 images of a class that is none of MEL, NV, BCC, AKIEC, BKL, DF, VASC: "
            "ISIC2018_Task3_Test_Input/ISIC_0000000 'SCC'",
        ),
        (
            [row(0, 0).replace("1.0", "yes"), row(1, 1)],
            HEADER,
            "1 cells that are neither 0 nor 1: ISIC2018_Task3_Test_Input/ISIC_0000000 MEL 'yes'",
        ),
        (
            [row(0, 0), row(1, 1)],
            HEADER.replace("DF", "DFB"),
            "tables that cannot be used: ISIC2018_Task3_Test_GroundTruth.csv has no column DF; ",
        ),
    ],
)
def test_table_problems_are_named(tree, rows, header, says):
    for i in range(2, N["Test"]):
        image_file(tree, "Test", i).unlink()
    write(tree, "Test", rows, header)
    with pytest.raises(ValueError, match=re.escape(says)):
        load_dataset("isic2018", 8)


def test_problems_of_all_parts_are_reported(tree):
    image_file(tree, "Training", 3).write_bytes(b"no image")
    whole = image_file(tree, "Test", 4).read_bytes()
    image_file(tree, "Test", 4).write_bytes(whole[: len(whole) // 2])
    image_file(tree, "Validation", 5).unlink()
    write(tree, "Test", rows_of("Test")[1:])
    with pytest.raises(ValueError) as caught:
        load_dataset("isic2018", 8)
    message = str(caught.value)
    assert message.startswith(f"{tree} cannot be used as it is:")
    for part in (
        "2 images that cannot be read: ISIC2018_Task3_Training_Input/ISIC_0000003.jpg (it is no im",
        "ISIC2018_Task3_Test_Input/ISIC_0000004.jpg (",
        "1 labelled images that are absent: ISIC2018_Task3_Validation_Input/ISIC_0000005",
        "1 images without a label: ISIC2018_Task3_Test_Input/ISIC_0000000",
        "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
    ):
        assert part in message


def test_missing_table_and_images_are_named(tree):
    table_file(tree, "Test").unlink()
    for i in range(N["Validation"]):
        image_file(tree, "Validation", i).unlink()
    with pytest.raises(ValueError) as caught:
        load_dataset("isic2018", 8)
    assert "ISIC2018_Task3_Test_GroundTruth.csv cannot be read" in str(caught.value)
    assert "1 folders without images: ISIC2018_Task3_Validation_Input" in str(caught.value)


def test_missing_part_says_how_to_get_it(folder):
    assert DATASETS["isic2018"].here() == "missing"
    (folder / "isic2018" / "ISIC2018_Task3_Training_Input").mkdir(parents=True)
    assert catalog().set_index("name").loc["isic2018", "here"] == "here"
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("isic2018", 8)
    message = str(caught.value)
    for part in (
        *(
            "isic2018",
            "https://challenge.isic-archive.com/data/#2018",
            folder / "isic2018",
            "phantoms",
            "7:1:2",
        ),
        "/ISIC2018_Task3_Training_GroundTruth, ",
    ):
        assert str(part) in message
    with pytest.raises(
        FileNotFoundError, match=r"there is no .*/ISIC2018_Task3_Training_GroundTruth\. How"
    ):
        load_dataset("isic2018", 8, division="7:1:2")
