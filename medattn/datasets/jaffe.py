"""JAFFE: 213 photographs of ten Japanese women's faces, rated for six emotions by 60 people.

Source: Lyons et al. 1998, "Coding facial expressions with Gabor wavelets"; Zenodo 3451524, under
terms of its own.
Paper: global spatial attention, sections 4.1 and 4.6, supplement 1.2: an image's label is the
emotion with the largest mean rating, a random fifth tests, and images are resized by area.
Differs from the paper: the fifth is stratified, and a fifth of the rest validates. Of two equally
large ratings, the first in the table's order is the label; the paper does not say.
"""

import logging
import re
from pathlib import Path

import numpy as np
import torch

from medattn.datasets.area import shrink
from medattn.datasets.dataset import Dataset, Split, check_size
from medattn.datasets.decoded import Row
from medattn.datasets.entry import DATASETS
from medattn.datasets.files import Folder, is_picture, listed
from medattn.datasets.splits import train_val_test

CLASSES = ("happiness", "sadness", "surprise", "anger", "disgust", "fear")  # the table's order

_HEADER = ["HAP", "SAD", "SUR", "ANG", "DIS", "FEA", "PIC"]
_TABLE = "README_FIRST.txt"
_PICTURE = r"[A-Z]{2}-[A-Z]{2}\d+"  # KA-AN1 is the image KA.AN1.39.tiff
_ROW = re.compile(rf"\s*\S+((?:\s+\d+(?:\.\d*)?){{6}})\s+({_PICTURE})\s*")  # number, ratings

_log = logging.getLogger(__name__)


def load_jaffe(size: int, seed: int = 0) -> Dataset:
    """Load the rated images, grey, divided by `seed`: 64 % train, 16 % validate, 20 % test.

    The published set has ratings without an image and images without a rating. They are left out
    and named in a logged warning.
    """
    check_size(size)
    folder = DATASETS["jaffe"].require()
    labels = _labels(folder)
    files = sorted(file for file in folder.path.iterdir() if is_picture(file))

    def make_row(_: Path, image: np.ndarray) -> Row:
        return {"images": shrink(image, size)[None]}

    arrays = folder.decode(f"jaffe-{size}", files, make_row, "L")
    folder.raise_problems()

    pictures = ["-".join(file.name.split(".")[:2]) for file in files]
    left_out = {
        "ratings without an image": sorted(labels.keys() - set(pictures)),
        "images without a rating": sorted(set(pictures) - labels.keys()),
    }
    for kind, names in left_out.items():
        if names:
            _log.warning("JAFFE: %d %s (%s) are left out", len(names), kind, listed(names))
    rated = [i for i, picture in enumerate(pictures) if picture in labels]
    numbers = torch.tensor([labels[pictures[i]] for i in rated], dtype=torch.int64)
    pool = Split(torch.from_numpy(arrays["images"])[rated], numbers)
    train, val, test = (pool.take(part) for part in train_val_test(numbers, CLASSES, seed))
    return Dataset("jaffe", size, CLASSES, train, val, test)


def _labels(folder: Folder) -> dict[str, int]:
    """Return the label of each picture in the first table; a second one leaves out fear."""
    try:
        lines = (folder.path / _TABLE).read_text(encoding="latin-1").splitlines()
    except OSError:
        folder.note("tables that are missing", _TABLE)
        return {}
    titles = [line.replace("#", " ").upper().split() for line in lines]
    if _HEADER not in titles:
        folder.note("tables without the header line of the ratings", _TABLE)
        return {}
    labels: dict[str, int] = {}
    for line in lines[titles.index(_HEADER) + 1 :]:
        if "excluded" in line.lower() or "PIC" in line.upper().split():
            break
        if not (line.strip()[:1].isdigit() or re.search(_PICTURE, line)):
            continue  # a rule, an empty line or a sentence
        match = _ROW.fullmatch(line)
        if match is None:
            folder.note("malformed rows", repr(line.strip()))
            continue
        ratings = [float(rating) for rating in match[1].split()]
        label = int(np.argmax(ratings))  # the first of equals
        if labels.setdefault(match[2], label) != label:
            folder.note("images with two labels", match[2])
    return labels
