"""Any folder of images: one folder for each class, or a table of labels, with splits of its own or divided by seed.

Source: this project; what lies in the folder is the user's.
Images are resized to a square as they are, by area interpolation: nothing is cut, a picture that is not square is
squeezed. They are grey where every image of the folder is, whatever the files' form, else RGB.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import check_size, shrink
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.divide import train_val, train_val_test
from medattn.datasets.pictures import SUFFIXES, is_picture, read_pictures
from medattn.datasets.problems import Problems
from medattn.datasets.tables import one_label_each, read_table
from medattn.paths import data_folder

SPLITS = ("train", "val", "test")
SPLIT_LIKE = {*SPLITS, "training", "valid", "validation", "testing"}  # in whatever case
TABLE = "labels.csv"
LAYOUT = f"""A folder of images ({", ".join(suffix[1:] for suffix in SUFFIXES)}) has one of three forms:
  CLASS/image.png, a folder for each class
  train/CLASS/image.png, test/CLASS/image.png and, if you like, val/CLASS/image.png
  {TABLE} with the columns image (path within the folder), label and, if you like, split (train, val or test)"""


@dataclass(frozen=True)
class _Listed:
    """What the folder says of its images, by path within it; a split is "" where it says none."""

    files: dict[str, Path]
    labels: dict[str, str]
    splits: dict[str, str]


def load_folder(path: str | Path, size: int, seed: int = 0) -> Dataset:
    """Load any folder of images; a relative path starts at the data folder.

    Classes are sorted by name, or by value where all are numbers. Without splits of its own `seed` divides the images:
    64 % train, 16 % validate, 20 % test; without "val" it holds out a fifth of "train". Raises FileNotFoundError where
    there is no such folder, ValueError with all that is wrong with its files at once.
    """
    folder = data_folder() / Path(path).expanduser()
    if not str(path).strip() or not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}: give folder: and the path of one, whole or from the data folder "
            f"{data_folder()} (MEDATTN_DATA names another). {LAYOUT}\n'phantoms' and 'digits' need no folder."
        )
    return read_folder(folder, f"folder:{path}", size, seed)


def read_folder(
    folder: Path, name: str, size: int, seed: int = 0, known: tuple[str, ...] = (), layout: str = LAYOUT
) -> Dataset:
    """Read and check an existing folder; see `load_folder`. Where classes are `known`, it has these and no others."""
    check_size(size)
    problems = Problems(folder, layout)
    files = _pictures(folder)
    listed = _from_table(files, problems) if (folder / TABLE).is_file() else _from_folders(files, problems)
    if known:
        _check_classes(listed.labels, known, problems)
    images = _decode(files, size, problems)
    problems.raise_any()

    classes = known or _sorted(set(listed.labels.values()))
    labels = torch.tensor([classes.index(listed.labels[image]) for image in files])
    parts = _divide(labels, [listed.splits[image] for image in files], classes, seed, folder)
    every = Split(images, labels, names=tuple(files))
    return Dataset(name, size, classes, *(every.take(part) for part in parts))


def _pictures(folder: Path) -> dict[str, Path]:
    """Give all images in the folder and below, sorted by their path; links are followed, hidden ones left out."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [file for file in (Path(place) / name for name in files) if is_picture(file)]
    return {file.relative_to(folder).as_posix(): file for file in sorted(found)}


def _from_table(files: dict[str, Path], problems: Problems) -> _Listed:
    try:
        rows = read_table(problems.folder / TABLE, "image", "label")
    except ValueError as error:
        problems.add("tables that cannot be used", str(error))
        return _Listed(files, {}, {})
    images = [row["image"].replace("\\", "/").removeprefix("./") for row in rows]
    splits = {image: row["split"] for image, row in zip(images, rows, strict=True) if "split" in row}
    wrong = [f"{image} {split!r}" for image, split in splits.items() if split not in SPLITS]
    problems.add(f"splits that are none of {', '.join(SPLITS)}", *wrong)
    labels = [(image, row["label"]) for image, row in zip(images, rows, strict=True)]
    problems.add("empty labels", *(image for image, label in labels if not label))
    return _Listed(files, one_label_each(labels, files, problems), dict.fromkeys(images, "") | splits)


def _from_folders(files: dict[str, Path], problems: Problems) -> _Listed:
    split = all((problems.folder / name).is_dir() for name in ("train", "test"))
    nested = dict.fromkeys(image.split("/")[0] for image in files if image.count("/") > 1)
    if not split:  # a class may be called train, but has no folders in it
        problems.add("folders of a split, of which train and test must be there", *(n for n in nested if n in SPLITS))
    likely = [n for n in nested if n not in SPLITS and n.lower() in SPLIT_LIKE]
    if split or len(likely) > 1:  # one may be a class with folders
        problems.add(f"folders that look like splits, which are called {', '.join(SPLITS)}", *likely)
    labels, splits = {}, {}
    for image in files:
        *above, label = image.split("/")[: 1 + split]
        if image.count("/") > split and all(name in SPLITS for name in above):
            labels[image], splits[image] = label, "".join(above)
    problems.add("images without a label, outside the class folders", *sorted(files.keys() - labels.keys()))
    return _Listed(files, labels, splits)


def _check_classes(labels: dict[str, str], known: tuple[str, ...], problems: Problems) -> None:
    wrong = [f"{image} {label!r}" for image, label in labels.items() if label and label not in known]
    problems.add(f"images of a class that is none of {', '.join(known)}", *wrong)
    problems.add("classes without images", *(label for label in known if label not in labels.values()))


def _decode(files: dict[str, Path], size: int, problems: Problems) -> Tensor:
    """Give the images, from the cache. Shape: (N, 1, size, size) where all are grey, else (N, 3, size, size), uint8."""
    if not files:
        problems.add("folders without images", problems.folder.name)
        problems.raise_any()

    def rows() -> Iterator[Row]:
        for _, image in read_pictures(files.values(), "RGB", problems):
            small = shrink(image, size)
            yield {"images": np.moveaxis(small, 2, 0), "grey": (small == small[..., :1]).all()}

    arrays = decoded(f"folder-{size}", problems.folder, list(files.values()), len(files), rows)
    images = torch.from_numpy(arrays["images"])
    return images[:, :1] if arrays["grey"].all() else images


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else None))


def _divide(labels: Tensor, splits: list[str], classes: tuple[str, ...], seed: int, folder: Path) -> list[Tensor]:
    if len(classes) < 2:
        raise ValueError(f"{folder} has one class, {classes[0]!r}; two or more are needed. {LAYOUT}")
    if not any(splits):
        return list(train_val_test(labels, classes, seed))
    parts = {split: torch.tensor([i for i, own in enumerate(splits) if own == split]).long() for split in SPLITS}
    absent = [name for i, name in enumerate(classes) if not (labels[parts["train"]] == i).any()]
    if absent or not len(parts["test"]):
        lack = f"training images of {', '.join(absent)}" if absent else "test images"
        raise ValueError(f"{folder} has no {lack}. {LAYOUT}")
    if not len(parts["val"]):
        train, val = train_val(labels[parts["train"]], classes, seed)
        parts["train"], parts["val"] = parts["train"][train], parts["train"][val]
    return list(parts.values())
