"""The catalog: every name loads or says clearly why not; the one form all sets have."""

import re

import numpy as np
import pytest
import torch

from medattn.datasets import DATASETS, Dataset, Split, catalog, load_dataset
from medattn.paths import data_folder

OFFLINE = ("phantoms", "digits")
FOLDERS = ("idrid", "jaffe", "glaucoma", "isic2018", "fundus_isee")
CIFAR = ("cifar10", "cifar100")


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDATTN_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_loads_or_says_what_is_missing(name, empty_folder):
    if name in OFFLINE:
        data = load_dataset(name)
        assert (data.name, data.size, data.n_classes) == (name, 28, DATASETS[name].classes)
        assert all(len(split) for split in (data.train, data.val, data.test))
    elif name == "chestmnist":
        with pytest.raises(ValueError, match="multi-label"):
            load_dataset(name)
    elif name in (*FOLDERS, *CIFAR):
        with pytest.raises(FileNotFoundError) as caught:
            load_dataset(name, 32)
        for part in (str(empty_folder / name), *OFFLINE):
            assert part in str(caught.value)
    else:
        with pytest.raises(FileNotFoundError) as caught:
            load_dataset(name, 64)
        message = str(caught.value)
        for part in (str(empty_folder / "medmnist" / f"{name}_64.npz"), f"medattn data --download {name} --size 64"):
            assert part in message
        assert re.search(r"MD5 [0-9a-f]{32}", message) and "https://" in message
        assert all(offline in message for offline in OFFLINE)


def test_the_catalog_lists_every_set_and_how_to_get_it(empty_folder):
    table = catalog()
    assert list(table) == ["name", "classes", "sizes", "images", "licence", "citation", "here", "get"]
    assert table["name"].tolist() == [*DATASETS, "npz:PATH", "folder:PATH"]
    assert table["name"].str.endswith("mnist").sum() == 12  # MedMNIST's two-dimensional sets, none of the others
    assert table.notna().all(axis=None) and (table.astype(str) != "").all(axis=None)
    table = table.set_index("name")
    assert table.loc["phantoms", "here"] == "built in"
    assert table.loc["retinamnist", "here"] == "missing"
    assert table.loc["retinamnist", ["classes", "licence"]].tolist() == [5, "CC BY 4.0"]
    assert table.loc["retinamnist", "images"] == "1080 / 120 / 400"
    assert table.loc["dermamnist", "licence"] == "CC BY-NC 4.0"
    assert table.loc["idrid", ["classes", "licence", "here"]].tolist() == [
        "5 retinopathy, 3 edema",
        "CC BY 4.0",
        "missing",
    ]
    assert "several labels" in table.loc["chestmnist", "here"]


def test_the_catalog_names_the_sizes_that_are_here(empty_folder):
    (empty_folder / "medmnist").mkdir()
    for file in ("breastmnist.npz", "breastmnist_224.npz"):
        (empty_folder / "medmnist" / file).touch()
    assert catalog().set_index("name").loc["breastmnist", "here"] == "28, 224"
    (empty_folder / "idrid" / "B. Disease Grading").mkdir(parents=True)
    (empty_folder / "jaffe").mkdir()
    assert catalog().set_index("name").loc[["idrid", "jaffe", "glaucoma"], "here"].tolist() == [
        *("here", "here", "missing"),
    ]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("retina", {}, "name='retina' .did you mean 'retinamnist'[?]. is not one of phantoms, digits"),
        ("", {}, "name='' is not one of"),
        ("phantoms", {"contrst": 1.0}, "contrst=1.0 is no option of phantoms, which has n_train, .*contrast, seed"),
        ("digits", {"seed": 1}, "seed=1 is no option of digits, which has none"),
        ("breastmnist", {"seed": 1}, "seed=1 is no option of breastmnist, which has none"),
        ("npz:x.npz", {"task": 1}, "task=1 is no option of npz:x.npz, which has seed"),
        ("cifar10", {"size": 28}, "size=28, but the images of cifar10 are 32 x 32: load it with size=32"),
        ("isic2018", {"division": "8:2"}, "division='8:2' is not one of official, 7:1:2"),
        ("digits", {"size": 7}, "size=7 must be a whole number of pixels from 8 to 224"),
        ("breastmnist", {"size": 32}, "size=32 is not one of 28, 64, 128, 224"),
    ],
)
def test_what_is_unknown_is_named(name, options, says, empty_folder):
    with pytest.raises(ValueError, match=says):
        load_dataset(name, **options)


