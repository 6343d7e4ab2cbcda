"""Recording from outside, and every figure drawn from what was recorded."""

import gc

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from medattn import figures
from medattn.attention import (
    ATTENTION_MAPS,
    PYRAMID_AXES,
    CrossChannelPyramidPooling,
    PixelNorm,
    insert_attention,
)
from medattn.evaluation.audit import fits, two_classes
from medattn.networks import build_network
from medattn.recording import last_of_each_stage, on_image, record, record_images, stages
from medattn.teaching import show, within


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build_network("resnet18", 3, size=28).eval()
    for site in insert_attention(network, "ppcr", 28):
        nn.init.normal_(site.module.integrate.weight)
    return network


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (5, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def n_hooks(network):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


def test_what_is_recorded_satisfies_the_equations(network, images):
    seen = record_images(network, images)
    assert len(seen) == 8
    for recorded in seen.values():
        t = recorded.before
        t_hat = (t - t.mean(1, keepdim=True)) / (t.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        assert_close(recorded.after, t_hat, rtol=1e-4, atol=1e-5)
        assert_close(recorded.attention, torch.sigmoid((recorded.weights * t_hat).sum(1)), rtol=1e-4, atol=1e-5)
        assert recorded.map(28).shape == (5, 28, 28)


def test_energy_is_of_the_features_before_they_are_gated(network, images):
    x = torch.randn(2, 3, 28, 28)
    seen_by_hand = []
    hook = network.layer2[1].bn2.attention.register_forward_pre_hook(lambda _, inputs: seen_by_hand.append(inputs[0]))
    with record(network) as seen:
        network(x)
    hook.remove()
    assert_close(seen["layer2.1.bn2"].energy, seen_by_hand[0].detach().abs().mean(1))
    assert_close(on_image(seen["layer2.1.bn2"].attention, 28), seen["layer2.1.bn2"].map(28))


def test_batches_are_joined_in_order_and_the_output_is_untouched(network, images):
    whole, parts = record_images(network, images), record_images(network, images, batch_size=2)
    for name in whole:
        assert_close(whole[name].attention, parts[name].attention, rtol=1e-4, atol=1e-5)
    x = torch.randn(2, 3, 28, 28)
    expected = network(x)
    with record(network):
        assert torch.equal(network(x), expected)


def test_hooks_go_on_exit_and_on_error_and_the_mode_is_put_back(network, images):
    network.train()
    record_images(network, images[:2])
    assert network.training
    network.eval()
    with pytest.raises(RuntimeError, match="on purpose"), record(network):
        raise RuntimeError("on purpose")
    assert n_hooks(network) == 0


def test_where_nothing_was_recorded_it_is_said(network, images):
    with pytest.raises(ValueError, match="nothing was recorded: run the network within the block"), record(network):
        pass
    compiled = torch.compile(network, backend="eager")
    x = torch.randn(2, 3, 28, 28)
    compiled(x)
    with pytest.raises(ValueError, match="before compiling"), record(network):
        compiled(x)


def test_nothing_is_kept_alive(network, images):
    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    record_images(network, images)
    before = tensors()
    for _ in range(3):
        record_images(network, images)
    assert tensors() <= before


def test_maps_alone_leave_the_contexts_out(network, images):
    seen = record_images(network, images, contexts=False)
    assert all(recorded.before.numel() == 0 < recorded.attention.numel() for recorded in seen.values())


@pytest.mark.parametrize(
    ("attention", "said"),
    [(None, "ResNet has no attention to record: insert_attention"), ("se", "se weighs channels and has no attention")],
)
def test_a_network_without_an_attention_map_is_refused(attention, said):
    network = build_network("timm:test_resnet", 2, size=28)
    if attention:
        insert_attention(network, attention, 28)
    with pytest.raises(ValueError, match=said), record(network):
        pass


@pytest.mark.parametrize("attention", ATTENTION_MAPS)
def test_every_method_with_a_map_is_recorded_in_a_network(attention, images):
    network = build_network("timm:test_resnet", 2, size=28)
    sites = insert_attention(network, attention, 28)
    seen = record_images(network, images, batch_size=2)
    assert [(s.name, s.method, *s.attention.shape) for s in seen.values()] == [
        (site.name, attention, 5, *site.size) for site in sites
    ]
    assert all(recorded.energy.shape == recorded.attention.shape for recorded in seen.values())
    assert n_hooks(network) == 0


def test_a_stage_is_where_the_names_of_the_blocks_part():
    def of(name, prefix="", **options):
        network = build_network(name, 2, size=64)
        sites = insert_attention(network, "ppcr", 64, **options)
        network = nn.Module() if prefix else network
        network.image_cnn = build_network(name, 2, size=64) if prefix else None
        return set(stages(network, [prefix + site.name for site in sites]).values())

    layers = {f"layer{k}" for k in (1, 2, 3, 4)}
    assert of("timm:test_resnet") == of("timm:test_resnet", "image_cnn.") == layers
    assert of("timm:test_resnet", where="layer4.0.bn2") == {"layer4"}
    assert of("regnet_y_400mf") == {f"trunk_output.block{k}" for k in (1, 2, 3, 4)}
    blocks = ["features.denseblock1", "features.denseblock2"]
    assert of("densenet121", where=blocks) == set(blocks)


def test_recording_in_training_moves_a_batch_norm_once():
    """CA's batch norm sees what it would see without anybody watching."""
    networks = [build_network("timm:test_resnet", 2, size=28).train() for _ in range(2)]
    for network in networks:
        insert_attention(network, "ca", 28)
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.randn(4, 3, 28, 28)
    networks[0](x)
    with record(networks[1]):
        networks[1](x)
    left, right = (network.state_dict() for network in networks)
    assert all(torch.equal(value, right[name]) for name, value in left.items())


def drawn(network, images):
    seen = record_images(network, images)
    stages = last_of_each_stage(seen)
    assert list(stages) == ["layer1", "layer2", "layer3", "layer4"]
    maps = {name: stage.map(28) for name, stage in stages.items()}
    masks = torch.zeros(5, 28, 28, dtype=torch.bool)
    masks[:, 4:9, 10:14] = True
    first = stages["layer1"]
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1, 0.5], "val_loss": [1.1, 0.8],
                            "train_accuracy": [0.5, 0.6], "val_accuracy": [0.4, 0.5]})  # fmt: skip
    table = pd.DataFrame({"dataset": "set", "method": ["none", "PPCR"] * 2, "accuracy": [80, 82, 81.5, 80.5],
                          "source": ["paper", "paper", "ours", "ours"]})  # fmt: skip
    yield "image_grid", figures.image_grid(images, ["a", "b", "c", "d", "e"], masks)
    yield "grey_grid", figures.image_grid(images[:, :1], list("abcde"))
    yield "method_maps", figures.method_maps(images[:2], maps, masks[:2], ["a", "b"])
    yield (
        "stage_maps",
        figures.stage_maps(
            images[0],
            {n: m[0] for n, m in maps.items()},
            {n: s.attention for n, s in stages.items()},
            masks[0],
        ),
    )
    yield "context_distributions", figures.context_distributions(first.before, first.after)
    yield "weight_distributions", figures.weight_distributions({n: s.weights for n, s in stages.items()})
    yield "contexts_of_image", figures.contexts_of_image(first.before[0])
    yield "contexts_signed", figures.contexts_of_image(first.after[0], signed=True)
    yield (
        "pixel_walk",
        figures.pixel_walk(first.before[0, :, 5, 5], first.after[0, :, 5, 5], first.weights[:, 5, 5]),
    )
    pixel = first.before[0, :, 5, 5], first.after[0, :, 5, 5], first.weights[:, 5, 5]
    yield "pixel_walk_on_image", figures.pixel_walk(*pixel, image=images[0], place=(5, 5))
    yield (
        "context_sphere",
        figures.context_sphere(first.after[0].flatten(1), first.attention[0].flatten(), pixel[2]),
    )
    per_image = torch.stack([stage.attention.flatten(1).std(1) for stage in stages.values()])
    per_image[0, 2] = torch.nan
    spread = {"within an image": per_image, "untrained": torch.zeros(4)}
    yield "by_stage", figures.by_stage(spread, list(stages), "standard deviation", {"chance": 0.1})
    yield "contexts_not_nested", figures.contexts_of_image(first.before[0], scales=(3, 4))
    yield "training_curves", figures.training_curves({"plain": history, "PPCR": history})
    yield "confusion_matrix", figures.confusion_matrix(np.array([[3, 1], [0, 4]]), ["benign", "malignant"])
    by_method = pd.MultiIndex.from_product([["ResNet18", "ResNet50"], ["none", "PPCR", "NL"]])
    accuracy, macs = pd.Series([78.65, 80.21, 73.96, 72.9, 78.1, 65.6], by_method), pd.Series(range(1, 7), by_method)
    yield "accuracy_by_cost", figures.accuracy_by_cost(accuracy, macs, n_test=192)
    yield "beside_the_paper", figures.beside_the_paper(table)
    yield (
        "training_so_far",
        figures.training_so_far(history.assign(lr=0.1), epochs=4, picture=maps["layer1"][0], label="map"),
    )
    yield "map_region", figures.map_region(maps["layer1"][0], images[0], 0.5, masks[0])
    scored = pd.DataFrame({"method": ["gc", "gc", "ppcr"], "stage": ["layer1", "layer2", "layer1"],
                           "value": [0.6, 0.7, 0.5], "low": [0.5, 0.6, 0.4], "high": [0.7, 0.8, 0.6]})  # fmt: skip
    yield "scores_by_stage", figures.scores_by_stage(scored, "AUC", {"chance": 0.5, "centre": 0.75})
    steps = torch.linspace(0, 1, 9).expand(5, 9)
    curves = {"map": (1 - steps, steps), "centre": (1 - steps / 2, steps / 2)}
    yield "perturbation_curves", figures.perturbation_curves(curves)
    counted = {name: fits(["85.90", "87.18"], range(100, 200)) for name in ("one", "another", "a third")}
    yield "fits_by_size", figures.fits_by_size(counted, {"one": 156}, "number of test images n")
    allowed = two_classes(
        pd.Series(["85.90", "87.18"], ["a", "b"]), pd.Series(["85.20", "99.00"], ["a", "b"]), (42, 114)
    )
    yield "f1_allowed", figures.f1_allowed(allowed)


