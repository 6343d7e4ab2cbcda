"""JAFFE: its flat folder, its table of ratings and their known gaps."""

import logging

import numpy as np
import pytest
import torch
from layouts import save
from PIL import Image

from medattn.datasets import load_dataset
from medattn.datasets.jaffe import CLASSES

SUBJECTS = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
TABLE = "README_FIRST.txt"
SECOND = """
Semantic Ratings Data (Fear Excluded)
# HAP SAD SUR ANG DIS PIC
1 1.00 5.00 1.00 1.00 1.00 KA-AN1
"""


def row(number: int, label: int, picture: str) -> str:
    ratings = np.full(6, 2.0)
    ratings[label] = 4.5
    return f"{number} {' '.join(f'{rating:.2f}' for rating in ratings)} {picture}"


@pytest.fixture
def jaffe(folder):
    """60 images, ten of each emotion; image i is plain grey of value 3 i."""
    rows = []
    for i in range(60):
        picture = f"{SUBJECTS[i % 10]}-{('HA', 'SA', 'SU', 'AN', 'DI', 'FE')[i // 10]}1"
        save(
            np.full((16, 16), 3 * i, np.uint8),
            folder / "jaffe" / f"{picture.replace('-', '.')}.{i}.tiff",
        )
        rows.append(row(i + 1, i // 10, picture))
    write(folder / "jaffe", rows)
    return folder / "jaffe"


def write(folder, rows, second=SECOND):
    lines = ["JAFFE, 213 images", "", "# HAP SAD SUR ANG DIS FEA PIC", "-" * 30, *rows, second]
    (folder / TABLE).write_text("\n".join(lines))


def rows_of(folder) -> list[str]:
    text = (folder / TABLE).read_text().split("-" * 30)[1].split("Semantic")[0]
    return text.strip().splitlines()


def test_loads_grey_and_divides_by_seed(jaffe):
    data = load_dataset("jaffe", 8)
    assert (data.name, data.size, data.channels, data.classes) == ("jaffe", 8, 1, CLASSES)
    assert [len(split) for split in (data.train, data.val, data.test)] == [38, 10, 12]
    assert data.test.labels.bincount().tolist() == [2] * 6
    for split in (data.train, data.val, data.test):
        values = split.images[:, 0, 0, 0].int()
        assert torch.equal(split.images.int(), values.view(-1, 1, 1, 1).expand(-1, 1, 8, 8))
        by_value = {3 * i: label for i, (_, label) in enumerate(sorted_labels(jaffe))}
        assert split.labels.tolist() == [by_value[value] for value in values.tolist()]


def sorted_labels(folder):
    numbered = [(int(file.name.split(".")[2]), file) for file in folder.glob("*.tiff")]
    return [(number, number // 10) for number, _ in sorted(numbered)]


def test_the_seed_decides_the_test_images(jaffe):
    one, same, other = (load_dataset("jaffe", 8, seed=seed).test.images for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    with pytest.raises(ValueError, match="seed=-1 must be a whole number from 0"):
        load_dataset("jaffe", 8, seed=-1)


def test_palettes_are_grey_values(jaffe):
    file = next(jaffe.glob("*.59.tiff"))
    palette = Image.fromarray(np.zeros((16, 16), np.uint8), mode=None).convert("P")
    palette.putpalette([10, 10, 10] * 256)
    palette.save(file)
    data = load_dataset("jaffe", 8)
    images = torch.cat([data.train.images, data.val.images, data.test.images])
    assert (images[:, 0, 0, 0] == 10).sum() == 1 and not (images == 177).any()


def test_the_first_of_equal_ratings_is_the_label(jaffe):
    rows = rows_of(jaffe)
    rows[0] = "1 3.00 4.00 4.00 1.00 1.00 4.00 KA-HA1"
    write(jaffe, rows)
    data = load_dataset("jaffe", 8)
    for split in (data.train, data.val, data.test):
        for label in split.labels[split.images[:, 0, 0, 0] == 0]:
            assert data.classes[label] == "sadness"


def test_unmatched_ratings_and_images_are_warned_of(jaffe, caplog):
    rows = rows_of(jaffe)
    write(jaffe, [*rows[1:], row(99, 0, "ZZ-HA9")])
    with caplog.at_level(logging.WARNING):
        data = load_dataset("jaffe", 8)
    assert sum(len(split) for split in (data.train, data.val, data.test)) == 59
    assert [record.getMessage() for record in caplog.records] == [
        "JAFFE: 1 ratings without an image (ZZ-HA9) are left out",
        "JAFFE: 1 images without a rating (KA-HA1) are left out",
    ]


def test_a_complete_set_warns_of_nothing(jaffe, caplog):
    load_dataset("jaffe", 8)
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, before it gives up
def test_problems_are_reported_at_once(jaffe):
    rows = rows_of(jaffe)
    rows[3] = "4 2.0 2.0 2.0 2.0 2.0 KR-HA1"
    rows[5] = "6 2.0 x 2.0 2.0 2.0 2.0 NA-HA1"
    rows[7] = "8 2.0 nan 2.0 2.0 2.0 2.0 TM-HA1"
    write(jaffe, [*rows, row(61, 5, "KA-HA1")])
    next(jaffe.glob("*.11.tiff")).write_bytes(b"no image")
    file = next(jaffe.glob("*.12.tiff"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError) as caught:
        load_dataset("jaffe", 8)
    message = str(caught.value)
    for part in (
        *(f"{rows[i]!r}" for i in (3, 5, 7)),
        "3 malformed rows",
        "KL.SA1.11.tiff",
        "KM.SA1.12.tiff",
        TABLE,
    ):
        assert part in message
    assert (
        "2 images that cannot be read" in message and "1 images with two labels: KA-HA1" in message
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "tables that are missing: README"), ("nothing", "without the header line")],
)
def test_invalid_table_is_named(jaffe, text, says):
    (jaffe / TABLE).unlink()
    if text:
        (jaffe / TABLE).write_text(text)
    with pytest.raises(ValueError, match=says):
        load_dataset("jaffe", 8)


def test_a_folder_without_images_is_named(folder):
    (folder / "jaffe").mkdir()
    with pytest.raises(ValueError, match="1 folders without images: jaffe"):
        load_dataset("jaffe", 8)


def test_missing_set_says_how_to_get_it(folder):
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("jaffe", 8)
    for part in (
        "jaffe",
        "zenodo.org/record/3451524",
        folder / "jaffe",
        "KA.AN1.39.tiff",
        TABLE,
        "phantoms",
    ):
        assert str(part) in str(caught.value)
