"""The phantoms: seeded, structured, and labelled by nothing but the lesions within the region."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from medattn.datasets import load_dataset
from medattn.datasets.phantoms import _chunk, draw, region
from medattn.datasets.phantoms.spots import MOST_DISTRACTORS, SPOT_NUMBERS, draw_spots

NONE, MILD, SEVERE = 0, 1, 2


@pytest.fixture(scope="module")
def many():
    return draw(600, 28)


@pytest.fixture(scope="module")
def large():
    return draw(30, 224)


def same(one, other) -> bool:
    return all(
        torch.equal(getattr(one, part), getattr(other, part))
        for part in ("images", "labels", "masks")
    )


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (28, 3), (45, 3), (224, 1)])
def test_dataset_has_its_shapes_and_balanced_classes(size, channels):
    data = load_dataset("phantoms", size, n_train=6, n_val=3, n_test=9, channels=channels)
    assert (data.size, data.channels, data.classes) == (size, channels, ("none", "mild", "severe"))
    for split, n in ((data.train, 6), (data.val, 3), (data.test, 9)):
        assert split.images.shape == (n, channels, size, size)
        assert split.masks.shape == (n, size, size)
        assert split.labels.bincount().tolist() == [n // 3] * 3
    assert torch.equal(data.region, region(size))


def test_the_seed_decides_everything():
    first = draw(5, seed=7)
    _chunk.cache_clear()
    assert same(draw(5, seed=7), first)
    assert not torch.equal(draw(5, seed=7).images, draw(5, seed=8).images)
    assert not torch.equal(draw(5, split="train").images, draw(5, split="test").images)


def test_cached_images_are_not_changed_by_users():
    first, hits = draw(5, seed=3), _chunk.cache_info().hits
    first.images.zero_()
    first.masks.fill_(True)
    again = draw(5, seed=3)
    assert _chunk.cache_info().hits == hits + 1
    assert again.images.any() and not again.masks.all()


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 80), seed=st.integers(0, 2**40), channels=st.sampled_from([1, 3]))
def test_image_does_not_depend_on_count(n, seed, channels):
    few, more = draw(n, channels=channels, seed=seed), draw(n + 20, channels=channels, seed=seed)
    assert torch.equal(few.images, more.images[:n])
    assert torch.equal(few.masks, more.masks[:n])


def test_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draw(2)
    assert torch.equal(before, torch.get_rng_state())


def test_another_size_shows_the_same_eye(large):
    small = draw(len(large), 28).images.float().flatten(1)
    shrunk = F.interpolate(large.images.float(), (28, 28), mode="area").flatten(1)
    for one, other in zip(small, shrunk, strict=True):
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.95


def test_grey_images_show_same_lesions():
    grey, colour = draw(12, channels=1), draw(12, channels=3)
    assert torch.equal(grey.masks, colour.masks)
    green = colour.images[:, 1:2].float()
    assert (
        torch.corrcoef(torch.stack([grey.images.float().flatten(), green.flatten()]))[0, 1] > 0.95
    )


@settings(max_examples=10, deadline=None)
@given(size=st.integers(28, 96), seed=st.integers(0, 2**40))
def test_lesions_lie_in_region_by_class(size, seed):
    split = draw(24, size, seed=seed)
    assert not (split.masks & ~region(size)).any()
    assert torch.equal(split.masks.flatten(1).any(1), split.labels > NONE)


def test_every_lesion_image_has_a_mask(many, large):
    for split in (many, large):
        assert torch.equal(split.masks.flatten(1).any(1), split.labels > NONE)
        assert not (split.masks & ~region(split.images.shape[-1])).any()


def test_the_class_is_the_number_of_lesions(large):
    counts = torch.tensor([ndimage.label(mask.numpy())[1] for mask in large.masks])
    assert (counts[large.labels == NONE] == 0).all()
    assert set(counts[large.labels == MILD].tolist()) == {1, 2}
    severe = counts[large.labels == SEVERE]  # two lesions that touch count as one
    assert severe.min() >= 3 and severe.max() <= 6 and severe.float().mean() > 4


def test_a_mask_is_where_the_image_changes():
    hidden, shown = draw(60, 64, contrast=0.0), draw(60, 64, contrast=1.5)
    assert torch.equal(hidden.masks, shown.masks)
    change = (hidden.images.int() - shown.images.int()).abs().sum(1).float()
    inner = (
        region(64) & ~grown(~region(64)[None], 6)[0]
    )  # away from the border, where distractors begin
    beyond = inner & ~grown(shown.masks, 4)
    assert change[shown.masks].mean() > 40
    assert change[beyond].max() == 0  # no spot in the region but the lesions
    assert torch.equal(change.flatten(1).amax(1) > 0, has_spots(change))


def grown(masks: torch.Tensor, by: int) -> torch.Tensor:
    return F.max_pool2d(masks.float(), 2 * by + 1, stride=1, padding=by) > 0


def has_spots(change: torch.Tensor) -> torch.Tensor:
    return (change > 10).flatten(1).any(1)


@pytest.mark.parametrize("size", [28, 224])
def test_distractors_are_the_same_whatever_the_class(size):
    generator = torch.Generator().manual_seed(3)
    numbers, how_many = (
        torch.rand(8, *SPOT_NUMBERS, generator=generator),
        torch.rand(8, 2, generator=generator),
    )
    around = ~region(size)
    drawn = []
    for label in (NONE, MILD, SEVERE):
        labels = torch.full((8,), label)
        dark, bright, masks = draw_spots(numbers, how_many, labels, size)
        assert bool(masks.any()) == (label > NONE)
        drawn.append((dark + bright)[:, around])
    far = drawn[NONE] > 0.5  # a lesion's soft edge may reach over the border
    assert far.any()
    for other in drawn[1:]:
        assert torch.equal(other[far], drawn[NONE][far])
        assert (other - drawn[NONE]).abs().max() < 0.25


def test_any_number_of_distractors_occurs():
    numbers = torch.rand(1, *SPOT_NUMBERS, generator=torch.Generator().manual_seed(0))
    found = []
    for count in range(MOST_DISTRACTORS + 1):
        share = torch.tensor([[0.5, (count + 0.5) / (MOST_DISTRACTORS + 1)]])
        dark, bright, _ = draw_spots(numbers, share, torch.tensor([NONE]), 224)
        found.append(ndimage.label(((dark + bright)[0] > 0.45).numpy())[1])
    assert (
        found[0] == 0 and found == sorted(found) and found[-1] >= MOST_DISTRACTORS - 2
    )  # neighbours may touch


def test_brightness_does_not_tell_the_class(many):
    brightness = many.images.float().mean((1, 2, 3))
    for one, other in ((NONE, MILD), (NONE, SEVERE), (MILD, SEVERE)):
        pair = (many.labels == one) | (many.labels == other)
        assert abs(roc_auc_score(many.labels[pair] == other, brightness[pair]) - 0.5) < 0.12


def test_the_disc_lies_on_the_left_in_every_image(many):
    red, _, blue = many.images.float().unbind(1)
    rows, left, right = slice(12, 16), slice(4, 8), slice(20, 24)
    pale = blue / red.clamp(min=1)  # the disc is paler, however the light falls
    assert (pale[:, rows, left].mean((1, 2)) > 1.2 * pale[:, rows, right].mean((1, 2))).all()


def test_the_surround_is_dark(large):
    assert large.images[:, :, :12, :12].float().mean() < 12
    assert large.images[:, :, 90:140, 90:140].float().mean() > 50


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 27}, "size=27 must be a whole number of pixels from 28 to 224"),
        ({"size": 225}, "size=225"),
        ({"size": 28.0}, "size=28.0"),
        ({"channels": 2}, "channels=2 must be 1"),
        ({"contrast": -0.1}, "contrast=-0.1 must be a number from 0"),
        ({"contrast": float("nan")}, "contrast=nan"),
        ({"contrast": "1"}, "contrast='1'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"n_val": 0}, "n_val=0 must be a whole number from 1"),
        ({"n_train": True}, "n_train=True"),
    ],
)
def test_invalid_options_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        load_dataset("phantoms", **options)
