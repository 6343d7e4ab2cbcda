"""One epoch: its step, its learning rate, its memory, and predictions."""

import pytest
import torch
from short_runs import SHORT
from torch import nn

from medattn.attention import GlobalAttention
from medattn.datasets import Split
from medattn.preprocess import to_float
from medattn.training import Recipe, epoch, fit, predict
from medattn.training.epoch import learning_rate, train_epoch


def test_batch_in_parts_learns_the_same_map():
    """The map's gradient is gathered over the parts of a batch, and the penalty counts once."""
    images, labels = (
        torch.randint(0, 256, (12, 1, 6, 6), dtype=torch.uint8),
        torch.randint(0, 3, (12,)),
    )
    results = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        network = GlobalAttention(
            nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), images, 4, (0.5,), (0.5,)
        )
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        recipe = Recipe(
            batch_size=12,
            accumulate=accumulate,
            lr=0.1,
            channels_last=False,
            weight_map="global",
            map_penalty=0.5,
        )
        row = train_epoch(network, optimizer, Split(images, labels), recipe, 1)
        results.append((network.weight_map().detach(), row["train_loss"], row["map_mean"]))
    torch.testing.assert_close(results[0], results[1])

    torch.manual_seed(0)  # and it is a plain step on Eq. (1)
    network = GlobalAttention(
        nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), images, 4, (0.5,), (0.5,)
    )
    weight_map = network.weight_map()
    inputs = to_float(images, "half")
    loss = nn.functional.cross_entropy(network(inputs), labels) + 0.5 * weight_map.abs().mean()
    loss.backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    torch.testing.assert_close(network.weight_map().detach(), results[0][0], atol=1e-5, rtol=1e-4)


def test_batch_in_parts_gives_the_same_step():
    """Without batch norm (its statistics are those of the part), the gradients are the same."""
    images, labels = (
        torch.randint(0, 256, (12, 1, 4, 4), dtype=torch.uint8),
        torch.randint(0, 3, (12,)),
    )
    results = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        recipe = Recipe(batch_size=12, accumulate=accumulate, channels_last=False)
        row = train_epoch(network, optimizer, Split(images, labels), recipe, 1)
        results.append((network[1].weight.detach().clone(), row["train_loss"]))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-6)


def test_learning_rate_falls_every_lr_step():
    recipe = Recipe(lr=0.1)
    assert [round(learning_rate(recipe, epoch), 6) for epoch in (1, 40, 41, 80, 81, 150)] == [
        0.1, 0.1, 0.01, 0.01, 0.001, 0.0001,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_names_a_setting(tmp_path, monkeypatch, error):
    def full(*_arguments):
        raise error

    monkeypatch.setattr(epoch, "_backward", full)
    with pytest.raises(MemoryError, match=r"16 images at a time at 28 px: try accumulate=2;"):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)


def test_evaluation_batch_fits_the_memory(monkeypatch):
    network, images = (
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)),
        torch.randint(256, (300, 3, 8, 8)).byte(),
    )
    expected, sizes, outputs = predict(network, images, SHORT), [], epoch._outputs

    def small(network, inputs, weight_map):
        sizes.append(len(inputs))
        if len(inputs) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs(network, inputs, weight_map)

    monkeypatch.setattr(epoch, "_outputs", small)
    torch.testing.assert_close(predict(network, images, SHORT), expected)
    assert sizes == [256, 128, 64, 64, 64, 64, 44]
    monkeypatch.setattr(
        epoch,
        "_outputs",
        lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none left")),
    )
    with pytest.raises(torch.OutOfMemoryError, match="none left"):
        predict(network, images, SHORT)


def test_predict_keeps_the_modes():
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).train()
    network[1].eval()  # a frozen norm
    predict(network, torch.zeros(2, 3, 4, 4, dtype=torch.uint8), SHORT)
    assert network.training and network[0].training and not network[1].training


@pytest.mark.parametrize("message", ["shapes do not match", "unsupported memory format option"])
def test_other_errors_are_passed_on(tmp_path, monkeypatch, message):
    def broken(*_arguments):
        raise RuntimeError(message)

    monkeypatch.setattr(epoch, "_backward", broken)
    with pytest.raises(RuntimeError, match=message):
        fit(SHORT, "cpu", progress=False, runs=tmp_path)
