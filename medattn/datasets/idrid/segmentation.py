"""IDRiD, segmentation: 81 fundus photographs with masks of four kinds of lesions and the disc.

Source: Porwal et al. 2018, "Indian Diabetic Retinopathy Image Dataset", Data 3, 25; CC BY 4.0.
Paper: global spatial attention does not use them. Here they are aligned as its images are, to test
whether a map that was learnt on grades finds the lesions.
A pixel belongs to a lesion if any part of it does, so that the smallest microaneurysm survives. It
belongs to the disc if half of it does.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.area import area_mean, shrink
from medattn.datasets.dataset import check_size
from medattn.datasets.decoded import Row, decoded
from medattn.datasets.entry import DATASETS
from medattn.datasets.files import Folder
from medattn.datasets.idrid.grading import LEFT, RIGHT, SPLIT_FOLDERS

LESIONS = ("MA", "HE", "EX", "SE")
_MASK_FOLDERS = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates"}
_MASK_FOLDERS |= {"SE": "4. Soft Exudates", "OD": "5. Optic Disc"}
_PART = "A. Segmentation"
_IMAGES, _MASKS = f"{_PART}/1. Original Images", f"{_PART}/2. All Segmentation Groundtruths"

Files = dict[str, Path]  # of one image: "image", "OD", and the kinds of lesions that it has


@dataclass(frozen=True, eq=False)
class Segmented:
    """The segmented images in name order, the optic disc on the left.

    Shape: images (N, 3, H, W) uint8; discs and each kind of `lesions` (MA, HE, EX, SE) (N, H, W)
    bool; flipped (N,) bool. `split` is the official one, "train" or "test".
    """

    images: Tensor
    lesions: dict[str, Tensor]
    discs: Tensor
    flipped: Tensor
    names: tuple[str, ...]
    split: tuple[str, ...]


def idrid_segmentation(size: int) -> Segmented:
    """Load the 81 segmented images and their masks at `size` pixels.

    An image is flipped if the centre of its disc mask lies on the right.
    """
    check_size(size)
    folder = DATASETS["idrid"].require(_PART)
    files = _find(folder)
    if not files:
        folder.raise_problems()
    complete = [image_files for image_files in files.values() if "OD" in image_files]
    sources = [file for image_files in complete for file in image_files.values()]

    def rows() -> Iterator[Row]:
        for image_files in complete:
            arrays = _read(image_files, folder)
            if arrays:
                yield _align(arrays, size)
        folder.raise_problems()

    name = f"idrid-segmentation-{size}"
    arrays = decoded(name, folder.path, sources, len(complete), rows)
    folder.raise_problems()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    split, names = zip(*files, strict=True)
    lesions = {kind: tensors[kind] for kind in LESIONS}
    return Segmented(tensors["images"], lesions, tensors["OD"], tensors["flipped"], names, split)


def unseen_lesions(size: int) -> tuple[Tensor, Tensor]:
    """Return the segmented images that are no training images of the grading part, and masks.

    twins.csv lists the 60 of 81 photographs that are grading images, too: copies that differ by at
    most 0.6 of 255 per pixel at 64 px. The 21 others differ by 3.8 or more.
    Shape: (N, 3, size, size) uint8, (N, size, size) bool for lesions of any kind.
    """
    segmented = idrid_segmentation(size)
    with Path(__file__).with_name("twins.csv").open() as table:
        trained = {row["segmented"] for row in csv.DictReader(table) if row["split"] == "train"}
    unseen = torch.tensor([name not in trained for name in segmented.names])
    masks = torch.stack(list(segmented.lesions.values())).any(0)
    return segmented.images[unseen], masks[unseen]


def _find(folder: Folder) -> dict[tuple[str, str], Files]:
    """Return each image's files by split and name; note files that do not belong together."""
    files: dict[tuple[str, str], Files] = {}
    strays = []
    for split, split_folder in SPLIT_FOLDERS.items():
        images = sorted((folder.path / _IMAGES / split_folder).glob("IDRiD_[0-9][0-9].jpg"))
        files |= {(split, file.stem): {"image": file} for file in images}
        if not images:
            folder.note("folders without images", f"{_IMAGES}/{split_folder}")
        for kind, mask_folder in _MASK_FOLDERS.items():
            masks = f"{_MASKS}/{split_folder}/{mask_folder}"
            if not (folder.path / masks).is_dir():  # else all its lesions would be missed
                folder.note("folders that are missing", masks)
            for file in sorted((folder.path / masks).glob(f"IDRiD_*_{kind}.tif")):
                key = split, file.stem.removesuffix(f"_{kind}")
                if key in files:
                    files[key][kind] = file
                else:
                    strays.append(f"{split_folder}/{mask_folder}/{file.name}")
    folder.note("masks without an image", *strays)
    blind = [f"{SPLIT_FOLDERS[s]}/{n}" for (s, n), found in files.items() if "OD" not in found]
    folder.note("images without a mask of the optic disc", *blind)
    return files


def _read(files: Files, folder: Folder) -> dict[str, np.ndarray] | None:
    """Return an image and its masks, or None if a problem with them was noted."""
    modes = {kind: "RGB" if kind == "image" else "L" for kind in files}
    read = {kind: folder.read_picture(file, modes[kind]) for kind, file in files.items()}
    arrays = {kind: array for kind, array in read.items() if array is not None}
    if len(arrays) < len(files):
        return None
    paths = {kind: str(file.relative_to(folder.path)) for kind, file in files.items()}
    shape = arrays["image"].shape[:2]
    unlike = [paths[kind] for kind, array in arrays.items() if array.shape[:2] != shape]
    empty = [] if unlike or arrays["OD"].any() else [paths["OD"]]
    folder.note("masks of another size than their image", *unlike)
    folder.note("empty masks of the optic disc", *empty)
    return None if unlike or empty else arrays


def _align(arrays: dict[str, np.ndarray], size: int) -> Row:
    """Return one image (3, size, size) uint8 and its masks (size, size) bool, cut and flipped."""
    none = np.zeros((size, size), np.float32)
    share = {kind: none for kind in _MASK_FOLDERS}  # of each pixel
    for kind in arrays.keys() - {"image"}:
        share[kind] = area_mean(arrays[kind] > 0, size, LEFT, RIGHT)
    flipped = np.average(np.arange(size), weights=share["OD"].sum(0)) > (size - 1) / 2
    step = -1 if flipped else 1
    image = shrink(arrays["image"], size, LEFT, RIGHT)[:, ::step]
    lesions = {kind: share[kind][:, ::step] > 0 for kind in LESIONS}
    disc = share["OD"][:, ::step] >= 0.5
    images = np.moveaxis(image, 2, 0)
    return {"images": images, **lesions, "OD": disc, "flipped": np.asarray(flipped)}
