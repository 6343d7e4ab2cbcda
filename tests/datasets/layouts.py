"""Small copies of the published folders' layouts, and what is drawn into them."""

from pathlib import Path

import numpy as np
from PIL import Image

from medattn.paths import data_folder

HERE = data_folder()  # before a test sets another: where real data may lie
GRADING, SEGMENTATION = "B. Disease Grading", "A. Segmentation"
FOLDERS = {"train": "a. Training Set", "test": "b. Testing Set"}
TABLES = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}
KINDS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
    "OD": "5. Optic Disc",
}


def save(array: np.ndarray, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, quality=95)
    return file


def eye(height: int, width: int, disc: float, lies: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc at a share of the cropped width, (H, W, 3), and its mask (H, W), 0 or 255."""
    y, x = np.mgrid[:height, :width] + 0.5
    left, kept = 260 / 4288 * width, 3426 / 4288 * width
    mask = np.hypot(x - left - disc * kept, y - lies * height) <= 0.09 * height
    image = np.full((height, width, 3), (120, 80, 40), np.uint8)
    image[:, : int(left)] = image[:, round(left + kept) :] = 0
    image[mask] = (255, 230, 180)
    return image, np.where(mask, 255, 0).astype(np.uint8)
