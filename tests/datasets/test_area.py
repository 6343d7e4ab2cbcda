"""Area interpolation against plain statements of what a mean over an area is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medattn.datasets.area import area_mean, coverage, shrink


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def by_blocks(image: np.ndarray, size: int) -> np.ndarray:
    """Each pixel repeated `size` times along both axes, then plain means of equal blocks."""
    fine = np.kron(image.astype(float), np.ones((size, size)))
    height, width = image.shape
    return fine.reshape(size, height, size, width).mean((1, 3))


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_whole_factor_is_mean_of_blocks(channels):
    image = noise(32, 48, *channels)
    expected = image.reshape(8, 4, 8, 6, *channels).mean((1, 3))
    np.testing.assert_allclose(area_mean(image, 8), expected, rtol=1e-5)
    assert (
        np.array_equal(shrink(image, 8), np.rint(expected)) and shrink(image, 8).dtype == np.uint8
    )


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 20))
def test_area_mean_equals_blocks_of_finer_image(height, width, size):
    image = noise(height, width)
    np.testing.assert_allclose(area_mean(image, size), by_blocks(image, size), rtol=1e-4, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    level=st.integers(0, 255),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.integers(1, 64),
    left=st.floats(0, 0.4),
    right=st.floats(0.6, 1),
)
def test_plain_image_stays_plain(level, height, width, size, left, right):
    assert (shrink(np.full((height, width), level, np.uint8), size, left, right) == level).all()
    weights = coverage(width, size, left, right)
    assert weights.shape == (size, width) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(2, 90), width=st.integers(2, 90), size=st.integers(1, 40))
def test_area_mean_preserves_mean(height, width, size):
    image = noise(height, width)
    assert area_mean(image, size).mean() == pytest.approx(image.mean(), abs=1e-3)


def test_whole_columns_can_be_cut():
    image = noise(20, 50, 3)
    assert np.array_equal(shrink(image, 10, 10 / 50, 40 / 50), shrink(image[:, 10:40], 10))


def test_a_cut_within_a_pixel_takes_its_share():
    image = np.array([[0, 100, 200, 40]] * 4, np.uint8)
    # from 0.5 to 3.5 pixels, three cells of one pixel, each half of two neighbours
    np.testing.assert_allclose(area_mean(image, 3, 0.5 / 4, 3.5 / 4)[0], [50, 150, 120])


def test_cut_is_same_at_any_resolution():
    fine = noise(30, 134)
    coarse = np.kron(fine, np.ones((4, 4), np.uint8))
    cut = (260 / 4288, 3686 / 4288)
    np.testing.assert_allclose(area_mean(fine, 12, *cut), area_mean(coarse, 12, *cut), atol=1e-3)


def test_touched_pixels_have_no_weight():
    for length, size in ((2848, 224), (4288, 224), (300, 7), (81, 27)):
        assert (coverage(length, size) > 0).sum() <= length + size - 1
    assert (coverage(81, 27) > 0).sum() == 81
