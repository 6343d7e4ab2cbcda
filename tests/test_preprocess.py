"""Pixels: from uint8 to normalised floats."""

import pytest
import torch

from medattn.preprocess import NORMALISE, to_float


def noise(n: int, channels: int) -> torch.Tensor:
    return torch.randint(256, (n, channels, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize("normalise", NORMALISE)
def test_to_float_normalises_as_in_textbooks(normalise):
    images = noise(4, 3)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in NORMALISE[normalise])
    torch.testing.assert_close(to_float(images, normalise), (images / 255 - mean) / std)
    grey = images[:, :1]
    torch.testing.assert_close(to_float(grey, normalise), (grey / 255 - mean.mean()) / std.mean())
    assert to_float(images, normalise).dtype == torch.float32


def test_to_float_refuses_other_images():
    with pytest.raises(ValueError, match="normalise='z-score' is not one of half, imagenet"):
        to_float(noise(1, 3), "z-score")
    with pytest.raises(ValueError, match="float32 and must be uint8"):
        to_float(torch.rand(1, 3, 4, 4), "half")
    with pytest.raises(ValueError, match="2 channels"):
        to_float(noise(1, 2), "half")