def test_every_figure_is_drawn_the_same_twice_and_is_not_blank(network, images, tmp_path):
    for (name, figure), (_, again) in zip(drawn(network, images), drawn(network, images), strict=True):
        data = figures.png(figure)
        assert data == figures.png(again), name
        (tmp_path / "figure.png").write_bytes(data)
        pixels = matplotlib.image.imread(tmp_path / "figure.png")
        assert pixels.std() > 0.03, name
        assert pixels.shape[1] <= 800, f"{name} is wider than a notebook's column"


def test_more_kinds_of_runs_than_there_are_markers_are_refused():
    table = pd.DataFrame({"dataset": "set", "method": "PPCR", "accuracy": 80, "source": list("abcd")})
    with pytest.raises(ValueError, match="4 kinds of runs, a, b, c, d: three at most"):
        figures.beside_the_paper(table)


def test_pixel_walk_says_the_gate_that_the_network_used(network, images):
    recorded = record_images(network, images)["layer1.0.bn2"]
    figure = figures.pixel_walk(recorded.before[0, :, 3, 4], recorded.after[0, :, 3, 4], recorded.weights[:, 3, 4])
    assert f"gate G = {recorded.attention[0, 3, 4]:.2f}" in figure.axes[3].get_xlabel()


def test_pyramid_axes_are_orthonormal_and_hold_all_that_pixel_norm_lets_through():
    axes = PYRAMID_AXES
    assert_close(axes @ axes.T, torch.eye(3, dtype=torch.float64))
    t_hat = PixelNorm(eps=0)(CrossChannelPyramidPooling(8)(torch.randn(4, 8, 3, 3, dtype=torch.float64)))
    points = axes @ t_hat.movedim(1, 0).flatten(1)
    assert_close(axes.T @ points, t_hat.movedim(1, 0).flatten(1))
    assert_close(points.square().sum(0), torch.full((36,), 7.0, dtype=torch.float64))


