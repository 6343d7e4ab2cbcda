"""A weight map as prior for PPCR's W: what is computed, learned, saved and refused."""

import copy
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from medattn.attention import (
    PPCR,
    GlobalAttention,
    attention_sites,
    insert_attention,
    record,
    resize_attention,
    set_prior,
)
from medattn.networks import build_network
from medattn.paths import results_folder
from medattn.training import Recipe, Run, fit
from medattn.training.build import build_from, prior_map

SMALL = Recipe(
    dataset_options={"n_train": 12, "n_val": 6, "n_test": 9},
    network="timm:test_resnet",
    optimizer="adam",
    lr=0.01,
    epochs=2,
    batch_size=6,
)


def with_ppcr(size=28):
    torch.manual_seed(0)
    network = build_network("timm:test_resnet", 3, 3, size)
    insert_attention(network, "ppcr", size)
    return network


def one_site(**options):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
    insert_attention(network, "ppcr", 12, where="0", **options)
    return network.double()


def some_map(size=28):
    return torch.rand(size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("use", ["multiply", "start"])
def test_prior_equals_plain_tensor_code(use):
    """Eqs. (1)-(7) with W * M, and with W + M * direction; areas of the map are 2 x 3 pixels."""
    network, given = one_site(), some_map(36)[:24].double()
    ppcr, weight = network[0].attention, torch.randn(7, 12, 12, dtype=torch.float64)
    ppcr.integrate.weight.data.copy_(weight)
    torch.manual_seed(3)
    set_prior(network, given, use)
    small = given.float().reshape(12, 2, 12, 3).mean((1, 3)).double()
    torch.manual_seed(3)
    direction = torch.randn(7, dtype=torch.float64)
    direction = (direction - direction.mean()) / (direction - direction.mean()).norm()
    expected = weight * small if use == "multiply" else weight + direction[:, None, None] * small
    assert_close(ppcr.integrate.weight, expected, rtol=1e-6, atol=1e-6)

    x = torch.randn(2, 8, 12, 12, dtype=torch.float64)
    contexts = torch.cat([x.unflatten(1, (k, -1)).mean(2) for k in (1, 2, 4)], dim=1)
    centred = contexts - contexts.mean(1, keepdim=True)
    normal = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    gate = torch.sigmoid((ppcr.integrate.weight * normal).sum(1, keepdim=True))
    assert_close(ppcr(x), gate * x, rtol=1e-12, atol=1e-12)


def test_gate_is_half_where_the_map_is_zero():
    network = one_site()
    network[0].attention.integrate.weight.data.normal_()
    half = torch.ones(12, 12)
    half[:, :6] = 0
    set_prior(network, half, "multiply")
    with record(network) as seen:
        network(torch.randn(4, 3, 12, 12, dtype=torch.float64))
    gate = seen["0"].attention
    assert torch.equal(gate[..., :6], torch.full_like(gate[..., :6], 0.5))
    assert (gate[..., 6:] - 0.5).abs().mean() > 0.1
    assert seen["0"].weights[:, :, :6].abs().max() == 0  # what is recorded as W is the product


def test_equal_weights_for_all_contexts_are_no_start():
    """The reason for a direction: PN's contexts sum to 0 over D."""
    ppcr, x = PPCR(8, 12).double(), torch.randn(2, 8, 12, 12, dtype=torch.float64)
    ppcr.integrate.weight.data.copy_(some_map(12).double().expand(7, -1, -1))
    assert_close(ppcr(x), 0.5 * x, rtol=1e-9, atol=1e-9)
    network = one_site()
    set_prior(network, some_map(12), "start")
    assert (network[0].attention(x) - 0.5 * x).abs().max() > 0.05
    assert network[0].attention.integrate.weight.sum(0).abs().max() < 1e-6


def test_map_stays_and_weights_learn():
    network, given = with_ppcr(), some_map()
    set_prior(network, given, "multiply")
    kept = {
        name: value.clone()
        for name, value in network.named_buffers()
        if name.endswith("weight.0.map")
    }
    assert [tuple(value.shape) for value in kept.values()] == [
        site.size for site in attention_sites(network)
    ]
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(
        2
    ):  # timm starts the last norm of a block at 0, so that the first step has no features to weigh
        optimizer.zero_grad()
        F.cross_entropy(network(torch.randn(4, 3, 28, 28)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    buffers = dict(network.named_buffers())
    for name, value in kept.items():
        assert torch.equal(buffers[name], value) and not value.requires_grad
    for site in attention_sites(network):
        slope = site.module.integrate.parametrizations.weight.original.grad
        assert slope.isfinite().all() and slope[1:].abs().max() > 0
        assert site.module.integrate.weight.detach().abs().max() > 0


def test_prior_survives_state_dict_and_copy():
    network, other = with_ppcr(), with_ppcr()
    set_prior(network, some_map())
    set_prior(other, torch.ones(28, 28))
    for site in attention_sites(network):
        site.module.integrate.parametrizations.weight.original.data.normal_()
    x = torch.randn(2, 3, 28, 28)
    expected = network.eval()(x)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(x), expected)
    assert torch.equal(copy.deepcopy(network)(x), expected)
    behind = GlobalAttention(with_ppcr(), torch.zeros(2, 3, 28, 28, dtype=torch.uint8), 4)
    assert len(set_prior(behind, some_map())) == 4


def test_prior_compiles_and_exports():
    network, x = one_site(), torch.randn(2, 3, 12, 12, dtype=torch.float64)
    network[0].attention.integrate.weight.data.normal_()
    set_prior(network, some_map(12))
    assert_close(torch.compile(network, backend="aot_eager")(x), network(x))
    assert_close(torch.export.export(network, (x,)).module()(x), network(x))


def test_resize_with_a_prior_is_refused():
    network = with_ppcr()
    set_prior(network, some_map())
    before = [site.size for site in attention_sites(network)]
    with pytest.raises(
        ValueError, match=r"W has a prior map of \(28, 28\): build the network for \(56, 56\)"
    ):
        resize_attention(network, 56)
    assert [site.size for site in attention_sites(network)] == before
    network(torch.randn(2, 3, 28, 28))
    started = with_ppcr()
    set_prior(started, some_map(), "start")  # an ordinary W: it is resampled
    resize_attention(started, 56)
    started(torch.randn(2, 3, 56, 56))


def test_bad_arguments_of_set_prior_are_named():
    network, given = with_ppcr(), some_map()
    with pytest.raises(ValueError, match="use='add' is unknown; there are multiply, start"):
        set_prior(network, given, "add")
    with pytest.raises(ValueError, match="has no PPCR: call insert_attention first"):
        set_prior(build_network("timm:test_resnet", 3, 3, 28), given)
    with pytest.raises(ValueError, match=r"weight_map \(1, 1, 28, 28\) must be \(H, W\)"):
        set_prior(network, given[None, None])
    with pytest.raises(
        ValueError,
        match=r"weight_map \(14, 14\) is smaller than \(28, 28\) of layer1\.0\.bn2",
    ):
        set_prior(network, some_map(14))
    assert not any("parametrizations" in name for name in network.state_dict())
    set_prior(network, given)
    with pytest.raises(
        ValueError, match=r"layer1\.0\.bn2 has a prior map already: build a fresh network"
    ):
        set_prior(network, given)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    recipe = SMALL.replace(weight_map="global", map_hidden=4)
    return fit(recipe, "cpu", progress=False, runs=runs), runs


@pytest.mark.parametrize("use", ["multiply", "start"])
@pytest.mark.parametrize("weight_map", ["none", "global"])
def test_recipe_takes_the_map_of_a_run(mapped, use, weight_map):
    run, runs = mapped
    recipe = SMALL.replace(
        attention="ppcr", prior=run.recipe.run_id, prior_use=use, weight_map=weight_map
    )
    trained = fit(recipe, "cpu", progress=False, runs=runs)
    saved = load_file(trained.folder / "best.safetensors")
    maps = [value for name, value in saved.items() if name.endswith("weight.0.map")]
    expected = run.weight_map.half().float()
    assert len(maps) == (4 if use == "multiply" else 0)
    if maps:
        assert_close(maps[0], expected)
        assert_close(maps[1], F.adaptive_avg_pool2d(expected[None], 14)[0])
    network, test = trained.network(), trained.dataset().test
    with torch.no_grad():
        found = network(test.images.float() / 127.5 - 1).softmax(1)
    told = torch.tensor(trained.predictions.filter(regex="^p").to_numpy(), dtype=torch.float32)
    assert_close(found, told, atol=1e-5, rtol=0)


def test_interrupted_run_with_prior_keeps_its_bits(mapped, tmp_path, monkeypatch):
    run, runs = mapped
    recipe = SMALL.replace(attention="ppcr", prior=run.recipe.run_id, epochs=3, seed=5)
    (tmp_path / run.recipe.run_id).symlink_to(run.folder)
    whole = fit(recipe, "cpu", progress=False, runs=runs)
    module = sys.modules[fit.__module__]
    real = module.train_epoch

    def stops(network, optimizer, train, recipe, epoch, bar):
        if epoch == 3:
            raise KeyboardInterrupt
        return real(network, optimizer, train, recipe, epoch, bar)

    monkeypatch.setattr(module, "train_epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, "cpu", progress=False, runs=tmp_path)
    monkeypatch.setattr(module, "train_epoch", real)
    again = fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert again.predictions.equals(whole.predictions)


def test_prior_map_comes_from_runs_or_results(mapped, tmp_path):
    run, runs = mapped
    assert torch.equal(prior_map(run.recipe.run_id, runs), run.weight_map.half().float())
    kept = next(
        path.parent.name for path in sorted((results_folder() / "runs").glob("*/map.safetensors"))
    )
    recorded = load_file(results_folder() / "runs" / kept / "map.safetensors")["after"]
    assert torch.equal(prior_map(kept, tmp_path), recorded.float())
    with pytest.raises(
        ValueError,
        match=r"prior='no-run': there is no finished run in .*no-run, and no committed map",
    ):
        prior_map("no-run", tmp_path)
    plain = fit(SMALL, "cpu", progress=False, runs=runs)
    with pytest.raises(ValueError, match="is a run without a weight map"):
        prior_map(plain.recipe.run_id, runs)
    recipe = SMALL.replace(attention="ppcr", prior="no-run")
    with pytest.raises(ValueError, match="no finished run"):
        fit(recipe, "cpu", progress=False, runs=tmp_path)
    assert "no finished run" in Run.of(recipe, tmp_path).failure
    build_from(recipe, 3, 3)  # to load weights into: the map is among them
