"""ISIC2018, task 3: dermatoscopic photographs of seven kinds of skin lesions.

Source: Tschandl et al. 2018, "The HAM10000 dataset", Scientific Data 5, 180161; Codella et al.
2019, "Skin Lesion Analysis Toward Melanoma Detection 2018"; CC BY-NC 4.0.
Paper: Zhang et al., "PPCR", 2023, section 4.1 and Tables 1, 3, 4 and 5: 10,015 images at 224 px,
augmented ("isic" of `augment`), split "as in literature [30]", without numbers.
Differs from the paper: every accuracy that it prints is k/192. So it was tested on the 193 images
of the official *validation* part, in batches of 32 without the last, partial one. Here those images
are `val`, which chooses the epoch, and the official 1,512 test images are `test`. Images of 600 x
450 are squeezed to the square by area interpolation; the paper does not say how it resizes.
Some lesions of the 10,015 images were photographed more than once. "7:1:2" divides images, so that
one lesion may be in training and test, which flatters the accuracy.
"""

from pathlib import Path

import numpy as np
import torch

from medattn.datasets.area import shrink
from medattn.datasets.dataset import Dataset, Split, check_size
from medattn.datasets.decoded import Row
from medattn.datasets.entry import DATASETS
from medattn.datasets.files import Folder
from medattn.datasets.splits import train_val_test

CLASSES: dict[str, str] = DATASETS["isic2018"].classes  # the tables' columns -> names
PARTS = {"official": ("Training", "Validation", "Test"), "7:1:2": ("Training",)}  # per division


def load_isic2018(size: int, division: str = "official", seed: int = 0) -> Dataset:
    """Load the photographs, RGB, resized to a square.

    `division` is "official" (10,015 train, 193 validate, 1,512 test) or "7:1:2", which divides the
    10,015 training images by `seed`, stratified. A seed without an effect is a ValueError.
    """
    check_size(size)
    if division not in PARTS:
        raise ValueError(f"division={division!r} is not one of {', '.join(PARTS)}")
    if division == "official" and seed != 0:
        raise ValueError(
            f"seed={seed!r} changes nothing of division='official'; use '7:1:2' with it"
        )
    parts, classes = PARTS[division], tuple(CLASSES.values())
    folder = DATASETS["isic2018"].require(*(path for part in parts for path in _paths(part)))
    splits = [_read(part, size, folder) for part in parts]
    folder.raise_problems()
    if division == "7:1:2":
        (pool,) = splits
        index = train_val_test(pool.labels, classes, seed, val=1 / 8, test=1 / 5)
        splits = [pool.take(part) for part in index]
    train, val, test = splits
    return Dataset("isic2018", size, classes, train, val, test)


def _paths(part: str) -> tuple[str, str]:
    return f"ISIC2018_Task3_{part}_Input", f"ISIC2018_Task3_{part}_GroundTruth"


def _read(part: str, size: int, folder: Folder) -> Split:
    """Return an official part; if a problem was found, note it and return an empty one."""
    root, table = _paths(part)
    files = sorted((folder.path / root).glob("ISIC_*.jpg"))
    if not files:
        folder.note("folders without images", root)
    images = [f"{root}/{file.stem}" for file in files]
    rows = folder.read_table(folder.path / table / f"{table}.csv", ("image", *CLASSES))
    labels = folder.match_labels(_labels(root, rows, folder), images)

    def make_row(_: Path, image: np.ndarray) -> Row:
        return {"images": np.moveaxis(shrink(image, size), 2, 0)}

    try:
        arrays = folder.decode(f"isic2018-{part.lower()}-{size}", files, make_row)
    except ValueError:
        if not folder.problems:
            raise
    if folder.problems:  # they are raised together with those of the other parts
        return Split(torch.zeros(0, 3, size, size, dtype=torch.uint8), torch.zeros(0).long())
    numbers = torch.tensor([list(CLASSES).index(labels[image]) for image in images])
    return Split(torch.from_numpy(arrays["images"]), numbers)


def _labels(root: str, rows: list[dict[str, str]], folder: Folder) -> list[tuple[str, str]]:
    """Return image and class for each 1 in the table; a further column is an unknown class."""
    labels = []
    for row in rows:
        image = f"{root}/{row.pop('image')}"
        marked = [column for column, cell in row.items() if cell in ("1", "1.0")]
        labels += [(image, column) for column in marked]
        unknown = [f"{image} {column!r}" for column in marked if column not in CLASSES]
        folder.note(f"images of a class that is none of {', '.join(CLASSES)}", *unknown)
        wrong = [column for column in CLASSES if row[column] not in ("0", "0.0", "1", "1.0")]
        cells = [f"{image} {column} {row[column]!r}" for column in wrong]
        folder.note("cells that are neither 0 nor 1", *cells)
    return labels
