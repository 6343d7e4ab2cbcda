"""BreastMNIST's lesion masks from BUSI's own folder: `python -m medattn.datasets.busi_folder FOLDER`.

Source: Al-Dhabyani et al. 2020, "Dataset of breast ultrasound images", Data in Brief 28, 104863: the folders benign,
malignant and normal hold "benign (1).png" and its masks "benign (1)_mask.png", "benign (1)_mask_1.png". MedMNIST cut
the middle square of each image, resized it, and does not say which became which: they are told by their pictures.
"""

import sys
from glob import escape
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from medattn.datasets.area import area_mean
from medattn.datasets.busi_masks import FILE
from medattn.datasets.medmnist import load_medmnist
from medattn.datasets.pictures import read_picture
from medattn.paths import data_folder, write_whole

KINDS = {"malignant": 0, "benign": 1, "normal": 1}  # BUSI's folders, and BreastMNIST's label
SIDE = 224  # px
FAR = 10.0  # grey levels between thumbnails of one picture, root mean square


def make_masks(busi: Path) -> Path:
    """Write the masks' file from BUSI's folder (benign, malignant, normal), and give its place.

    Each BreastMNIST image gets the BUSI image, of its label, that looks like it when cut to a square and shrunk; all at
    once, so that none is taken twice. Several masks of one image are joined. Nothing is written on an error.
    Raises ValueError for a folder without those images, and where pictures find no partner.
    """
    files = [
        (file, label)
        for kind, label in KINDS.items()
        for file in sorted((busi / kind).glob("*.png"))
        if "_mask" not in file.name
    ]
    splits = {name: getattr(load_medmnist("breastmnist", SIDE), name) for name in ("train", "val", "test")}
    images = np.concatenate([split.images[:, 0].numpy() for split in splits.values()])
    labels = np.concatenate([split.labels.numpy() for split in splits.values()])
    if len(files) != len(images):
        raise ValueError(f"{busi} has {len(files)} images in {', '.join(KINDS)}; BreastMNIST was made of {len(images)}")
    ours = np.stack([_thumbnail(image) for image in images])
    theirs = np.stack([_thumbnail(_square(read_picture(file, "L"))) for file, _ in files])
    distance = cdist(ours, theirs) / ours.shape[1] ** 0.5  # root mean square, in grey levels
    of_files = np.array([label for _, label in files])
    _, partner = linear_sum_assignment(np.where(labels[:, None] == of_files, distance, 1e6))
    far = np.flatnonzero(distance[np.arange(len(ours)), partner] > FAR)
    if len(far) or (labels != of_files[partner]).any():
        raise ValueError(
            f"{len(far)} of BreastMNIST's images look like none in {busi}, by number {list(far[:5])}: "
            "is this BUSI as published, and the 224 px file MedMNIST's?"
        )
    masks = np.stack([_mask(files[k][0]) for k in partner])
    ends = np.cumsum([len(split) for split in splits.values()])[:-1]
    file = data_folder() / FILE
    with write_whole(file) as part, part.open("wb") as out:
        np.savez_compressed(out, **{f"{name}_masks": m for name, m in zip(splits, np.split(masks, ends), strict=True)})
    return file


def _square(image: np.ndarray) -> np.ndarray:
    """Cut the middle square out of (H, W)."""
    side = min(image.shape)
    top, left = ((length - side) // 2 for length in image.shape)
    return image[top : top + side, left : left + side]


def _thumbnail(image: np.ndarray) -> np.ndarray:
    return area_mean(image, 28).ravel()


def _mask(image: Path) -> np.ndarray:
    """Give the joined masks of an image file, (224, 224) of 0 and 1."""
    joined = np.zeros((SIDE, SIDE), np.uint8)
    for file in image.parent.glob(f"{escape(image.stem)}_mask*.png"):
        joined |= area_mean(_square(read_picture(file, "L") > 127), SIDE) >= 0.5
    return joined


if __name__ == "__main__":
    print(make_masks(Path(sys.argv[1])))
