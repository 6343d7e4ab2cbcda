"""BreastMNIST's masks from small folders of BUSI's layout, cut and shrunk as MedMNIST did."""

import numpy as np
import pytest
import torch
from PIL import Image

from medattn.datasets import busi_folder
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.medmnist import MASKS_FILE

ORDER = [
    3,
    0,
    4,
    2,
    1,
]  # of BUSI's images in BreastMNIST: two to train, one to validate, two to test
NAMES = ["malignant (1)", "malignant (2)", "benign (1)", "benign (10)", "normal (1)"]


def ultrasound(k):
    """A picture of its own, wider than high, with a lesion (y, x, side) in the middle square."""
    rng = np.random.default_rng(k)
    coarse = rng.integers(0, 256, (6, 8), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))
    mask = np.zeros((240, 320), np.uint8)
    if not NAMES[k].startswith("normal"):
        mask[60 + 10 * k : 120 + 10 * k, 100:180] = 255
    return picture, mask


@pytest.fixture
def busi(tmp_path, monkeypatch):
    folder = tmp_path / "BUSI"
    for k, name in enumerate(NAMES):
        place = folder / name.split()[0]
        place.mkdir(parents=True, exist_ok=True)
        picture, mask = ultrasound(k)
        Image.fromarray(picture).convert("RGB").save(place / f"{name}.png")
        Image.fromarray(mask).save(place / f"{name}_mask.png")
    second = np.zeros((240, 320), np.uint8)
    second[200:230, 200:250] = 255
    Image.fromarray(second).save(folder / "benign" / "benign (1)_mask_1.png")
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path / "data"))
    squares = [
        Image.fromarray(ultrasound(k)[0][:, 40:280]).resize((224, 224), Image.Resampling.BICUBIC)
        for k in ORDER
    ]
    images = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))[:, None]
    labels = torch.tensor([busi_folder.LABELS[NAMES[k].split()[0]] for k in ORDER])
    splits = [Split(images[part], labels[part]) for part in (slice(0, 2), slice(2, 3), slice(3, 5))]
    monkeypatch.setattr(
        busi_folder,
        "load_medmnist",
        lambda *_: Dataset("breastmnist", 224, ("malignant", "benign"), *splits),
    )
    return folder


def test_each_image_gets_the_masks_of_its_own_picture(busi, tmp_path):
    file = busi_folder.make_masks(busi)
    assert file == tmp_path / "data" / MASKS_FILE
    with np.load(file) as arrays:
        masks = np.concatenate([arrays[f"{name}_masks"] for name in ("train", "val", "test")])
        assert [len(arrays[f"{name}_masks"]) for name in ("train", "val", "test")] == [2, 1, 2]
    assert masks.shape == (5, 224, 224) and masks.max() == 1
    for k, mask in zip(ORDER, masks, strict=True):
        whole = ultrasound(k)[1][:, 40:280]
        scale = 224 / 240
        for y, x in (
            (65 + 10 * k, 70),
            (115 + 10 * k, 130),
        ):  # inside the lesion, in px of the square
            assert mask[int(y * scale), int(x * scale)] == whole[y, x] // 255
    assert masks[ORDER.index(4)].sum() == 0  # normal
    assert (
        masks[ORDER.index(2)][int(215 * scale), int(180 * scale)] == 1
    )  # the second mask of one image


def test_a_folder_of_other_pictures_is_refused(busi, tmp_path):
    strange = np.zeros((240, 320), np.uint8)
    Image.fromarray(strange).save(busi / "malignant" / "malignant (2).png")
    with pytest.raises(ValueError, match="1 of BreastMNIST's images look like none"):
        busi_folder.make_masks(busi)
    assert not (tmp_path / "data" / MASKS_FILE).exists()


def test_a_folder_that_lacks_images_is_refused(busi):
    (busi / "benign" / "benign (1).png").unlink()
    with pytest.raises(
        ValueError, match=r"has 4 images in malignant, benign, normal; BreastMNIST was made of 5"
    ):
        busi_folder.make_masks(busi)
