"""Every test of the data decodes into a cache of its own; small copies of the published folders' layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medattn.paths import data_folder

HERE = data_folder()  # before a test sets another: where real data may lie
GRADING, SEGMENTATION = "B. Disease Grading", "A. Segmentation"
PLACES = {"train": "a. Training Set", "test": "b. Testing Set"}
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


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_CACHE", str(tmp_path / "decoded"))
    return tmp_path / "decoded"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def real_idrid(monkeypatch):
    if not (HERE / "idrid" / GRADING).is_dir() or not (HERE / "idrid" / SEGMENTATION).is_dir():
        pytest.skip("IDRiD is not in the data folder (MEDATTN_DATA)")
    monkeypatch.setenv("MEDATTN_DATA", str(HERE))
    return HERE / "idrid"


def save(array: np.ndarray, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, quality=95)
    return file


def eye(height: int, width: int, disc: float, lies: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc at a share of the cropped width, and its mask. Shape: (H, W, 3) uint8 and (H, W) uint8 0/255."""
    y, x = np.mgrid[:height, :width] + 0.5
    left, kept = 260 / 4288 * width, 3426 / 4288 * width
    mask = np.hypot(x - left - disc * kept, y - lies * height) <= 0.09 * height
    image = np.full((height, width, 3), (120, 80, 40), np.uint8)
    image[:, : int(left)] = image[:, round(left + kept) :] = 0
    image[mask] = (255, 230, 180)
    return image, np.where(mask, 255, 0).astype(np.uint8)
