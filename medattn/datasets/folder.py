"""Any folder of images: one folder per class, or a table of labels; split as it says, or by seed.

Source: this project; the images are the user's.
Images are squeezed to a square by area interpolation, and nothing is cut. They are grey if every
image of the folder is grey, else RGB.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import shrink
from medattn.datasets.dataset import SPLITS, Dataset, Split, check_size
from medattn.datasets.decoded import Row
from medattn.datasets.entry import DATASETS
from medattn.datasets.files import HINT, SUFFIXES, Folder, is_picture
from medattn.datasets.splits import train_val, train_val_test
from medattn.paths import data_folder

_TABLE = "labels.csv"
_SPLIT_LIKE = {*SPLITS, "training", "valid", "validation", "testing"}  # in lower case
_LAYOUT = f"""A folder of images ({", ".join(SUFFIXES)}) has one of three forms:
  CLASS/image.png, one folder per class
  train/CLASS/image.png, test/CLASS/image.png and, optionally, val/CLASS/image.png
  {_TABLE} with the columns image (path within the folder), label and, optionally,
    split (train, val or test)"""


def load_folder(path: str | Path, size: int, seed: int = 0) -> Dataset:
    """Load any folder of images; a relative path starts at the data folder.

    Classes are sorted by name, or by value if all are numbers. Images without splits are divided by
    `seed`: 64 % train, 16 % validate, 20 % test. Without "val" a fifth of "train" is held out.
    """
    root = data_folder() / Path(path).expanduser()
    if not str(path).strip() or not root.is_dir():
        start = f"folder: takes a whole path, or one from the data folder {data_folder()}"
        raise FileNotFoundError(f"there is no folder {root}: {start}. {_LAYOUT}\n{HINT}")
    return _load(Folder(root, _LAYOUT), f"folder:{path}", size, seed, ())


def load_entry(name: str, size: int, seed: int = 0) -> Dataset:
    """Load a set of the catalog as `load_folder` does; it has the classes that its entry names."""
    entry = DATASETS[name]
    classes = tuple(entry.classes) if isinstance(entry.classes, list) else ()
    only = f"The classes are {', '.join(classes)}. " if classes else ""
    return _load(replace(entry, layout=only + _LAYOUT).require(), name, size, seed, classes)


def _load(folder: Folder, name: str, size: int, seed: int, classes: tuple[str, ...]) -> Dataset:
    check_size(size)
    files = _pictures(folder.path)
    has_table = (folder.path / _TABLE).is_file()
    labels, splits = (_from_table if has_table else _from_folders)(files, folder)
    if classes:
        known = (*classes, "")  # empty labels are noted elsewhere
        unknown = [f"{image} {label!r}" for image, label in labels.items() if label not in known]
        folder.note(f"images of a class that is none of {', '.join(classes)}", *unknown)
        folder.note("classes without images", *(c for c in classes if c not in labels.values()))

    def make_row(_: Path, image: np.ndarray) -> Row:
        small = shrink(image, size)
        return {"images": np.moveaxis(small, 2, 0), "grey": (small == small[..., :1]).all()}

    arrays = folder.decode(f"folder-{size}", files.values(), make_row)
    folder.raise_problems()

    images = torch.from_numpy(arrays["images"])
    if not classes:
        found = set(labels.values())
        by_value = all(name.isdecimal() for name in found)
        classes = tuple(sorted(found, key=lambda name: (int(name) if by_value else 0, name)))
    numbers = torch.tensor([classes.index(labels[image]) for image in files])
    parts = _divide(numbers, [splits[image] for image in files], classes, seed, folder)
    whole = Split(images[:, :1] if arrays["grey"].all() else images, numbers, names=tuple(files))
    train, val, test = (whole.take(part) for part in parts)
    return Dataset(name, size, classes, train, val, test)


def _pictures(root: Path) -> dict[str, Path]:
    """Return the images in and below a folder, sorted by path; links are followed."""
    files = []
    for parent, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [file for file in (Path(parent) / name for name in names) if is_picture(file)]
    return {file.relative_to(root).as_posix(): file for file in sorted(files)}


def _from_table(files: dict[str, Path], folder: Folder) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and the splits ("" for none) that the table gives to the images."""
    rows = folder.read_table(folder.path / _TABLE, ("image", "label"))
    if folder.problems:
        return {}, {}
    by_image = [(row["image"].replace("\\", "/").removeprefix("./"), row) for row in rows]
    splits = {image: row["split"] for image, row in by_image if "split" in row}
    wrong = [f"{image} {split!r}" for image, split in splits.items() if split not in SPLITS]
    folder.note(f"splits that are none of {', '.join(SPLITS)}", *wrong)
    labels = [(image, row["label"]) for image, row in by_image]
    folder.note("empty labels", *(image for image, label in labels if not label))
    return folder.match_labels(labels, files), dict.fromkeys(files, "") | splits


def _from_folders(files: dict[str, Path], folder: Folder) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and the splits ("" for none) that the images' folders give to them."""
    has_splits = all((folder.path / name).is_dir() for name in ("train", "test"))
    nested = list(dict.fromkeys(image.split("/")[0] for image in files if image.count("/") > 1))
    if not has_splits:  # a class may be called train, but then it has no folders
        kind = "folders of a split, of which train and test must be there"
        folder.note(kind, *(name for name in nested if name in SPLITS))
    likely = [name for name in nested if name not in SPLITS and name.lower() in _SPLIT_LIKE]
    if has_splits or len(likely) > 1:  # a single one may be a class with folders
        kind = f"folders that look like splits, which are called {', '.join(SPLITS)}"
        folder.note(kind, *likely)
    labels, splits = {}, {}
    for image in files:
        *above, label = image.split("/")[: 1 + has_splits]
        if image.count("/") > has_splits and all(name in SPLITS for name in above):
            labels[image], splits[image] = label, "".join(above)
    strays = sorted(files.keys() - labels.keys())
    folder.note("images without a label, outside the class folders", *strays)
    return labels, splits


def _divide(
    labels: Tensor, splits: list[str], classes: tuple[str, ...], seed: int, folder: Folder
) -> tuple[Tensor, ...]:
    """Return the positions of the images to train, validate and test on."""
    if len(classes) < 2:
        one = f"{folder.path} has one class, {classes[0]!r}; two or more are needed"
        raise ValueError(f"{one}. {folder.layout}")
    if not any(splits):
        return train_val_test(labels, classes, seed)
    positions = [[i for i, split in enumerate(splits) if split == name] for name in SPLITS]
    train, val, test = (torch.tensor(part).long() for part in positions)
    absent = [name for i, name in enumerate(classes) if not (labels[train] == i).any()]
    if absent or not len(test):
        lack = f"training images of {', '.join(absent)}" if absent else "test images"
        raise ValueError(f"{folder.path} has no {lack}. {folder.layout}")
    if not len(val):
        kept, held_out = train_val(labels[train], classes, seed)
        train, val = train[kept], train[held_out]
    return train, val, test
