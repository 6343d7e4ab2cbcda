"""ISIC2018, task 3: dermatoscopic photographs of seven kinds of skin lesions.

Source: Tschandl et al. 2018, "The HAM10000 dataset", Scientific Data 5, 180161; Codella et al. 2019, "Skin Lesion
Analysis Toward Melanoma Detection 2018"; CC BY-NC 4.0.
Paper: Zhang et al., "PPCR", 2023, section 4.1 and Tables 1, 3, 4 and 5: 10,015 images at 224 px, augmented ("isic" of
`augment`), in training, validation and test images "as in literature [30]", without their numbers.
Differs from the paper: every accuracy it prints is k/192, so it was tested on the 193 images of the official
*validation* part, in batches of 32 of which the last, partial one was dropped. Nothing is dropped here, and the
official validation images choose the epoch: they are `val` of the division "official", whose test are the official
1,512. Images of 600 x 450 are squeezed to the square by area interpolation; the paper does not say how it resizes.
What "7:1:2" cannot promise: some lesions of the 10,015 images were photographed more than once, and the division is by
image, so that one lesion may be trained and tested on, which flatters the accuracy.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import check_size, shrink
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.divide import train_val_test
from medattn.datasets.pictures import read_pictures
from medattn.datasets.problems import Problems
from medattn.datasets.tables import one_label_each, read_table
from medattn.paths import data_folder

CLASSES = {  # column of the tables, in their order
    "MEL": "melanoma",
    "NV": "melanocytic nevus",
    "BCC": "basal cell carcinoma",
    "AKIEC": "actinic keratosis",
    "BKL": "benign keratosis",
    "DF": "dermatofibroma",
    "VASC": "vascular lesion",
}
DIVISIONS = {"official": ("Training", "Validation", "Test"), "7:1:2": ("Training",)}  # the official parts each needs
GET = "https://challenge.isic-archive.com/data/#2018 (task 3, CC BY-NC 4.0)"

_LAYOUT = f"""The folder must be as it was published, each part with its images and its table:
  ISIC2018_Task3_Training_Input/ISIC_0024306.jpg, ...
  ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv
  and the same of Validation and Test, which division='7:1:2' does not need
A table has the columns image,{",".join(CLASSES)}: a 1 for the image's class, else 0."""


def isic2018_folder() -> Path:
    """Say where ISIC2018 lies, or would lie."""
    return data_folder() / "isic2018"


def is_here() -> bool:
    """Say whether the training images are in the data folder."""
    return (isic2018_folder() / _input("Training")).is_dir()


def load_isic2018(size: int, division: str = "official", seed: int = 0) -> Dataset:
    """Load the photographs, RGB, resized to a square.

    `division` is "official" (10,015 train, 193 validate, 1,512 test) or "7:1:2", which divides the 10,015 training
    images by `seed`, each part with the whole's class shares. Raises FileNotFoundError where a part is missing, with
    the way to get it, and ValueError for another division, for a seed that would change nothing, and with all that is
    wrong with the files at once.
    """
    check_size(size)
    if division not in DIVISIONS:
        raise ValueError(f"division={division!r} is not one of {', '.join(DIVISIONS)}")
    if division == "official" and seed != 0:
        raise ValueError(f"seed={seed!r} changes nothing of division='official'; give division='7:1:2' with it")
    _require(DIVISIONS[division])
    problems = Problems(isic2018_folder(), _LAYOUT)
    splits = [_read(part, size, problems) for part in DIVISIONS[division]]
    problems.raise_any()

    classes = tuple(CLASSES.values())
    if division == "7:1:2":
        (pool,) = splits
        splits = [pool.take(part) for part in train_val_test(pool.labels, classes, seed, val=1 / 8, test=1 / 5)]
    return Dataset("isic2018", size, classes, *splits)


def _input(part: str) -> str:
    return f"ISIC2018_Task3_{part}_Input"


def _require(parts: tuple[str, ...]) -> None:
    folders = [f"ISIC2018_Task3_{part}_{kind}" for part in parts for kind in ("Input", "GroundTruth")]
    missing = [name for name in folders if not (isic2018_folder() / name).is_dir()]
    if missing:
        raise FileNotFoundError(
            f"ISIC2018 is not complete: there is no {', '.join(missing)} in {isic2018_folder()}. Get it from {GET} and "
            f"unpack it there (MEDATTN_DATA names another data folder; it is now {data_folder()}). {_LAYOUT}\n"
            "'phantoms' and 'digits' need no download."
        )


def _read(part: str, size: int, problems: Problems) -> Split | None:
    """Give the images and labels of an official part; None where something is wrong with it."""
    files = {f"{file.parent.name}/{file.stem}": file for file in (problems.folder / _input(part)).glob("ISIC_*.jpg")}
    files = dict(sorted(files.items()))
    if not files:
        problems.add("folders without images", _input(part))
        return None
    labels = _labels(part, files, problems)
    with problems.collecting():
        images = _decode(part, files, size, problems)
    if problems.found:
        return None
    columns = list(CLASSES)
    return Split(images, torch.tensor([columns.index(labels[image]) for image in files]))


def _labels(part: str, files: dict[str, Path], problems: Problems) -> dict[str, str]:
    """Give the column of the class by image; a column that the table has besides counts as a class nobody knows."""
    table = f"ISIC2018_Task3_{part}_GroundTruth"
    try:
        rows = read_table(problems.folder / table / f"{table}.csv", "image", *CLASSES)
    except ValueError as error:
        problems.add("tables that cannot be used", str(error))
        return {}
    labels = []
    for row in rows:
        image = f"{_input(part)}/{row.pop('image')}"
        marked = [column for column, cell in row.items() if cell in ("1", "1.0")]
        labels += [(image, column) for column in marked]
        unknown = [f"{image} {column!r}" for column in marked if column not in CLASSES]
        problems.add(f"images of a class that is none of {', '.join(CLASSES)}", *unknown)
        wrong = [column for column in CLASSES if row[column] not in ("0", "0.0", "1", "1.0")]
        problems.add("cells that are neither 0 nor 1", *(f"{image} {column} {row[column]!r}" for column in wrong))
    return one_label_each(labels, files, problems)


def _decode(part: str, files: dict[str, Path], size: int, problems: Problems) -> Tensor:
    """Give the images of a part, from the cache. Shape: (N, 3, size, size) uint8."""

    def rows() -> Iterator[Row]:
        for _, image in read_pictures(files.values(), "RGB", problems):
            yield {"images": np.moveaxis(shrink(image, size), 2, 0)}

    name = f"isic2018-{part.lower()}-{size}"
    return torch.from_numpy(decoded(name, isic2018_folder(), list(files.values()), len(files), rows)["images"])