def test_by_stage_shows_means_that_leave_nan_out():
    figure = figures.by_stage({"hits": torch.tensor([[1.0, 0.0, torch.nan], [1.0, 1.0, 1.0]])}, ["low", "high"], "rate")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50", "1.00"]


def test_by_stage_draws_students_intervals_and_wilsons_of_shares():
    scores, hits = torch.tensor([[0.8, 0.9, 1.0]]), torch.zeros(1, 200)
    for values, low, high in ((scores, 0.9 - 4.303 * 0.1 / 3**0.5, 0.9 + 4.303 * 0.1 / 3**0.5), (hits, 0, 0.0188)):
        (bars,) = figures.by_stage({"one": values}, ["low"], "score").axes[0].collections
        ((_, lower), (_, upper)) = bars.get_segments()[0]
        assert (lower, upper) == pytest.approx((low, high), abs=1e-3)


def test_context_names_follow_the_scales():
    assert figures.context_names((1, 2)) == ["1/1", "1/2", "2/2"]


def test_within_prints_a_fixed_line_or_raises_with_the_value(capsys):
    within("accuracy", 0.83, 0.8, 0.05)
    assert capsys.readouterr().out == "accuracy is within 0.8 ± 0.05\n"
    for value in (0.9, float("nan")):
        with pytest.raises(AssertionError, match=f"accuracy is {value:.4g}, not within"):
            within("accuracy", value, 0.8, 0.05)


def test_show_prints_the_caption_and_needs_no_pyplot(capsys):
    pytest.importorskip("IPython")
    show(figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"]), "Two counts.")
    assert "Two counts." in capsys.readouterr().out
