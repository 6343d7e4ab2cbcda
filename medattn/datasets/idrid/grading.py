"""IDRiD, disease grading: 516 fundus photographs with a retinopathy grade and a risk of edema.

Source: Porwal et al. 2018, "Indian Diabetic Retinopathy Image Dataset", Data 3, 25; CC BY 4.0.
Paper: global spatial attention, section 4.1 and supplement 1.1: background columns are cut, the
rest is resized to a square by area, and right eyes are flipped: the optic disc lies on the left.
Differs from the paper: it has no validation images; here they are a fifth of the official training
images, stratified, by seed 0. Its Table 1 swaps the numbers of classes: there are 5 grades and 3
risks. The crop is given in shares of the width, so that it also fits copies of another resolution.
"""

import csv
from pathlib import Path

import numpy as np
import torch

from medattn.datasets.area import shrink
from medattn.datasets.dataset import Dataset, Split, check_size
from medattn.datasets.decoded import Row
from medattn.datasets.entry import DATASETS
from medattn.datasets.files import Folder
from medattn.datasets.splits import train_val

TASKS = {  # the tables' column, the names of grades 0, 1, ...
    "retinopathy": ("Retinopathy grade", ("none", "mild", "moderate", "severe", "proliferative")),
    "edema": ("Risk of macular edema", ("no exudates", "exudates", "exudates near the fovea")),
}
LEFT, RIGHT = 260 / 4288, 3686 / 4288  # columns 260 to 3685 are kept, as shares of the width

SPLIT_FOLDERS = {"train": "a. Training Set", "test": "b. Testing Set"}
_PART = "B. Disease Grading"
_TABLES = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}


def load_idrid(size: int, task: str = "retinopathy") -> Dataset:
    """Load the graded images, cut, resized and aligned as in the paper: RGB, the disc on the left.

    `task` is "retinopathy" (grades 0 to 4) or "edema" (risks 0 to 2). The official test images are
    the test split; the 413 others train and validate.
    """
    check_size(size)
    if task not in TASKS:
        raise ValueError(f"task={task!r} is not one of {', '.join(TASKS)}")
    folder = DATASETS["idrid"].require(_PART)
    files, flipped = _find(folder)
    grades = _grades(task, files, folder)

    def make_row(file: Path, image: np.ndarray) -> Row:
        image = shrink(image, size, LEFT, RIGHT)
        return {"images": np.moveaxis(image[:, ::-1] if file in flipped else image, 2, 0)}

    images = torch.from_numpy(folder.decode(f"idrid-{size}", files.values(), make_row)["images"])
    folder.raise_problems()
    labels = torch.tensor([grades[name] for name in files])
    n = sum(name.startswith(SPLIT_FOLDERS["train"]) for name in files)
    classes = TASKS[task][1]
    pool, test = Split(images[:n], labels[:n]), Split(images[n:], labels[n:])
    train, val = train_val(pool.labels, classes)
    return Dataset("idrid", size, classes, pool.take(train), pool.take(val), test)


def flipped_positions() -> dict[str, set[int]]:
    """Return the positions, from 0 in name order, of flipped images (the supplement's lists)."""
    positions: dict[str, set[int]] = {"train": set(), "test": set()}
    with Path(__file__).with_name("flips.csv").open() as table:
        for row in csv.DictReader(table):
            positions[row["split"]].add(int(row["index"]))
    return positions


def _find(folder: Folder) -> tuple[dict[str, Path], set[Path]]:
    """Return the images by name, "a. Training Set/IDRiD_001", and those that are flipped."""
    files: dict[str, Path] = {}
    for name in SPLIT_FOLDERS.values():
        images = f"{_PART}/1. Original Images/{name}"
        found = sorted((folder.path / images).glob("IDRiD_[0-9][0-9][0-9].jpg"))
        files |= {f"{name}/{file.stem}": file for file in found}
        if not found:
            folder.note("folders without images", images)
    positions = flipped_positions()
    names = {f"{SPLIT_FOLDERS[s]}/IDRiD_{i + 1:03}" for s in positions for i in positions[s]}
    return files, {files[name] for name in names & files.keys()}


def _grades(task: str, files: dict[str, Path], folder: Folder) -> dict[str, int]:
    column, classes = TASKS[task]
    labels = []
    for split, name in SPLIT_FOLDERS.items():
        table = folder.path / _PART / "2. Groundtruths" / _TABLES[split]
        rows = folder.read_table(table, ("Image name", column))
        labels += [(f"{name}/{row['Image name']}", row[column]) for row in rows]
    known = {str(grade): grade for grade in range(len(classes))}
    wrong = [f"{name} {label!r}" for name, label in labels if label not in known]
    folder.note(f"labels that are none of {', '.join(known)}", *wrong)
    matched = folder.match_labels(labels, files)
    return {name: known.get(label, 0) for name, label in matched.items()}
