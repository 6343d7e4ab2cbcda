"""JAFFE: 213 photographs of ten Japanese women's faces, rated for six emotions by 60 people.

Source: Lyons et al. 1998, "Coding facial expressions with Gabor wavelets"; Zenodo 3451524, under terms of its own.
Paper: global spatial attention, sections 4.1 and 4.6, supplement 1.2: an image's label is the emotion with the
largest mean rating; a random fifth is the test; images are resized with area interpolation.
Differs from the paper: the fifth is stratified, and a fifth of the rest validates (the paper has no validation images).
Where two ratings are equally large, the first in the table's order is the label; the paper does not say.
"""

import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import check_size, shrink
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.divide import train_val_test
from medattn.datasets.pictures import is_picture, read_pictures
from medattn.datasets.problems import SHOWN, Problems
from medattn.paths import data_folder

CLASSES = ("happiness", "sadness", "surprise", "anger", "disgust", "fear")  # in the order of the table
GET = "https://zenodo.org/record/3451524 (after agreeing to its terms)"

_HEADER = ["HAP", "SAD", "SUR", "ANG", "DIS", "FEA", "PIC"]
_TABLE = "README_FIRST.txt"
_PICTURE = re.compile(r"[A-Z]{2}-[A-Z]{2}\d+")  # KA-AN1 is the image KA.AN1.39.tiff
_LAYOUT = f"""The folder must hold the images and the table as they were published:
  KA.AN1.39.tiff, KA.AN2.40.tiff, ... (subject, expression and its number, number), no folders in it
  {_TABLE} with the table of mean ratings, "# {" ".join(_HEADER)}\""""

_log = logging.getLogger(__name__)


def jaffe_folder() -> Path:
    """Say where JAFFE lies, or would lie."""
    return data_folder() / "jaffe"


def load_jaffe(size: int, seed: int = 0) -> Dataset:
    """Load the rated images, grey, divided by `seed`: 64 % train, 16 % validate, 20 % test.

    Ratings without an image and images without a rating, which the published set has, are left out and named in a
    warning of the log. Raises FileNotFoundError where the set is missing, with the way to get it, and ValueError with
    all that is wrong with its files at once.
    """
    check_size(size)
    folder = jaffe_folder()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no JAFFE, no folder {folder}: get it from {GET} and unpack it there (MEDATTN_DATA names another "
            f"data folder). {_LAYOUT}\n'phantoms' and 'digits' need no download."
        )
    problems = Problems(folder, _LAYOUT)
    labels = _labels(problems)
    files = sorted(file for file in folder.iterdir() if is_picture(file))
    images = _decode(files, size, problems)
    problems.raise_any()

    pictures = [_id(file) for file in files]
    _warn(labels.keys() - set(pictures), set(pictures) - labels.keys())
    rated = [i for i, picture in enumerate(pictures) if picture in labels]
    pool = Split(images[rated], torch.tensor([labels[pictures[i]] for i in rated], dtype=torch.int64))
    train, val, test = (pool.take(part) for part in train_val_test(pool.labels, CLASSES, seed))
    return Dataset("jaffe", size, CLASSES, train, val, test)


def _id(file: Path) -> str:
    return "-".join(file.name.split(".")[:2])


def _decode(files: list[Path], size: int, problems: Problems) -> Tensor:
    """Give the images, from the cache. Shape: (N, 1, size, size) uint8."""
    if not files:
        problems.add("folders without images", problems.folder.name)
        problems.raise_any()

    def rows() -> Iterator[Row]:
        for _, image in read_pictures(files, "L", problems):
            yield {"images": shrink(image, size)[None]}

    return torch.from_numpy(decoded(f"jaffe-{size}", problems.folder, files, len(files), rows)["images"])


def _labels(problems: Problems) -> dict[str, int]:
    """Give the label of every picture in the first table; a second one, which leaves out fear, is not read."""
    try:
        lines = (problems.folder / _TABLE).read_text(encoding="latin-1").splitlines()
    except OSError:
        problems.add("tables that are missing", _TABLE)
        return {}
    starts = [i for i, line in enumerate(lines) if line.replace("#", " ").upper().split() == _HEADER]
    if not starts:
        problems.add("tables without the header line of the ratings", _TABLE)
        return {}
    labels: dict[str, int] = {}
    for line in lines[starts[0] + 1 :]:
        if "excluded" in line.lower() or "PIC" in line.upper().split():
            break
        if not (line.strip()[:1].isdigit() or _PICTURE.search(line)):
            continue  # a rule, an empty line or a sentence
        row = _row(line)
        if row is None:
            problems.add("malformed rows", repr(line.strip()))
        elif labels.setdefault(*row) != row[1]:
            problems.add("images with two labels", row[0])
    return labels


def _row(line: str) -> tuple[str, int] | None:
    """Read a number, six ratings and a picture as picture and label; None where they are not that."""
    try:
        _, *ratings, picture = line.split()
        means = [float(rating) for rating in ratings]
    except ValueError:
        return None
    if len(means) != len(CLASSES) or not all(map(math.isfinite, means)) or not _PICTURE.fullmatch(picture):
        return None
    return picture, int(np.argmax(means))  # the first of equals


def _warn(without_image: set[str], without_rating: set[str]) -> None:
    parts = [
        f"{len(names)} {kind} ({', '.join(sorted(names)[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for kind, names in (("ratings without an image", without_image), ("images without a rating", without_rating))
        if names
    ]
    if parts:
        _log.warning("JAFFE: %s are left out", " and ".join(parts))
