"""BreastMNIST's lesion masks from BUSI's folder: `python -m medattn.datasets.busi_folder FOLDER`.

Source: Al-Dhabyani et al. 2020, "Dataset of breast ultrasound images", Data in Brief 28, 104863.
Its folders benign, malignant and normal hold images, "benign (1).png", and masks, "benign
(1)_mask.png", "benign (1)_mask_1.png". MedMNIST resized the middle squares, and does not publish
which image became which, so images are matched by their content.
"""

import sys
from glob import escape
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from medattn.datasets.area import area_mean
from medattn.datasets.files import read_picture
from medattn.datasets.medmnist import MASKS_FILE, load_medmnist
from medattn.paths import data_folder, write_whole

LABELS = {"malignant": 0, "benign": 1, "normal": 1}  # BUSI's folders, BreastMNIST's labels
_SIZE = 224  # px
_FAR = 10.0  # grey levels; the root mean square between thumbnails of different pictures


def make_masks(busi: Path) -> Path:
    """Write the file of masks from BUSI's folder (benign, malignant, normal), and return its path.

    Each BreastMNIST image gets another BUSI image of its label, which looks like it when it is cut
    and shrunk. Several masks of one image are joined. Raises ValueError if images have no partner.
    """
    files, labels_of_files = [], []
    for folder, label in LABELS.items():
        found = [f for f in sorted((busi / folder).glob("*.png")) if "_mask" not in f.name]
        files += found
        labels_of_files += [label] * len(found)
    splits = load_medmnist("breastmnist", _SIZE).splits
    images = np.concatenate([split.images[:, 0].numpy() for split in splits.values()])
    labels = np.concatenate([split.labels.numpy() for split in splits.values()])
    if len(files) != len(images):
        fewer = f"{busi} has {len(files)} images in {', '.join(LABELS)}"
        raise ValueError(f"{fewer}; BreastMNIST was made of {len(images)}")
    squares = [_square(read_picture(file, "L")) for file in files]
    thumbnails = [[area_mean(i, 28).ravel() for i in part] for part in (images, squares)]
    distance = cdist(*thumbnails) / 28  # root mean square, in grey levels
    same_label = labels[:, None] == np.array(labels_of_files)
    _, partner = linear_sum_assignment(np.where(same_label, distance, 1e6))
    rows = np.arange(len(images))
    far = np.flatnonzero((distance[rows, partner] > _FAR) | ~same_label[rows, partner])
    if len(far):
        unlike = f"{len(far)} of BreastMNIST's images look like none in {busi}: {list(far[:5])}"
        raise ValueError(f"{unlike}. Is this BUSI as published, and the 224 px file MedMNIST's?")
    masks = np.stack([_mask(files[k]) for k in partner])
    ends = np.cumsum([len(split) for split in splits.values()])[:-1]
    arrays = dict(zip([f"{name}_masks" for name in splits], np.split(masks, ends), strict=True))
    target = data_folder() / MASKS_FILE
    with write_whole(target) as part, part.open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays)
    return target


def _square(image: np.ndarray) -> np.ndarray:
    """Return the middle square of (H, W)."""
    side = min(image.shape)
    top, left = ((length - side) // 2 for length in image.shape)
    return image[top : top + side, left : left + side]


def _mask(image: Path) -> np.ndarray:
    """Return the joined masks of an image file, (224, 224) of 0 and 1."""
    joined = np.zeros((_SIZE, _SIZE), np.uint8)
    for file in image.parent.glob(f"{escape(image.stem)}_mask*.png"):
        joined |= area_mean(_square(read_picture(file, "L") > 127), _SIZE) >= 0.5
    return joined


if __name__ == "__main__":
    print(make_masks(Path(sys.argv[1])))
