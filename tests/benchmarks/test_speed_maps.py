"""All sides of a comparison compute the same map, and its rows name what was compared."""

import speed_maps as maps
import torch
from speed_rows import COLUMNS, random_images
from torch.testing import assert_close

from medattn.attention import PixelCNN, PixelRepresentation
from medattn.preprocess import NORMALISE


def test_all_sides_have_one_map_and_gradient():
    images = random_images(5, 3, 8)
    kept, streamed = (
        PixelRepresentation(images, *NORMALISE["imagenet"], kept_bytes=b) for b in (2**30, 0)
    )
    torch.manual_seed(0)
    cnn, results = PixelCNN(5, 3, 4), []
    for pixels in (kept(), kept, streamed):
        cnn.zero_grad()
        maps.backward(cnn, pixels)
        results.append((cnn(pixels).detach(), cnn.first.weight.grad.clone()))
    assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)
    assert_close(results[2], results[0], rtol=1e-4, atol=1e-6)


def test_streaming_keeps_nothing():
    images = random_images(5, 3, 8)
    kept, streamed = (
        PixelRepresentation(images, kept_bytes=b)
        for b in (images.numel() * 4, images.numel() * 4 - 1)
    )
    for _ in range(2):
        parts = [[part for _, part in pixels.rows(torch.float32)] for pixels in (kept, streamed)]
        assert_close(torch.cat(parts[0]), torch.cat(parts[1]))
    assert kept._kept is not None and streamed._kept is None


def test_pixel_cnn_time_memory_and_result():
    table = maps.pixel_cnn_step(4, 8, (2, 3), rounds=1)
    assert list(table) == COLUMNS and table["setting"].nunique() == 2
    assert list(table["what"].unique()) == [
        "pixel CNN step / direct",
        "pixel CNN memory / direct",
        "pixel CNN, map moved by",
    ]
    assert (table.loc[table["unit"] == "", "value"] < 1e-5).all()


def test_steps_with_learned_and_fixed_map():
    table = maps.training_step_with_map(3, 16, 2, 2, rounds=1, network="timm:test_resnet")
    assert list(table["side"]) == ["learned", "fixed"] and set(table["base"]) == {"no map"}


def test_forms_are_compared_by_their_images():
    table = maps.step_by_images(4, 8, 8, 2, rounds=1)
    assert list(table["side"]) == ["8 images"] * 2
    assert [setting.partition(",")[0] for setting in table["setting"]] == ["principal", "pixels"]
