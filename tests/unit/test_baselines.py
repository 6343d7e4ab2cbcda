"""The baselines of the global attention paper: VGG-att3, ResAttNet-92, and the two classical models."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.datasets import Dataset, Split
from medattn.networks import build_network
from medattn.paths import ROOT
from medattn.training.classical import CLASSICAL, fit_classical, pixel_coordinates
from medattn.vgg_att3 import AttentionEstimator, VGGAtt3

VGG_16 = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), *[(512, 512)] * 5]
TWO_MORE = [(512, 512)] * 2


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def attention_maps(network, images):
    maps = []
    hooks = [module.register_forward_hook(lambda _m, _i, out: maps.append(out)) for module in network.attention]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits, maps


# --- VGG-att3 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sides"), [(28, [28, 14, 7]), (32, [32, 16, 8]), (64, [64, 32, 16]), (65, [17, 9, 5]), (224, [56, 28, 14])]
)
def test_vgg_att3_attends_at_three_levels(size, sides):
    network = build_network("vgg_att3", 5, in_channels=1, size=size).to("meta").eval()
    logits, maps = attention_maps(network, torch.empty(2, 1, size, size, device="meta"))
    assert logits.shape == (2, 5)
    assert [tuple(m.shape) for m in maps] == [(2, 1, side, side) for side in sides]


def test_at_the_papers_32_px_one_position_is_left_at_the_end():
    network = VGGAtt3(10, size=32).to("meta").eval()
    before = []
    network.end[5].register_forward_hook(lambda _m, inputs, _out: before.append(inputs[0].shape))
    network(torch.empty(1, 3, 32, 32, device="meta"))
    assert isinstance(network.end[5], nn.AdaptiveAvgPool2d)
    assert before == [(1, 512, 1, 1)]


@pytest.mark.parametrize(("n_classes", "in_channels", "size"), [(10, 3, 32), (5, 3, 224), (2, 1, 28)])
def test_vgg_att3_parameters_are_an_independent_sum(n_classes, in_channels, size):
    convolutions = [(in_channels, 64), *VGG_16, *TWO_MORE]
    network = VGGAtt3(n_classes, in_channels, size)
    of_convs = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3))
    assert of_convs == sum(9 * a * b for a, b in convolutions)
    norms = sum(2 * b for _, b in convolutions)
    attention = (256 + 512 + 512) + 512 * 256  # u of each level, and the one map of g
    dense = 512 * 512 + 512 + (1280 + 1) * n_classes
    assert n_parameters(network) == of_convs + norms + attention + dense


@pytest.mark.parametrize(("channels", "global_channels"), [(6, 6), (4, 6)])
def test_attention_is_the_formula(channels, global_channels):
    torch.manual_seed(0)
    estimate = AttentionEstimator(channels, global_channels).double()
    local_features = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    g = torch.randn(2, global_channels, dtype=torch.float64)
    got = estimate(local_features, g)
    u = estimate.u.weight.flatten()
    for n in range(2):
        mapped = g[n] if channels == global_channels else estimate.project.weight @ g[n]
        c = torch.stack([u @ (local_features[n, :, i, j] + mapped) for i in range(3) for j in range(5)])
        expected = c.exp() / c.exp().sum()
        assert_close(got[n, 0].flatten(), expected)
    assert_close(got.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_the_logits_see_the_attended_features_and_nothing_else():
    torch.manual_seed(0)
    network = VGGAtt3(3, in_channels=1, size=16).double().eval()
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    features = []
    for level in network.levels:
        level.register_forward_hook(lambda _m, _i, out: features.append(out))
    logits, maps = attention_maps(network, images)
    attended = [(a * x).flatten(2).sum(2) for a, x in zip(maps, features, strict=True)]
    assert_close(logits, F.linear(torch.cat(attended, 1), network.classify.weight, network.classify.bias))
    for attention in maps:
        assert_close(attention.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_gradients_reach_every_parameter_but_those_that_the_softmax_hides():
    """<u, g> is the same number at every position, so softmax over positions has no gradient for what only g sees."""
    torch.manual_seed(0)
    network = VGGAtt3(3, in_channels=1, size=8).double()
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    F.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    for name, parameter in network.named_parameters():
        hidden = name.startswith("end.") or ".project." in name
        largest = parameter.grad.abs().max()
        assert largest < 1e-12 if hidden else largest > 1e-8, (name, largest)


def test_g_moves_no_map():
    torch.manual_seed(0)
    estimate = AttentionEstimator(4, 6).double()
    local_features = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    g = torch.randn(2, 6, dtype=torch.float64)
    assert_close(estimate(local_features, g), estimate(local_features, 10 * g - 3))


def test_vgg_att3_learns_exports_and_is_saved(tmp_path):
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    network = build_network("vgg_att3", 2, in_channels=1, size=8)
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 2
    images[labels == 1, :, 2:4, 2:4] += 4
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

    network.eval()
    expected = network(images)
    assert_close(torch.export.export(network, (images,)).module()(images), expected)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    fresh = build_network("vgg_att3", 2, in_channels=1, size=8).eval()
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh(images), expected)


# --- ResAttNet-92 and other networks of pytorchcv --------------------------------------------------------------------


@pytest.fixture(scope="module")
def resattnet():
    torch.manual_seed(0)
    return build_network("pytorchcv:resattnet92", 5, size=64)


def test_resattnet92_has_attention_1_2_3_times(resattnet):
    blocks = [name for name, module in resattnet.named_modules() if type(module).__name__ == "AttBlock"]
    assert [name.split(".")[1] for name in blocks] == ["stage1", "stage2", "stage2", "stage3", "stage3", "stage3"]
    assert n_parameters(resattnet) == 50_417_344 + 5 * (2048 + 1)


@pytest.mark.parametrize("size", [32, 64, 96, 224, 256])
def test_resattnet92_takes_multiples_of_32_px(resattnet, size):
    weights = {name: value.to("meta") for name, value in resattnet.eval().state_dict().items()}
    logits = torch.func.functional_call(resattnet, weights, torch.empty(2, 3, size, size, device="meta"))
    assert logits.shape == (2, 5)


def test_resattnet92s_last_pool_is_the_papers_7x7_at_224_px(resattnet):
    last = torch.randn(1, 4, 7, 7)
    assert_close(resattnet.features.final_pool(last), F.avg_pool2d(last, 7))


def test_resattnet92_trains_a_step_and_exports(resattnet):
    torch.manual_seed(0)
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    before = resattnet.output.weight.detach().clone()
    resattnet.train()
    optimizer = torch.optim.SGD(resattnet.parameters(), lr=1e-3)
    F.cross_entropy(resattnet(images), labels).backward()
    for name, parameter in resattnet.named_parameters():
        assert 0 < parameter.grad.abs().max() < torch.inf, name
    optimizer.step()
    assert not torch.equal(resattnet.output.weight, before)
    optimizer.zero_grad()
    resattnet.eval()
    assert_close(torch.export.export(resattnet, (images,)).module()(images), resattnet(images))


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("pytorchcv:resattnet93", 224, "unknown to pytorchcv .*did you mean 'resattnet92'"),
        ("pytorchcv:resattnet92", 28, r"does not classify images \(3, 28, 28\): .*multiple of 32 px"),
        ("pytorchcv:efficientnet_b0", 64, "does not classify .* such as 64 or 224"),
        ("pytorchcv:simplepose_resnet18_coco", 224, "does not classify"),
        ("keras:resnet18", 224, "'keras' is no source of networks; there are 'timm:...', 'pytorchcv:...'"),
        ("vgg_att4", 224, "did you mean 'vgg_att3'"),
    ],
)
def test_what_there_is_not_is_said(name, size, said):
    with pytest.raises(ValueError, match=said):
        build_network(name, 5, size=size)


@pytest.mark.parametrize("name", ["vgg_att3", "pytorchcv:resattnet92"])
def test_attention_networks_are_trained_from_scratch(name):
    with pytest.raises(ValueError, match=f"no weights for {name} here; train it from scratch"):
        build_network(name, 5, pretrained=True)


def test_another_network_of_pytorchcv_takes_any_size_and_grey_images():
    network = build_network("pytorchcv:resnet18_wd4", 3, in_channels=1, size=48).eval()
    assert network(torch.randn(2, 1, 48, 48)).shape == (2, 3)


def test_pytorchcv_builds_without_a_connection_and_is_imported_only_where_asked_for():
    code = """
