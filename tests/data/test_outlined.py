"""Outlined lesions: BUSI's masks beside BreastMNIST, IDRiD's images that no training saw, phantoms."""

from importlib import import_module

import numpy as np
import pytest
import torch

from medattn.datasets import load_dataset, outlined
from medattn.datasets.busi_masks import FILE, with_masks
from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.idrid_segmentation import LESIONS, Segmented


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path))
    return tmp_path


def breast(size, counts=(4, 2, 3)):
    splits = [
        Split(torch.zeros(n, 1, size, size, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64)) for n in counts
    ]
    return Dataset("breastmnist", size, ("malignant", "benign"), *splits)


def save(folder, counts=(4, 2, 3), **changes):
    arrays = {}
    for name, n in zip(("train", "val", "test"), counts, strict=True):
        masks = np.zeros((n, 224, 224), np.uint8)
        masks[0, :112, 112:] = 1  # the upper right quarter; the others are normal
        arrays[f"{name}_masks"] = masks
    np.savez_compressed(folder / FILE, **{k: v for k, v in (arrays | changes).items() if v is not None})


def test_without_the_file_breastmnist_has_no_masks(folder):
    data = breast(28)
    assert with_masks(data) is data


@pytest.mark.parametrize("size", [28, 64, 224])
def test_masks_come_in_the_size_of_the_images(folder, size):
    save(folder)
    data = with_masks(breast(size))
    assert data.test.masks.shape == (3, size, size) and data.test.masks.any((1, 2)).tolist() == [True, False, False]
    expected = torch.zeros(size, size, dtype=torch.bool)
    expected[: size // 2, size // 2 :] = True
    assert torch.equal(data.train.masks[0], expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"test_masks": np.zeros((2, 224, 224), np.uint8)},
        {"test_masks": np.full((3, 224, 224), 255, np.uint8)},
        {"val_masks": None},
    ],
)
def test_masks_that_do_not_belong_to_the_images_are_refused(folder, changes):
    save(folder, **changes)
    with pytest.raises(ValueError, match=r"must be 0 and 1, \(\d, H, W\), a mask for each image"):
        with_masks(breast(28))


def test_images_without_a_lesion_are_left_out():
    data = load_dataset("phantoms", 28, n_train=3, n_val=3, n_test=9)
    images, masks = outlined("phantoms", 28, n_train=3, n_val=3, n_test=9)
    ill = data.test.labels > 0
    assert torch.equal(images, data.test.images[ill]) and torch.equal(masks, data.test.masks[ill])


def test_of_idrid_only_images_that_no_training_saw_are_given(monkeypatch):
    none = torch.zeros(4, 8, 8, dtype=torch.bool)
    some = none.clone()
    some[:3, 2, 2] = True  # the fourth has no lesion
    segmented = Segmented(
        images=torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 8, 8),
        lesions={kind: some if kind == "HE" else none for kind in LESIONS},
        discs=none,
        flipped=torch.zeros(4, dtype=torch.bool),
        names=("a", "b", "c", "d"),
        split=("train",) * 4,
    )
    module = import_module("medattn.datasets.outlined")
    monkeypatch.setattr(module, "idrid_segmentation", lambda size: segmented)
    monkeypatch.setattr(module, "idrid_twins", lambda: (("train", "IDRiD_001"), ("test", "IDRiD_002"), None, None))
    images, masks = outlined("idrid", 8)
    assert images[:, 0, 0, 0].tolist() == [1, 2] and masks.sum((1, 2)).tolist() == [1, 1]
