"""IDRiD's segmentation part, and the potential attention that is found with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import FOLDERS, GRADING, KINDS, SEGMENTATION, TABLES, eye, save
from scipy import ndimage

from medattn.datasets import (
    idrid_segmentation,
    images_with_lesions,
    load_dataset,
    potential_attention,
)
from medattn.datasets.idrid import segmentation
from medattn.datasets.idrid.grading import flipped_positions
from medattn.datasets.idrid.potential import HEIGHT, WIDTH, landmarks
from medattn.datasets.idrid.segmentation import LESIONS, Segmented

HEIGHT_PX, WIDTH_PX = 71, 107


def image_file(root, split, number):
    return root / SEGMENTATION / "1. Original Images" / FOLDERS[split] / f"IDRiD_{number:02}.jpg"


def mask_file(root, split, number, kind):
    folder = root / SEGMENTATION / "2. All Segmentation Groundtruths" / FOLDERS[split] / KINDS[kind]
    return folder / f"IDRiD_{number:02}_{kind}.tif"


@pytest.fixture
def tree(folder):
    """Four training and two test images, even numbers right eyes; a microaneurysm of one pixel."""
    root = folder / "idrid"
    for split, numbers in (("train", (1, 2, 3, 4)), ("test", (55, 56))):
        for kind in KINDS:
            mask_file(root, split, 0, kind).parent.mkdir(parents=True)
        for number in numbers:
            image, disc = eye(HEIGHT_PX, WIDTH_PX, 0.23 if number % 2 else 0.77)
            save(image, image_file(root, split, number))
            save(disc, mask_file(root, split, number, "OD"))
            lesion = np.zeros_like(disc)
            lesion[20, 35] = 255
            save(lesion, mask_file(root, split, number, "MA"))
    lesion[30:50, 60:80] = 76  # red, seen as grey
    save(np.dstack([lesion, 0 * lesion, 0 * lesion]), mask_file(root, "test", 56, "EX"))
    return root


def test_shapes_types_and_names(tree):
    segmented = idrid_segmentation(16)
    assert segmented.images.shape == (6, 3, 16, 16) and segmented.images.dtype == torch.uint8
    assert list(segmented.lesions) == ["MA", "HE", "EX", "SE"] and len(segmented.names) == 6
    for mask in (*segmented.lesions.values(), segmented.discs):
        assert mask.shape == (6, 16, 16) and mask.dtype == torch.bool
    assert segmented.names == (
        "IDRiD_01",
        "IDRiD_02",
        "IDRiD_03",
        "IDRiD_04",
        "IDRiD_55",
        "IDRiD_56",
    )
    assert segmented.split == ("train",) * 4 + ("test",) * 2


def test_right_eyes_and_masks_are_flipped(tree):
    segmented = idrid_segmentation(32)
    assert segmented.flipped.tolist() == [False, True] * 2 + [False, True]
    bright = segmented.images.float().mean(1)
    for image, disc in zip(bright, segmented.discs, strict=True):
        assert image[disc].mean() > 1.7 * image[~disc].mean()
        assert disc.float().mean(0).argmax() < 12
    lesions = (
        segmented.lesions["MA"].float().mean(1)
    )  # (N, W): column 35 of 107 lies left of the middle
    assert (lesions[0::2, :16].sum(1) > 0).all() and (lesions[1::2, 16:].sum(1) > 0).all()


def test_smallest_lesion_survives(tree):
    segmented = idrid_segmentation(8)
    assert segmented.lesions["MA"].flatten(1).any(1).all()
    assert segmented.lesions["MA"].sum((1, 2)).max() <= 4
    assert segmented.lesions["EX"].flatten(1).any(1).tolist() == [False] * 5 + [True]
    assert not segmented.lesions["HE"].any() and not segmented.lesions["SE"].any()


def test_the_disc_keeps_its_area(tree):
    segmented = idrid_segmentation(64)
    expected = np.pi * (0.09 * HEIGHT_PX) ** 2 / (HEIGHT_PX * WIDTH_PX * 3426 / 4288)
    assert segmented.discs.float().mean().item() == pytest.approx(expected, rel=0.05)


def test_a_second_load_decodes_nothing(tree, monkeypatch):
    first = idrid_segmentation(8)
    monkeypatch.setattr("medattn.datasets.files.read_picture", None)
    assert torch.equal(idrid_segmentation(8).images, first.images)


def test_problems_are_reported_at_once(tree):
    mask_file(tree, "train", 2, "OD").unlink()
    mask_file(tree, "train", 1, "MA").write_bytes(b"no image")
    image_file(tree, "train", 4).unlink()
    save(np.zeros((9, 9), np.uint8), mask_file(tree, "test", 55, "SE"))
    save(np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8), mask_file(tree, "train", 3, "OD"))
    mask_file(tree, "test", 55, "HE").parent.rmdir()
    with pytest.raises(ValueError) as caught:
        idrid_segmentation(8)
    for part in (
        "1 images without a mask of the optic disc: a. Training Set/IDRiD_02",
        "2 masks without an image: a. Training Set/1. Microaneurysms/IDRiD_04_MA.tif",
        "1 images that cannot be read",
        "IDRiD_01_MA.tif (it is no image)",
        "1 folders that are missing: A. Segmentation/2. All Segmentation Groundtruths/b. Testing",
        "1 masks of another size than their image",
        "IDRiD_55_SE.tif",
        "1 empty masks of the optic disc",
        "IDRiD_03_OD.tif",
        "A. Segmentation/1. Original Images",
    ):
        assert part in str(caught.value)


def test_idrid_lesions_are_of_unseen_images(monkeypatch):
    none = torch.zeros(4, 8, 8, dtype=torch.bool)
    some = none.clone()
    some[:3, 2, 2] = True  # the fourth has no lesion
    segmented = Segmented(
        images=torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 8, 8),
        lesions={kind: some if kind == "HE" else none for kind in LESIONS},
        discs=none,
        flipped=torch.zeros(4, dtype=torch.bool),
        names=("IDRiD_01", "IDRiD_09", "IDRiD_04", "IDRiD_07"),
        split=("train",) * 4,
    )
    monkeypatch.setattr(segmentation, "idrid_segmentation", lambda size: segmented)
    images, masks = images_with_lesions("idrid", 8)
    assert images[:, 0, 0, 0].tolist() == [1, 2] and masks.sum((1, 2)).tolist() == [1, 1]


def test_a_missing_part_says_where_to_get_it(folder):
    with pytest.raises(
        FileNotFoundError, match=r"there is no .*idrid/A. Segmentation. .*grand-challenge"
    ):
        idrid_segmentation(8)


def test_an_empty_part_is_named(folder):
    (folder / "idrid" / SEGMENTATION).mkdir(parents=True)
    with pytest.raises(ValueError, match="2 folders without images"):
        idrid_segmentation(8)


@pytest.fixture
def graded_tree(tree):
    """Graded eyes, darker towards the right, with a fovea 2.5 disc diameters from the disc."""
    diameter, kept = 0.18 * HEIGHT_PX, 3426 / 4288 * WIDTH_PX
    flips = flipped_positions()
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX] + 0.5
    x = x - 260 / 4288 * WIDTH_PX
    for split, n in (("train", 30), ("test", 10)):
        for i in range(n):
            flipped = i in flips[split]
            image, _ = eye(HEIGHT_PX, WIDTH_PX, 0.77 if flipped else 0.23)
            right = kept - x if flipped else x
            away = np.hypot(right - 0.23 * kept - 2.5 * diameter, y - 0.55 * HEIGHT_PX) / diameter
            light = (1 - 0.7 * np.clip(right / kept, 0, 1)) * (
                1 - 0.25 * np.exp(-((away / 0.4) ** 2))
            )
            image = (image * light[..., None]).astype(np.uint8)
            save(
                image,
                tree / GRADING / "1. Original Images" / FOLDERS[split] / f"IDRiD_{i + 1:03}.jpg",
            )
        rows = [f"IDRiD_{i + 1:03},{i % 5},{i % 3}" for i in range(n)]
        table = tree / GRADING / "2. Groundtruths" / TABLES[split]
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(["Image name,Retinopathy grade,Risk of macular edema ", *rows]))
    return tree


def test_landmarks_are_found_where_drawn(graded_tree):
    disc, fovea, diameter = landmarks()
    kept = 3426 / 4288 * WIDTH_PX
    assert disc == pytest.approx((0.23, 0.5), abs=0.01)
    assert diameter == pytest.approx(0.18 * HEIGHT, rel=0.03)
    assert fovea == pytest.approx((0.23 + 2.5 * 0.18 * HEIGHT_PX / kept, 0.55), abs=0.02)


def test_potential_attention_is_a_circle(graded_tree):
    _, fovea, diameter = landmarks()
    for diameters in (1.0, 2.0):
        region = potential_attention(224, diameters)
        assert region.shape == (224, 224) and region.dtype == torch.bool
        rows, columns = region.any(1).sum().item(), region.any(0).sum().item()
        assert columns * WIDTH / 224 == pytest.approx(diameters * diameter, rel=0.05)
        assert rows * HEIGHT / 224 == pytest.approx(diameters * diameter, rel=0.05)
        area = region.float().mean().item() * WIDTH * HEIGHT
        assert area == pytest.approx(np.pi * (diameters * diameter / 2) ** 2, rel=0.03)
        y, x = ndimage.center_of_mass(region.numpy())
        assert ((x + 0.5) / 224, (y + 0.5) / 224) == pytest.approx(fovea, abs=0.005)
    assert potential_attention(28).any()


@pytest.mark.parametrize("diameters", [0, -1.0, float("nan"), float("inf")])
def test_invalid_width_is_refused(diameters):
    with pytest.raises(ValueError, match="diameters="):
        potential_attention(28, diameters)


def test_real_flips_agree_with_supplement(real_idrid):
    segmented, flips = idrid_segmentation(28), flipped_positions()
    assert (segmented.split.count("train"), segmented.split.count("test")) == (54, 27)
    present = {kind: int(mask.flatten(1).any(1).sum()) for kind, mask in segmented.lesions.items()}
    assert present == {"MA": 81, "HE": 80, "EX": 81, "SE": 40}
    table = Path(segmentation.__file__).with_name("twins.csv").read_text().splitlines()
    twins = [row.split(",") for row in table[1:]]
    assert len(twins) == 60
    official = dict(zip(segmented.names, segmented.split, strict=True))
    flipped = dict(zip(segmented.names, segmented.flipped.tolist(), strict=True))
    for name, split, graded in twins:
        assert (int(graded[-3:]) - 1 in flips[split]) == flipped[name]
    of_test = [split for name, split, _ in twins if official[name] == "test"]
    assert of_test.count("train") == 15


def test_real_twins_are_copies(real_idrid):
    data, segmented = load_dataset("idrid", 64), idrid_segmentation(64)
    graded = torch.cat([data.train.images, data.val.images, data.test.images]).float()
    distances = []
    for image in segmented.images.float():
        both = torch.stack([image, image.flip(-1)])  # the two parts are aligned in different ways
        apart = [(graded - copy).abs().mean((1, 2, 3)).min() for copy in both]
        distances.append(min(apart).item())
    table = Path(segmentation.__file__).with_name("twins.csv").read_text().splitlines()
    names = {row.split(",")[0] for row in table[1:]}
    assert names == {n for n, d in zip(segmented.names, distances, strict=True) if d < 2}
    assert max(d for d in distances if d < 2) <= 0.6 and min(d for d in distances if d > 2) >= 3.8