import socket, sys
def refused(*_):
    raise AssertionError("a connection was asked for")
socket.socket.connect = socket.getaddrinfo = refused
from medattn.networks import build_network
assert "pytorchcv" not in sys.modules
build_network("pytorchcv:resnet10", 2, size=32)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- logistic regression and SVM -------------------------------------------------------------------------------------


def toy(n_classes=3, size=12, counts=(30, 9, 24), seed=0, shift=60):
    """Noise, brighter in one column band per class."""
    rng = np.random.default_rng(seed)

    def split(n):
        labels = np.arange(n) % n_classes
        images = rng.integers(0, 180, (n, 3, size, size))
        for image, label in zip(images, labels, strict=True):
            image[:, :, label * 3 : label * 3 + 3] += shift
        return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))

    return Dataset("toy", size, tuple(f"class {k}" for k in range(n_classes)), *(split(n) for n in counts))


def raw_pixels(data):
    images = [split.images.flatten(1).numpy() / 255 for split in (data.train, data.val, data.test)]
    return np.concatenate(images[:2]), torch.cat([data.train.labels, data.val.labels]).numpy(), images[2]


def test_coordinates_have_the_inner_products_of_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20_000), dtype=np.uint8)
    pixels[7] = pixels[3]  # a repeated image: one dimension less
    z = pixel_coordinates(pixels)
    scaled = pixels / 255 / 20_000**0.5
    assert z.shape == (20, 19)
    np.testing.assert_allclose(z @ z.T, scaled @ scaled.T, rtol=1e-12)
    few = pixels[:, :12]
    np.testing.assert_allclose(pixel_coordinates(few), few / 255 / 12**0.5, rtol=1e-15)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression_is_that_on_raw_pixels(n_classes, monkeypatch):
    data = toy(n_classes, shift=15)
    x, y, test = raw_pixels(data)
    exact = LogisticRegression(max_iter=20_000, tol=1e-10)
    monkeypatch.setitem(CLASSICAL, "lr", CLASSICAL["lr"]._replace(estimator=exact))
    found = fit_classical(data, "lr", {"C": [30.0]}, folds=3)
    on_pixels = LogisticRegression(C=30 / x.shape[1], max_iter=20_000, tol=1e-10).fit(x, y)
    np.testing.assert_allclose(found.probabilities, on_pixels.predict_proba(test), atol=1e-6)
    assert found.probabilities.max(1).min() < 0.9  # not all are certain: the comparison has something to see


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_svm_is_that_on_raw_pixels(n_classes, kernel, monkeypatch):
    data = toy(n_classes, shift=15)
    x, y, test = raw_pixels(data)
    exact = CLASSICAL["svm"].estimator.__class__(break_ties=True, tol=1e-9)
    monkeypatch.setitem(CLASSICAL, "svm", CLASSICAL["svm"]._replace(estimator=exact))
    found = fit_classical(data, "svm", {"kernel": [kernel], "C": [30.0], "gamma": [5.0]}, folds=3)
    d = x.shape[1]
    c = 30.0 / d if kernel == "linear" else 30.0  # the RBF kernel has its unit in gamma
    on_pixels = SVC(kernel=kernel, C=c, gamma=5 / d, tol=1e-9, break_ties=True).fit(x, y)
    decision = on_pixels.decision_function(test)
    decision = np.stack([0 * decision, decision], 1) if n_classes == 2 else decision
    np.testing.assert_allclose(found.probabilities, F.softmax(torch.from_numpy(decision), 1).numpy(), atol=1e-6)
    assert np.array_equal(found.probabilities.argmax(1), on_pixels.predict(test))


