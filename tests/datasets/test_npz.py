"""Any file in MedMNIST's form, and every way in which a file may not have it."""

import re

import numpy as np
import pytest
import torch

from medattn.datasets import load_dataset


def make_arrays(size=12, channels=(), n_classes=3):
    generator = np.random.default_rng(0)
    made = {}
    for split, n in (("train", 9), ("val", 3), ("test", 6)):
        made[f"{split}_images"] = generator.integers(
            0, 256, (n, size, size, *channels), dtype=np.uint8
        )
        made[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % n_classes)[:, None]
    return made


def save_and_load(folder, arrays, size=12):
    np.savez_compressed(folder / "own.npz", **arrays)
    return load_dataset("npz:own.npz", size)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_loads_grey_and_colour(empty_folder, channels):
    arrays = make_arrays(channels=channels)
    data = save_and_load(empty_folder, arrays)
    assert (data.name, data.size, data.channels) == (
        "npz:own.npz",
        12,
        3 if channels == (3,) else 1,
    )
    assert data.classes == ("0", "1", "2") and data.region is None and data.train.masks is None
    assert data.train.images.is_contiguous()
    shown = data.test.images.permute(0, 2, 3, 1).reshape(arrays["test_images"].shape)
    assert np.array_equal(shown.numpy(), arrays["test_images"])
    assert data.test.labels.tolist() == arrays["test_labels"].ravel().tolist()


def test_loads_whole_path_and_class_names(empty_folder):
    arrays = make_arrays()
    arrays["val_labels"] = arrays["val_labels"].ravel().astype(np.int32)
    arrays["class_names"] = np.array(["a", "b", "c", "never seen"])
    save_and_load(empty_folder, arrays)
    data = load_dataset(f"npz:{empty_folder / 'own.npz'}", 12)
    assert data.classes == ("a", "b", "c", "never seen")
    save_and_load(empty_folder, arrays | {"class_names": np.array([b"a", b"b", "ö".encode()])})
    assert load_dataset("npz:own.npz", 12).classes == ("a", "b", "ö")


def test_fifth_is_held_out_without_val(empty_folder):
    arrays = {
        key: np.repeat(a, 4, 0) for key, a in make_arrays().items() if not key.startswith("val")
    }
    arrays["train_images"][:, 0, 0] = np.arange(36)
    arrays["train_files"] = np.array(["a name"] * 36)  # passed over
    data, other = save_and_load(empty_folder, arrays), load_dataset("npz:own.npz", 12, seed=1)
    assert [len(split) for split in (data.train, data.val, data.test)] == [28, 8, 24]
    places = torch.cat([data.train.images, data.val.images])[:, 0, 0, 0]
    assert sorted(places.tolist()) == list(range(36))
    labels = torch.cat([data.train.labels, data.val.labels])
    assert labels.tolist() == arrays["train_labels"].ravel()[places].tolist()
    assert data.val.labels.bincount().min() >= 2 and not torch.equal(
        data.val.images, other.val.images
    )


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("val_images", None, "has no val_images"),
        ("test_labels", None, "has no test_labels"),
        ("train_images", np.zeros((9, 12, 12), np.float32), "train_images are float32"),
        (
            "train_images",
            np.zeros((9, 12, 12, 2), np.uint8),
            r"train_images are uint8 \(9, 12, 12, 2\)",
        ),
        ("train_images", np.zeros((9, 144), np.uint8), "train_images are uint8"),
        (
            "train_images",
            np.zeros((9, 14, 14), np.uint8),
            "the splits' images differ in channels or size",
        ),
        (
            "train_images",
            np.zeros((9, 12, 12, 3), np.uint8),
            "the splits' images differ in channels or size",
        ),
        ("train_labels", np.zeros((8, 1), np.uint8), r"train_labels are uint8 \(8, 1\)"),
        ("train_labels", np.zeros((9, 1)), "train_labels are float64"),
        (
            "train_labels",
            np.zeros((9, 14), np.uint8),
            "several labels per image are not supported",
        ),
        ("train_labels", np.full((9, 1), 7, np.uint8), r"its labels are \[0, 1, 2, 7\]"),
        ("train_labels", np.full((9, 1), -1), r"its labels are \[-1, 0, 1, 2\]"),
        (
            "class_names",
            np.array(["a", "b"]),
            "train labels .* go from 0 to 2: 2 classes need 0 to 1",
        ),
    ],
)
def test_other_forms_are_refused(empty_folder, key, value, says):
    arrays = {**make_arrays(), key: value}
    with pytest.raises(ValueError, match=says):
        save_and_load(
            empty_folder, {name: array for name, array in arrays.items() if array is not None}
        )


@pytest.mark.parametrize(
    ("split", "says"),
    [("train", "$"), ("test", "$"), ("val", "; without both arrays of val")],
)
def test_a_split_without_images_is_refused(empty_folder, split, says):
    none = {
        f"{split}_images": np.zeros((0, 12, 12), np.uint8),
        f"{split}_labels": np.zeros((0, 1), np.uint8),
    }
    with pytest.raises(ValueError, match=f"{split}_images are empty{says}"):
        save_and_load(empty_folder, {**make_arrays(), **none})


def test_images_that_are_not_square_are_refused(empty_folder):
    arrays = {key: a[:, :10] if key.endswith("images") else a for key, a in make_arrays().items()}
    with pytest.raises(ValueError, match="are 10 x 12: crop or pad them to a square"):
        save_and_load(empty_folder, arrays)


def test_another_size_names_the_right_one(empty_folder):
    with pytest.raises(ValueError, match=r"size=28, but .* 12 x 12: load it with size=12"):
        save_and_load(empty_folder, make_arrays(), 28)


@pytest.mark.parametrize("key", ["train_images", "test_labels", "class_names"])
def test_nothing_pickled_is_loaded(empty_folder, key):
    class Trap:
        def __reduce__(self):
            return (open, (str(empty_folder / "sprung"), "w"))

    arrays = {**make_arrays(), key: np.array([Trap()] * 9, dtype=object)}
    with pytest.raises(ValueError, match=r"own.npz cannot be read .*nothing pickled is loaded"):
        save_and_load(empty_folder, arrays)
    assert not (empty_folder / "sprung").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY no array", b"\x80\x04N."]
)
def test_another_file_is_refused(empty_folder, content):
    (empty_folder / "own.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"own.npz cannot be read"):
        load_dataset("npz:own.npz", 12)


def test_a_lone_array_is_refused(empty_folder):
    with (empty_folder / "own.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"own.npz cannot be read"):
        load_dataset("npz:own.npz", 12)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_file_is_refused(empty_folder, share):
    save_and_load(empty_folder, make_arrays())
    whole = (empty_folder / "own.npz").read_bytes()
    (empty_folder / "own.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"own.npz cannot be read"):
        load_dataset("npz:own.npz", 12)


def test_a_damaged_array_is_refused(empty_folder):
    save_and_load(empty_folder, make_arrays(size=40), 40)
    damaged = bytearray((empty_folder / "own.npz").read_bytes())
    damaged[200:260] = bytes(60)
    (empty_folder / "own.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"own.npz cannot be read"):
        load_dataset("npz:own.npz", 40)


def test_a_missing_file_says_where_it_was_looked_for(empty_folder):
    with pytest.raises(FileNotFoundError, match=re.escape(str(empty_folder / "none.npz"))):
        load_dataset("npz:none.npz", 12)
    with pytest.raises(FileNotFoundError):
        load_dataset("npz:", 12)  # a folder is no file
