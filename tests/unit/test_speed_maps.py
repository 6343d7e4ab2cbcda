"""All sides of a comparison compute the same map, and its table says what was compared."""

import torch
from torch.testing import assert_close

from medattn.attention import PixelCNN, PixelRepresentation
from medattn.datasets.augment import NORMALISE
from medattn.speed import maps
from medattn.speed.timing import COLUMNS


def test_kept_streamed_and_direct_give_one_map_and_one_gradient():
    representation = PixelRepresentation(maps.random_images(5, 3, 8), *NORMALISE["imagenet"])
    torch.manual_seed(0)
    cnn = PixelCNN(5, 3, 4)
    found = []

    def call(pixels):
        cnn.zero_grad()
        weight_map = cnn(pixels)
        weight_map.sum().backward()
        found.append((weight_map.detach(), cnn.first.weight.grad.clone()))

    call(representation())
    call(representation)
    maps._streamed(lambda: call(representation), representation)()
    assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    assert_close(found[2], found[0], rtol=1e-4, atol=1e-6)


def test_streaming_keeps_nothing_and_puts_everything_back():
    representation = PixelRepresentation(maps.random_images(5, 3, 8))
    list(representation.rows(torch.float32))
    kept, limit, seen = representation._kept, maps.pixels.KEPT_BYTES, []
    maps._streamed(lambda: seen.append((representation._kept, maps.pixels.KEPT_BYTES)), representation)()
    assert seen == [(None, 0)]
    assert representation._kept is kept and limit == maps.pixels.KEPT_BYTES


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
