"""What only a GPU can show: `make gpu` runs this there. MEDATTN_GPU_TESTS=cpu tries it anywhere."""

import os

import pytest
import torch
from torch.testing import assert_close

from medattn.attention import PPCR, GlobalAttention, compile_attention, insert_attention
from medattn.networks import build_network
from medattn.training import Recipe, Run, fit

DEVICE = os.environ.get("MEDATTN_GPU_TESTS", "cuda")
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("there is no CUDA device", allow_module_level=True)

SMALL = Recipe(
    dataset="phantoms",
    dataset_options={"n_train": 48, "n_val": 16, "n_test": 16},
    network="timm:test_resnet",
    attention="ppcr",
    epochs=4,
    batch_size=16,
    optimizer="adam",
    lr=0.002,
)


def test_a_resumed_run_ends_at_the_same_bits(tmp_path, monkeypatch):
    whole = fit(SMALL, DEVICE, False, tmp_path / "whole")
    epochs = 0

    def killed_after_two(*arguments, **options):
        nonlocal epochs
        if epochs == 2:
            raise KeyboardInterrupt
        epochs += 1
        return train(*arguments, **options)

    from medattn.training import fitting

    train = fitting.train_epoch
    monkeypatch.setattr(fitting, "train_epoch", killed_after_two)
    with pytest.raises(KeyboardInterrupt):
        fit(SMALL, DEVICE, False, tmp_path / "halved")
    monkeypatch.setattr(fitting, "train_epoch", train)
    assert len(Run.of(SMALL, tmp_path / "halved").history) == 2
    resumed = fit(SMALL, DEVICE, False, tmp_path / "halved")
    assert resumed.predictions.equals(whole.predictions)
    ours, theirs = resumed.network().state_dict(), whole.network().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_half_precision_trains(tmp_path):
    recipe = SMALL.replace(precision="bf16", epochs=2)
    run = fit(recipe, DEVICE, False, tmp_path)
    assert run.history["train_loss"].notna().all() and run.result["n_test"] == 16


@pytest.mark.parametrize("name", ["ppcr", "gc", "ca"])
def test_compiled_attention_is_the_same_function(name):
    network = build_network("resnet18", 2, size=28)
    insert_attention(network, name, 28)
    network = network.to(DEVICE).eval()
    images = torch.randn(4, 3, 28, 28, device=DEVICE)
    with torch.no_grad():
        expected = network(images)
        compile_attention(network)
        assert_close(network(images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gates_are_computed_in_float32_under_autocast(dtype):
    module = PPCR(64, 14).to(DEVICE)
    torch.nn.init.normal_(module.integrate.weight)
    x = torch.randn(8, 64, 14, 14, device=DEVICE)
    with torch.autocast(DEVICE, dtype):
        half = module(x.to(dtype))
    assert_close(half.float(), module(x.to(dtype).float()), rtol=2e-2, atol=2e-2)


@pytest.mark.skipif(DEVICE != "cuda", reason="only a GPU counts its memory")
def test_freezing_the_map_frees_the_images():
    images = torch.rand(512, 3, 64, 64)
    before = torch.cuda.memory_allocated()
    network = GlobalAttention(build_network("timm:test_resnet", 3, size=64), images).to(DEVICE)
    held = torch.cuda.memory_allocated() - before
    network.freeze()
    left = torch.cuda.memory_allocated() - before
    assert held > images.numel() * 4
    assert left < held - 0.9 * images.numel() * 4