@pytest.mark.parametrize("model", CLASSICAL)
def test_a_separable_set_is_learned_and_the_choice_is_of_the_grid(model):
    data = toy()
    found = fit_classical(data, model)
    assert found.scores.accuracy == 1 and found.cv_accuracy > 0.95
    assert (found.model, found.n_images, found.probabilities.shape) == (model, 39, (24, 3))
    assert np.array_equal(found.labels, data.test.labels.numpy())
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    grid = CLASSICAL[model].grid
    grids = [grid] if isinstance(grid, dict) else grid
    assert any(all(value in part.get(name, []) for name, value in found.chosen.items()) for part in grids)


def test_the_better_of_two_is_chosen_and_a_seed_deals_the_same_folds():
    data = toy(shift=30)
    grid = {"C": [1e-6, 1e3]}
    first, second = (fit_classical(data, "lr", grid, seed=3) for _ in range(2))
    assert first.chosen == {"C": 1e3}
    assert first.cv_accuracy == second.cv_accuracy
    assert np.array_equal(first.probabilities, second.probabilities)


def test_a_class_without_training_images_is_never_predicted():
    data = toy()
    kept = data.train.labels < 2
    train = data.train.take(kept.nonzero()[:, 0])
    val = data.val.take((data.val.labels < 2).nonzero()[:, 0])
    found = fit_classical(Dataset("toy", 12, data.classes, train, val, data.test), "svm", {"C": [1.0]})
    assert found.probabilities.shape == (24, 3)
    assert (found.probabilities[:, 2] == 0).all()
    assert found.scores.recall[2] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "forest"}, "model='forest' is unknown; there are lr, svm"),
        ({"grid": {"c": [1]}}, "grid has 'c', which lr has not; it has C"),
        ({"folds": 1}, "folds=1 must be a whole number, 2 or more"),
        ({"folds": 14}, "folds=14, but toy has only 13 of 'class 0' in train and val: folds <= 13"),
    ],
)
def test_what_cannot_be_fitted_is_said(options, said):
    with pytest.raises(ValueError, match=said):
        fit_classical(toy(), **({"model": "lr"} | options))


def test_one_class_and_no_test_images_are_refused():
    data = toy()
    one = torch.zeros(5, dtype=torch.int64)
    train, none = Split(data.train.images[:5], one), data.train.take(one[:0])
    with pytest.raises(ValueError, match=r"toy has 1 class\(es\) in train and val"):
        fit_classical(Dataset("toy", 12, data.classes, train, none, data.test), "lr")
    with pytest.raises(ValueError, match="toy has no test images"):
        fit_classical(Dataset("toy", 12, data.classes, data.train, data.val, none), "lr")
