"""All sides of a comparison compute the same map, and its table says what was compared."""

import torch
from torch.testing import assert_close

from medattn.attention import PixelCNN, PixelRepresentation
from medattn.datasets.augment import NORMALISE
from medattn.speed import maps
from medattn.speed.rows import COLUMNS


def test_kept_streamed_and_direct_give_one_map_and_one_gradient():
    images = maps.random_images(5, 3, 8)
    kept, streamed = (PixelRepresentation(images, *NORMALISE["imagenet"], kept_bytes=b) for b in (2**30, 0))
    torch.manual_seed(0)
    cnn = PixelCNN(5, 3, 4)
    found = []

    def call(pixels):
        cnn.zero_grad()
        weight_map = cnn(pixels)
        weight_map.sum().backward()
        found.append((weight_map.detach(), cnn.first.weight.grad.clone()))

    call(kept())
    call(kept)
    call(streamed)
    assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    assert_close(found[2], found[0], rtol=1e-4, atol=1e-6)


def test_streaming_keeps_nothing():
    images = maps.random_images(5, 3, 8)
    kept, streamed = (PixelRepresentation(images, kept_bytes=b) for b in (images.numel() * 4, images.numel() * 4 - 1))
    for _ in range(2):
        parts = [[part for _, part in pixels.rows(torch.float32)] for pixels in (kept, streamed)]
        assert_close(torch.cat(parts[0]), torch.cat(parts[1]))
    assert kept._kept is not None and streamed._kept is None


def test_the_pixel_cnn_is_compared_in_time_memory_and_result():
    table = maps.pixel_cnn_step(4, 8, (2, 3), rounds=1)
    assert tuple(table.columns) == COLUMNS
    assert set(table["what"]) == {"pixel CNN step / direct", "pixel CNN memory / direct", "pixel CNN, map moved by"}
    assert (table.loc[table["unit"] == "", "value"] < 1e-5).all()
    assert table["setting"].nunique() == 2


def test_a_step_is_compared_under_a_learned_and_a_fixed_map():
    table = maps.training_step_under_map(3, 16, 2, 2, rounds=1, network="timm:test_resnet")
    assert list(table["side"]) == ["learned", "fixed"] and set(table["base"]) == {"no map"}


def test_the_forms_are_compared_by_their_images():
    table = maps.step_by_images(4, 8, 8, 2, rounds=1)
    assert list(table["side"]) == ["8 images"] * 2
    assert [setting.partition(",")[0] for setting in table["setting"]] == ["principal", "pixels"]
