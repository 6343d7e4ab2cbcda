"""Augmentation: seeded, drawn for each image, and doing what its name says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medattn.training.augment import AUGMENT, PADDING


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, channels: int = 3, height: int = 28, width: int = 28) -> torch.Tensor:
    return torch.randint(
        1, 256, (n, channels, height, width), generator=generator(1), dtype=torch.uint8
    )


@pytest.mark.parametrize("name", AUGMENT)
@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (3, 28, 28), (3, 40, 24), (3, 8, 8)]
)
def test_augmentation_keeps_shape_type_and_input(name, channels, height, width):
    images = noise(6, channels, height, width)
    kept = images.clone()
    augmented = AUGMENT[name](images, generator())
    assert augmented.shape == images.shape and augmented.dtype == torch.uint8
    assert torch.equal(images, kept)
    assert AUGMENT[name](images[:1], generator()).shape == images[:1].shape


@pytest.mark.parametrize("name", AUGMENT)
def test_same_seed_gives_same_result(name):
    images = noise(16)
    assert torch.equal(AUGMENT[name](images, generator(5)), AUGMENT[name](images, generator(5)))
    state = generator(5)
    first, second = AUGMENT[name](images, state), AUGMENT[name](images, state)
    assert torch.equal(first, second) == (name == "none")


@pytest.mark.parametrize("name", [name for name in AUGMENT if name != "none"])
def test_each_image_has_its_own_parameters(name):
    images = noise(1).repeat(32, 1, 1, 1)
    results = {tuple(image.flatten().tolist()) for image in AUGMENT[name](images, generator())}
    assert len(results) == 2 if name == "flip" else len(results) > 20


@pytest.mark.parametrize("name", AUGMENT)
def test_global_generator_is_left_alone(name):
    before = torch.get_rng_state()
    AUGMENT[name](noise(2), generator())
    assert torch.equal(before, torch.get_rng_state())


def test_flip_mirrors_half_of_the_images():
    images = noise(200, 1, 6, 6)
    flipped = AUGMENT["flip"](images, generator())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (mirrored ^ (flipped == images).flatten(1).all(1)).all()
    assert 70 < mirrored.sum() < 130


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_crop_shifts_by_at_most_four_pixels(seed):
    images = noise(5, 3, 12, 10)
    cropped = AUGMENT["crop"](images, generator(seed))
    padded = F.pad(images, (PADDING,) * 4)
    for image, result in zip(padded, cropped, strict=True):
        places = [
            (y, x)
            for y in range(9)
            for x in range(9)
            if torch.equal(image[:, y : y + 12, x : x + 10], result)
        ]
        assert len(places) == 1


def test_crop_reaches_every_shift():
    at = (
        torch.arange(1, 101, dtype=torch.uint8).view(1, 1, 10, 10).repeat(2000, 1, 1, 1)
    )  # pixels tell their place
    centre = AUGMENT["crop"](at, generator())[:, 0, 5, 5].long() - 1
    assert sorted(set((centre // 10 - 5).tolist())) == list(range(-4, 5))
    assert sorted(set((centre % 10 - 5).tolist())) == list(range(-4, 5))


def test_isic_keeps_plain_images_plain():
    grey = torch.full((40, 3, 32, 32), 100, dtype=torch.uint8)
    result = AUGMENT["isic"](grey, generator()).float()
    assert (
        result.amax((1, 2, 3)) - result.amin((1, 2, 3)) <= 1
    ).all()  # no black corners, no colour cast
    level = result.mean((1, 2, 3))
    assert (level >= 79).all() and (level <= 121).all() and level.std() > 5


def test_isic_keeps_grey_images_grey():
    grey = noise(8, 1).repeat(1, 3, 1, 1)
    result = AUGMENT["isic"](grey, generator()).int()
    assert (result.amax(1) - result.amin(1)).max() <= 1


def test_isic_mirrors_both_ways():
    ramp = torch.arange(28, dtype=torch.uint8).mul(9).expand(200, 1, 28, 28)
    rising = AUGMENT["isic"](ramp, generator()).float()
    rising = rising[..., 18:].mean((1, 2, 3)) > rising[..., :10].mean((1, 2, 3))
    falling = AUGMENT["isic"](ramp.mT.contiguous(), generator()).float()
    falling = falling[:, :, 18:].mean((1, 2, 3)) > falling[:, :, :10].mean((1, 2, 3))
    assert 60 < rising.sum() < 140 and 60 < falling.sum() < 140


def test_isic_on_a_wide_image_rotates_without_shear():
    """Check by second moments that a disc stays round, on average, in an image 2:1."""
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(128) - 63.5, indexing="ij")
    disc = ((x**2 + y**2) < 15**2).byte().mul(255).expand(300, 1, 64, 128)
    weight = AUGMENT["isic"](disc, generator())[:, 0].float()
    weight = weight * (weight > 60)
    inside = (weight[:, [0, -1]].sum((1, 2)) == 0) & (
        weight[:, :, [0, -1]].sum((1, 2)) == 0
    )  # the whole disc is seen
    weight = weight[inside] / weight[inside].sum((1, 2), keepdim=True)
    assert len(weight) > 10
    dx, dy = (axis - (weight * axis).sum((1, 2), keepdim=True) for axis in (x, y))
    cross = (weight * dx * dy).sum((1, 2)) / (
        (weight * dx**2).sum((1, 2)) * (weight * dy**2).sum((1, 2))
    ).sqrt()
    assert cross.abs().max() < 0.16  # of a tilted ellipse of 3:4, twice over
