"""IDRiD, disease grading: 516 fundus photographs with a retinopathy grade and a risk of macular edema.

Source: Porwal et al. 2018, "Indian Diabetic Retinopathy Image Dataset", Data 3, 25; CC BY 4.0.
Paper: global spatial attention, section 4.1 and supplement 1.1: background columns are cut, the rest is resized to a
square with area interpolation, and right eyes are flipped, so that the optic disc lies on the left.
Differs from the paper: it has no validation images; here a fifth of the official training images, stratified, by
seed 0. Its Table 1 swaps the numbers of classes: there are 5 grades and 3 risks. The crop is a share of the width, so
that copies at another resolution are cut at the same place.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medattn.datasets.area import check_size, shrink
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.divide import train_val
from medattn.datasets.pictures import read_pictures
from medattn.datasets.problems import Problems
from medattn.datasets.tables import one_label_each, read_table
from medattn.paths import data_folder

TASKS = {  # column of the tables, names of grades 0, 1, ...
    "retinopathy": ("Retinopathy grade", ("none", "mild", "moderate", "severe", "proliferative")),
    "edema": ("Risk of macular edema", ("no exudates", "exudates", "exudates near the fovea")),
}
LEFT, RIGHT = 260 / 4288, 3686 / 4288  # columns 260 to 3685 of the originals are kept, as shares of the width

PLACES = {"train": "a. Training Set", "test": "b. Testing Set"}
_PART, _IMAGES, _TABLES = "B. Disease Grading", "1. Original Images", "2. Groundtruths"
_TABLE = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}
_LAYOUT = f"""The folder must be as it was published:
  {_PART}/{_IMAGES}/{PLACES["train"]}/IDRiD_001.jpg ... IDRiD_413.jpg
  {_PART}/{_IMAGES}/{PLACES["test"]}/IDRiD_001.jpg ... IDRiD_103.jpg
  {_PART}/{_TABLES}/{_TABLE["train"]}
  {_PART}/{_TABLES}/{_TABLE["test"]}"""
GET = "https://idrid.grand-challenge.org/Data/ or IEEE DataPort (Indian Diabetic Retinopathy Image Dataset)"


def idrid_folder() -> Path:
    """Say where IDRiD lies, or would lie."""
    return data_folder() / "idrid"


def is_here() -> bool:
    """Say whether the grading part is in the data folder."""
    return (idrid_folder() / _PART).is_dir()


def load_idrid(size: int, task: str = "retinopathy") -> Dataset:
    """Load the graded images, cut, resized and aligned as in the paper: RGB, the optic disc on the left.

    `task` is "retinopathy" (grades 0 to 4) or "edema" (risks 0 to 2); the test images are the official ones, 413 train
    and validate. Raises FileNotFoundError where the set is missing, with the way to get it, and ValueError with all
    that is wrong with its files at once.
    """
    check_size(size)
    if task not in TASKS:
        raise ValueError(f"task={task!r} is not one of {', '.join(TASKS)}")
    problems, files = _found()
    grades = _grades(task, files, problems)
    images = _decode(files, size, problems)
    problems.raise_any()

    labels = torch.tensor([grades[name] for name in files])
    n = sum(name.startswith(PLACES["train"]) for name in files)
    classes = TASKS[task][1]
    pool, test = Split(images[:n], labels[:n]), Split(images[n:], labels[n:])
    train, val = train_val(pool.labels, classes)
    return Dataset("idrid", size, classes, pool.take(train), pool.take(val), test)


def graded(size: int) -> tuple[list[tuple[str, str]], Tensor]:
    """Give all names, ("train", "IDRiD_001"), and images as `load_idrid` aligns them, (N, 3, size, size) uint8."""
    check_size(size)
    problems, files = _found()
    images = _decode(files, size, problems)
    problems.raise_any()
    splits = {place: split for split, place in PLACES.items()}
    return [(splits[place], name) for place, _, name in (file.partition("/") for file in files)], images


def require(part: str, layout: str) -> None:
    """Raise FileNotFoundError with the way to get IDRiD where this part of it is not in the data folder."""
    if not (idrid_folder() / part).is_dir():
        raise FileNotFoundError(
            f"there is no IDRiD, {part!r}, in {idrid_folder()}: get it from {GET}, free after registration, CC BY 4.0, "
            f"and unpack it there (MEDATTN_DATA names another data folder; it is now {data_folder()}). {layout}\n"
            "'phantoms' and 'digits' need no download."
        )


def flipped_positions() -> dict[str, set[int]]:
    """Give the flipped images' positions in name order, from 0, of "train" and "test" (the supplement's lists)."""
    table = pd.read_csv(Path(__file__).with_name("idrid_flips.csv"))
    return {split: set(rows["index"].tolist()) for split, rows in table.groupby("split")}


def _found() -> tuple[Problems, dict[str, Path]]:
    """Give the images by folder and name, "a. Training Set/IDRiD_001", the training images first."""
    require(_PART, _LAYOUT)
    problems, files = Problems(idrid_folder(), _LAYOUT), {}
    for place in PLACES.values():
        folder = problems.folder / _PART / _IMAGES / place
        found = sorted(folder.glob("IDRiD_[0-9][0-9][0-9].jpg"))
        files |= {f"{place}/{file.stem}": file for file in found}
        if not found:
            problems.add("folders without images", f"{_PART}/{_IMAGES}/{place}")
    return problems, files


def _grades(task: str, files: dict[str, Path], problems: Problems) -> dict[str, int]:
    column, classes = TASKS[task]
    labels = []
    for split, place in PLACES.items():
        try:
            rows = read_table(problems.folder / _PART / _TABLES / _TABLE[split], "Image name", column)
        except ValueError as error:
            problems.add("tables that cannot be used", str(error))
        else:
            labels += [(f"{place}/{row['Image name']}", row[column]) for row in rows]
    known = {str(grade): grade for grade in range(len(classes))}
    wrong = [f"{name} {label!r}" for name, label in labels if label not in known]
    problems.add(f"labels that are none of {', '.join(known)}", *wrong)
    return {name: known.get(label, 0) for name, label in one_label_each(labels, files, problems).items()}


def _decode(files: dict[str, Path], size: int, problems: Problems) -> Tensor:
    """Give the aligned images of both sets, from the cache. Shape: (N, 3, size, size) uint8."""
    if not files:
        problems.raise_any()
    names = {f"{PLACES[split]}/IDRiD_{i + 1:03}" for split, at in flipped_positions().items() for i in at}
    flips = {file for name, file in files.items() if name in names}

    def rows() -> Iterator[Row]:
        for file, image in read_pictures(files.values(), "RGB", problems):
            image = shrink(image, size, LEFT, RIGHT)
            yield {"images": np.moveaxis(image[:, ::-1] if file in flips else image, 2, 0)}

    arrays = decoded(f"idrid-{size}", idrid_folder(), list(files.values()), len(files), rows)
    return torch.from_numpy(arrays["images"])
