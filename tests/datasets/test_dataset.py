"""Split and Dataset refuse what does not fit, and move whole."""

import pytest
import torch

from medattn.datasets import Dataset, Split, load_dataset
from medattn.datasets.dataset import check_size


def make_split(n=4, size=8, channels=1, n_classes=2):
    images = torch.zeros(n, channels, size, size, dtype=torch.uint8)
    return Split(images, torch.arange(n) % n_classes, torch.zeros(n, size, size, dtype=torch.bool))


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("images", torch.zeros(4, 1, 8, 8), "images are torch.float32"),
        ("images", torch.zeros(4, 8, 8, dtype=torch.uint8), "images are torch.uint8"),
        ("labels", torch.zeros(4), "labels are torch.float32"),
        ("labels", torch.zeros(3, dtype=torch.int64), r"must be torch.int64 \(4,\)"),
        ("masks", torch.zeros(4, 8, 8), "masks are torch.float32"),
        ("masks", torch.zeros(4, 8, 7, dtype=torch.bool), r"must be torch.bool \(4, 8, 8\)"),
    ],
)
def test_split_tensors_must_fit(part, value, says):
    with pytest.raises(ValueError, match=says):
        Split(**{**vars(make_split()), part: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": 9}, r"train images of own are \(1, 8, 8\), not \(1, 9, 9\)"),
        ({"classes": ("one",)}, "train labels of own go from 0 to 1: 1 classes need 0 to 0"),
        ({"region": torch.ones(7, 8, dtype=torch.bool)}, "region"),
        ({"region": torch.ones(8, 8)}, "region"),
    ],
)
def test_dataset_parts_must_fit(change, says):
    fitting = {
        "name": "own",
        "size": 8,
        "classes": ("a", "b"),
        **dict.fromkeys(("train", "val", "test"), make_split()),
    }
    assert Dataset(**fitting).n_classes == 2
    with pytest.raises(ValueError, match=says):
        Dataset(**{**fitting, **change})
    with pytest.raises(ValueError, match="test images"):
        Dataset(**{**fitting, "test": make_split(channels=3)})


def test_to_moves_every_tensor():
    moved = make_split().to("meta")
    assert {t.device.type for t in (moved.images, moved.labels, moved.masks)} == {"meta"}
    assert Split(moved.images, moved.labels).to("meta").masks is None


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_dataset_moves_whole(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    data = load_dataset("phantoms", n_train=3, n_val=3, n_test=3)
    moved = data.to(device)
    splits = [(getattr(data, name), getattr(moved, name)) for name in ("train", "val", "test")]
    pairs = [(data.region, moved.region)]
    pairs += [
        (getattr(a, part), getattr(b, part))
        for a, b in splits
        for part in ("images", "labels", "masks")
    ]
    for before, after in pairs:
        assert after.device.type == device and torch.equal(before, after.cpu())


@pytest.mark.parametrize("size", [7, 1025, 28.0, True, "28"])
def test_invalid_size_is_refused(size):
    with pytest.raises(
        ValueError, match=f"size={size!r} must be a whole number of pixels from 8 to 1024"
    ):
        check_size(size)
