"""Folds and held-out parts: every image once, every class in proportion, always the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medattn.datasets import load_dataset, resplit
from medattn.datasets.splits import fold_of, train_val


@pytest.fixture(scope="module")
def data():
    return load_dataset("phantoms", 28, n_train=40, n_val=20, n_test=6)


def as_rows(*splits):
    return sorted(bytes(image.flatten().tolist()) for split in splits for image in split.images)


def test_folds_hold_every_image_once(data):
    folds = [resplit(data, f"{k}/5") for k in range(1, 6)]
    assert as_rows(*(fold.val for fold in folds)) == as_rows(data.train, data.val)
    for fold in folds:
        assert as_rows(fold.train, fold.val) == as_rows(data.train, data.val)
        assert fold.test is data.test
        assert fold.val.labels.bincount(minlength=3).tolist() == pytest.approx([4, 4, 4], abs=1)
        assert fold.val.masks.shape[0] == len(fold.val)
    assert torch.equal(resplit(data, "2/5").val.images, folds[1].val.images)


def test_own_and_all(data):
    assert resplit(data, "own") is data
    everything = resplit(data, "all")
    assert (len(everything.train), len(everything.val)) == (60, 0)


@given(st.lists(st.integers(4, 30), min_size=2, max_size=5), st.integers(0, 99))
def test_a_held_out_part_has_every_class_in_proportion(counts, seed):
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    classes = tuple(map(str, range(len(counts))))
    kept, out = train_val(labels, classes, seed, 0.25)
    assert sorted(torch.cat([kept, out]).tolist()) == list(range(len(labels)))
    for label, count in enumerate(counts):
        assert int((labels[out] == label).sum()) == pytest.approx(0.25 * count, abs=1)
    assert torch.equal(train_val(labels, classes, seed, 0.25)[1], out)


@pytest.mark.parametrize("split", ["0/5", "6/5", "1/1", "fold 1", "", "1/5 "])
def test_unknown_split_is_refused(split):
    with pytest.raises(ValueError, match=r"there are 'own', 'all', or fold k of n as 'k/n'"):
        fold_of(split)


def test_a_class_with_too_few_images_is_named():
    few = load_dataset("phantoms", 28, n_train=4, n_val=2, n_test=3)
    with pytest.raises(ValueError, match="a class of phantoms has 1 images, too few for 5 parts"):
        resplit(few, "1/5")