def test_digits_are_always_the_same_and_no_image_is_in_two_splits():
    data = load_dataset("digits", 8)
    assert [len(split) for split in (data.train, data.val, data.test)] == [1197, 200, 400]
    assert torch.equal(data.train.images, load_dataset("digits", 8).train.images)
    assert data.train.images.max() == 255
    images = torch.cat([data.train.images, data.val.images, data.test.images]).flatten(1)
    assert len(images.unique(dim=0)) == 1797


class TestNpz:
    """Any file in MedMNIST's form, and every way in which it may not be."""

    def arrays(self, size=12, channels=(), n_classes=3):
        generator = np.random.default_rng(0)
        made = {}
        for split, n in (("train", 9), ("val", 3), ("test", 6)):
            made[f"{split}_images"] = generator.integers(0, 256, (n, size, size, *channels), dtype=np.uint8)
            made[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % n_classes)[:, None]
        return made

    def load(self, folder, arrays, size=12):
        np.savez_compressed(folder / "own.npz", **arrays)
        return load_dataset("npz:own.npz", size)

    @pytest.mark.parametrize("channels", [(), (1,), (3,)])
    def test_loads_grey_and_colour(self, empty_folder, channels):
        arrays = self.arrays(channels=channels)
        data = self.load(empty_folder, arrays)
        assert (data.name, data.size, data.channels) == ("npz:own.npz", 12, 3 if channels == (3,) else 1)
        assert data.classes == ("0", "1", "2") and data.region is None and data.train.masks is None
        assert data.train.images.is_contiguous()
        shown = data.test.images.permute(0, 2, 3, 1).reshape(arrays["test_images"].shape)
        assert np.array_equal(shown.numpy(), arrays["test_images"])
        assert data.test.labels.tolist() == arrays["test_labels"].ravel().tolist()

    def test_takes_a_whole_path_flat_labels_and_class_names(self, empty_folder):
        arrays = self.arrays()
        arrays["val_labels"] = arrays["val_labels"].ravel().astype(np.int32)
        arrays["class_names"] = np.array(["a", "b", "c", "never seen"])
        self.load(empty_folder, arrays)
        data = load_dataset(f"npz:{empty_folder / 'own.npz'}", 12)
        assert data.classes == ("a", "b", "c", "never seen")
        self.load(empty_folder, arrays | {"class_names": np.array([b"a", b"b", "ö".encode()])})
        assert load_dataset("npz:own.npz", 12).classes == ("a", "b", "ö")

    def test_without_validation_images_a_fifth_of_the_training_images_validates(self, empty_folder):
        arrays = {key: np.repeat(a, 4, 0) for key, a in self.arrays().items() if not key.startswith("val")}
        arrays["train_images"][:, 0, 0] = np.arange(36)
        arrays["train_files"] = np.array(["a name"] * 36)  # passed over
        data, other = self.load(empty_folder, arrays), load_dataset("npz:own.npz", 12, seed=1)
        assert [len(split) for split in (data.train, data.val, data.test)] == [28, 8, 24]
        places = torch.cat([data.train.images, data.val.images])[:, 0, 0, 0]
        assert sorted(places.tolist()) == list(range(36))
        labels = torch.cat([data.train.labels, data.val.labels])
        assert labels.tolist() == arrays["train_labels"].ravel()[places].tolist()
        assert data.val.labels.bincount().min() >= 2 and not torch.equal(data.val.images, other.val.images)

    @pytest.mark.parametrize(
        ("key", "value", "says"),
        [
            ("val_images", None, "has no val_images"),
            ("test_labels", None, "has no test_labels"),
            ("train_images", np.zeros((9, 12, 12), np.float32), "train_images are float32"),
            ("train_images", np.zeros((9, 12, 12, 2), np.uint8), r"train_images are uint8 \(9, 12, 12, 2\)"),
            ("train_images", np.zeros((9, 144), np.uint8), "train_images are uint8"),
            ("train_images", np.zeros((9, 14, 14), np.uint8), "the splits' images differ in channels or size"),
            ("train_images", np.zeros((9, 12, 12, 3), np.uint8), "the splits' images differ in channels or size"),
            ("train_labels", np.zeros((8, 1), np.uint8), r"train_labels are uint8 \(8, 1\)"),
            ("train_labels", np.zeros((9, 1)), "train_labels are float64"),
            ("train_labels", np.zeros((9, 14), np.uint8), "several labels an image are not supported"),
            ("train_labels", np.full((9, 1), 7, np.uint8), r"its labels are \[0, 1, 2, 7\]"),
            ("train_labels", np.full((9, 1), -1), r"its labels are \[-1, 0, 1, 2\]"),
            ("class_names", np.array(["a", "b"]), "train labels .* go from 0 to 2: 2 classes need 0 to 1"),
        ],
    )
    def test_other_forms_are_refused(self, empty_folder, key, value, says):
        arrays = {**self.arrays(), key: value}
        with pytest.raises(ValueError, match=says):
            self.load(empty_folder, {name: array for name, array in arrays.items() if array is not None})

    @pytest.mark.parametrize(
        ("split", "says"), [("train", "$"), ("test", "$"), ("val", "; leave out both arrays of val")]
    )
    def test_a_split_without_images_is_refused(self, empty_folder, split, says):
        none = {f"{split}_images": np.zeros((0, 12, 12), np.uint8), f"{split}_labels": np.zeros((0, 1), np.uint8)}
        with pytest.raises(ValueError, match=f"{split}_images are none{says}"):
            self.load(empty_folder, {**self.arrays(), **none})

    def test_images_that_are_not_square_are_refused(self, empty_folder):
        arrays = {key: a[:, :10] if key.endswith("images") else a for key, a in self.arrays().items()}
        with pytest.raises(ValueError, match="are 10 x 12; only square ones"):
            self.load(empty_folder, arrays)

    def test_another_size_names_the_right_one(self, empty_folder):
        with pytest.raises(ValueError, match=r"size=28, but .* 12 x 12: load it with size=12"):
            self.load(empty_folder, self.arrays(), 28)

    @pytest.mark.parametrize("key", ["train_images", "test_labels", "class_names"])
    def test_nothing_pickled_is_loaded(self, empty_folder, key):
        class Trap:
            def __reduce__(self):
                return (open, (str(empty_folder / "sprung"), "w"))

        arrays = {**self.arrays(), key: np.array([Trap()] * 9, dtype=object)}
        with pytest.raises(ValueError, match=r"own.npz cannot be read .*nothing pickled is loaded"):
            self.load(empty_folder, arrays)
        assert not (empty_folder / "sprung").exists()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY no array", b"\x80\x04N."])
    def test_another_file_is_refused(self, empty_folder, content):
        (empty_folder / "own.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"own.npz cannot be read"):
            load_dataset("npz:own.npz", 12)

    def test_a_lone_array_is_refused(self, empty_folder):
        with (empty_folder / "own.npz").open("wb") as file:
            np.save(file, np.zeros(3))
        with pytest.raises(ValueError, match=r"own.npz cannot be read"):
            load_dataset("npz:own.npz", 12)

    @pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
    def test_a_truncated_file_is_refused(self, empty_folder, share):
        self.load(empty_folder, self.arrays())
        whole = (empty_folder / "own.npz").read_bytes()
        (empty_folder / "own.npz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"own.npz cannot be read"):
            load_dataset("npz:own.npz", 12)

    def test_a_damaged_array_is_refused(self, empty_folder):
        self.load(empty_folder, self.arrays(size=40), 40)
        damaged = bytearray((empty_folder / "own.npz").read_bytes())
        damaged[200:260] = bytes(60)
        (empty_folder / "own.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"own.npz cannot be read"):
            load_dataset("npz:own.npz", 40)

    def test_a_missing_file_says_where_it_was_looked_for(self, empty_folder):
        with pytest.raises(FileNotFoundError, match=re.escape(str(empty_folder / "none.npz"))):
            load_dataset("npz:none.npz", 12)
        with pytest.raises(FileNotFoundError):
            load_dataset("npz:", 12)  # a folder is no file


class TestForm:
    """Split and Dataset refuse what does not fit."""

    def split(self, n=4, size=8, channels=1, n_classes=2):
        images = torch.zeros(n, channels, size, size, dtype=torch.uint8)
        return Split(images, torch.arange(n) % n_classes, torch.zeros(n, size, size, dtype=torch.bool))

    @pytest.mark.parametrize(
        ("part", "value", "says"),
        [
            ("images", torch.zeros(4, 1, 8, 8), "images float32"),
            ("images", torch.zeros(4, 8, 8, dtype=torch.uint8), "images uint8"),
            ("labels", torch.zeros(4), "labels float32"),
            ("labels", torch.zeros(3, dtype=torch.int64), r"must be int64 \(4,\)"),
            ("masks", torch.zeros(4, 8, 8), "masks float32"),
            ("masks", torch.zeros(4, 8, 7, dtype=torch.bool), r"must be bool \(4, 8, 8\)"),
        ],
    )
    def test_a_split_s_tensors_fit_each_other(self, part, value, says):
        with pytest.raises(ValueError, match=says):
            Split(**{**vars(self.split()), part: value})

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"size": 9}, r"train images of own are \(1, 8, 8\), not \(1, 9, 9\)"),
            ({"classes": ("one",)}, "train labels of own go from 0 to 1: 1 classes need 0 to 0"),
            ({"region": torch.ones(7, 8, dtype=torch.bool)}, "region"),
            ({"region": torch.ones(8, 8)}, "region"),
        ],
    )
    def test_a_dataset_s_parts_fit_each_other(self, change, says):
        fitting = {
            "name": "own",
            "size": 8,
            "classes": ("a", "b"),
            **dict.fromkeys(("train", "val", "test"), self.split()),
        }
        assert Dataset(**fitting).n_classes == 2
        with pytest.raises(ValueError, match=says):
            Dataset(**{**fitting, **change})
        with pytest.raises(ValueError, match="test images"):
            Dataset(**{**fitting, "test": self.split(channels=3)})

    def test_to_moves_every_tensor(self):
        moved = self.split().to("meta")
        assert {t.device.type for t in (moved.images, moved.labels, moved.masks)} == {"meta"}
        assert Split(moved.images, moved.labels).to("meta").masks is None

    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_a_dataset_moves_whole(self, device):
        if device == "cuda" and not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
        data = load_dataset("phantoms", n_train=3, n_val=3, n_test=3)
        moved = data.to(device)
        splits = [(getattr(data, name), getattr(moved, name)) for name in ("train", "val", "test")]
        pairs = [(data.region, moved.region)]
        pairs += [(getattr(a, part), getattr(b, part)) for a, b in splits for part in ("images", "labels", "masks")]
        for before, after in pairs:
            assert after.device.type == device and torch.equal(before, after.cpu())


def test_the_data_folder_is_read_from_the_environment_each_time(empty_folder):
    assert data_folder() == empty_folder
