"""The groups of parameters of a recipe: which weights learn at which rate."""

import pytest
import torch
from short_runs import MAPPED, SHORT, numbers

from medattn.attention import attention_sites, step_groups
from medattn.training import Recipe, fit
from medattn.training.build import build_from, parameter_groups

IMAGES = torch.randint(0, 256, (5, 3, 28, 28), dtype=torch.uint8)


def built(recipe):
    torch.manual_seed(0)
    return build_from(recipe, 3, 3, IMAGES)


def of(groups):
    return [[id(p) for p in group["params"]] for group in groups]


def test_without_a_rate_of_its_own_the_attention_learns_with_the_network():
    network = built(SHORT)
    assert parameter_groups(network, SHORT) == [{"params": list(network.parameters())}]
    network = built(MAPPED)
    parts = [list(network.image_cnn.parameters()), list(network.source.parameters())]
    rest, weight_map = parameter_groups(network, MAPPED)
    assert (rest, weight_map) == ({"params": parts[0]}, {"params": parts[1], "scale": 1.0})


def test_attention_has_its_own_rate_and_decay():
    recipe = SHORT.replace(attention_lr=100.0, attention_decay=0.0)
    network = built(recipe)
    rest, gates = parameter_groups(network, recipe)
    expected = {id(p) for site in attention_sites(network) for p in site.module.parameters()}
    assert {id(p) for p in gates["params"]} == expected
    assert len(rest["params"]) + len(gates["params"]) == len(list(network.parameters()))
    assert (gates["scale"], gates["weight_decay"]) == (100.0, 0.0)
    assert "scale" not in rest and "weight_decay" not in rest


def test_map_learns_by_its_step():
    recipe = MAPPED.replace(map_step=0.05)
    network = built(recipe)
    _, first, last = parameter_groups(network, recipe)
    expected = [group["lr"] for group in step_groups(network.source, 0.05)]
    assert [first["scale"] * recipe.lr, last["scale"] * recipe.lr] == pytest.approx(expected)


def test_scaled_groups_follow_the_schedule_and_are_resumed(tmp_path, monkeypatch):
    recipe = MAPPED.replace(map_step=0.05, map_epochs=None, lr_step=2)
    whole = fit(recipe, device="cpu", progress=False, runs=tmp_path / "whole")
    from medattn.training import fitting

    kept = fitting.keep

    def stop_after_two(run, network, optimizer, state):
        kept(run, network, optimizer, state)
        scales = [group["lr"] for group in optimizer.param_groups]
        rates.append([rate / scales[0] for rate in scales])
        if len(state["history"]) == 2:
            raise KeyboardInterrupt

    rates = []
    monkeypatch.setattr(fitting, "keep", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, device="cpu", progress=False, runs=tmp_path / "parts")
    monkeypatch.setattr(fitting, "keep", kept)
    parts = fit(recipe, device="cpu", progress=False, runs=tmp_path / "parts")
    assert numbers(parts) == numbers(whole)
    assert rates[0] == pytest.approx(rates[1]) and len(set(rates[0])) == 3


def test_gain_of_two_starts_as_the_identity():
    network = built(Recipe(attention="ppcr", attention_options={"gain": 2})).eval()
    images = torch.rand(2, 3, 28, 28)
    gated = network(images)
    for site in attention_sites(network):
        site.module.forward = lambda x: x
    torch.testing.assert_close(gated, network(images))


@pytest.mark.slow
def test_printed_step_loses_the_images_and_the_other_one_does_not(tmp_path):
    """The map's experiment in small: one seed, one network, four epochs of 600 phantoms."""
    recipe = Recipe(
        network="timm:test_resnet", optimizer="adam", lr=5e-4, lr_step=9, epochs=4, seed=1,
        weight_map="global", map_penalty=0.001,
    )  # fmt: skip
    saturated, accuracy = [], []
    for step in (None, 0.05):
        run = fit(recipe.replace(map_step=step), "cpu", progress=False, runs=tmp_path)
        saturated.append(float(((run.maps[-1] < 0.01) | (run.maps[-1] > 0.99)).float().mean()))
        accuracy.append(run.history["train_accuracy"].iloc[-1])
    assert saturated[0] > 0.8 and accuracy[0] < 0.42  # chance is 0.33
    assert saturated[1] == 0 and accuracy[1] > 0.5
