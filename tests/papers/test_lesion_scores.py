"""Scores of maps against lesions: computed, added to the results, compared."""

import pandas as pd
import pytest
import torch

from medattn.attention import insert_attention
from medattn.datasets import images_with_lesions, load_dataset, shuffle_labels
from medattn.networks import build_network
from medattn.papers.lesion_scores import (
    add_scores,
    all_maps,
    beside_baselines,
    result_scores,
    score_run,
    verdicts,
)
from medattn.papers.results import add_result, result_table
from medattn.training import Recipe, fit
from medattn.training.build import build_from

SMALL = Recipe(
    dataset_options={"n_train": 12, "n_val": 6, "n_test": 9},
    network="timm:test_resnet",
    epochs=1,
    batch_size=6,
)
STAGES = ["layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def images_and_masks():
    return images_with_lesions("phantoms", 28, **SMALL.dataset_options)


def test_images_without_lesions_are_left_out(images_and_masks):
    images, masks = images_and_masks
    assert len(images) == 6 and masks.any((1, 2)).all()  # a third of 9 has none
    with pytest.raises(ValueError, match="digits has no lesion masks"):
        images_with_lesions("digits", 28)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, [f"grad-cam {stage}" for stage in STAGES]),
        ({"attention": "se"}, [f"grad-cam {stage}" for stage in STAGES]),
        ({"attention": "gc"}, [*STAGES, *(f"grad-cam {stage}" for stage in STAGES)]),
        (
            {"attention": "ppcr", "weight_map": "global"},
            [*STAGES, "global", *(f"grad-cam {stage}" for stage in STAGES)],
        ),
    ],
)
def test_maps_have_names(changes, names, images_and_masks):
    images, _ = images_and_masks
    network = build_from(SMALL.replace(**changes), 3, 3)
    maps = all_maps(network, images)
    assert list(maps) == names
    assert all(values.shape == (6, 28, 28) and values.isfinite().all() for values in maps.values())


def test_maps_have_the_shape_of_their_images(images_and_masks):
    images = images_and_masks[0][:2, :, :20]
    network = build_network("timm:test_resnet", 3, size=28)
    insert_attention(network, "ppcr", (20, 28))
    assert {tuple(values.shape) for values in all_maps(network, images).values()} == {(2, 20, 28)}


def test_scores_are_added_and_read(tmp_path, images_and_masks):
    recipe = SMALL.replace(attention="ppcr", shuffle_labels=True)
    run = fit(recipe, "cpu", progress=False, runs=tmp_path / "runs")
    run.result["commit"] = (
        "0123456789ab"  # as if the code was in a commit, whatever the state of this checkout
    )
    scores = score_run(run, *images_and_masks, n_perturbed=2)
    assert (
        scores["untrained layer1/auc"].tolist() == [0.5] * 6
    )  # PPCR's gates are 0.5 before training
    assert int(scores["layer1/deletion"].isfinite().sum()) == 2
    results = tmp_path / "results"
    with pytest.raises(ValueError, match=r"is not in the results; call add_result\(run\)"):
        add_scores(run, scores, results)
    add_result(run, results)
    add_scores(run, scores, results)
    again = result_scores(recipe.run_id, results)
    assert set(again) == set(scores)
    torch.testing.assert_close(
        again["layer4/auc"], scores["layer4/auc"].double(), rtol=1e-3, atol=1e-3
    )
    table = result_table("lesion_scores", results).set_index("map")
    assert table.loc["layer4", "auc"] == pytest.approx(scores["layer4/auc"].mean().item(), rel=1e-4)
    with pytest.raises(ValueError, match=r"no lesions\.safetensors in the results"):
        result_scores("another", results)


def test_shuffled_labels_keep_counts_and_test_labels():
    data = load_dataset("phantoms", 28, n_train=60, n_val=30, n_test=9)
    mixed = shuffle_labels(data, seed=1)
    for name in ("train", "val"):
        before, after = getattr(data, name), getattr(mixed, name)
        assert torch.equal(before.labels.bincount(), after.labels.bincount())
        assert not torch.equal(before.labels, after.labels) and torch.equal(
            before.images, after.images
        )
    assert mixed.test is data.test
    assert torch.equal(mixed.train.labels, shuffle_labels(data, seed=1).train.labels)
    assert not torch.equal(mixed.train.labels, shuffle_labels(data, seed=2).train.labels)
    assert SMALL.replace(shuffle_labels=True).run_id != SMALL.run_id


def test_shuffled_labels_are_compared_by_seed(monkeypatch):
    def scores(run, results):
        value = {"r0": 0.5, "r1": 0.6, "r2": 0.7, "s1": 0.1, "s2": 0.4, "s3": 0.9}[run]
        noise = (
            0.01 * torch.rand(40, generator=torch.Generator().manual_seed(int(value * 10))).double()
        )
        return {"layer1/auc": value + noise, "centre/auc": noise}

    monkeypatch.setattr("medattn.papers.lesion_scores.result_scores", scores)
    rows = [{"seed": seed, "run": f"r{seed}", "shuffle_labels": False} for seed in (0, 1, 2)]
    rows += [{"seed": seed, "run": f"s{seed}", "shuffle_labels": True} for seed in (3, 1, 2)]
    runs = pd.DataFrame(rows).assign(attention="ppcr", weight_map="none")
    [row] = beside_baselines(runs).to_dict("records")
    assert row["seeds"] == 3 and row["shuffled"] == pytest.approx(
        (0.5 + 0.3) / 2, abs=0.01
    )  # of seeds 1 and 2
    assert pd.isna(
        beside_baselines(runs[~runs["shuffle_labels"] | runs["seed"].eq(3)])["shuffled"]
    ).all()
    with pytest.raises(ValueError, match="run r0 repeats a seed of its method"):
        beside_baselines(pd.concat([runs, runs]))


def test_maps_are_compared_with_baselines(monkeypatch):
    generator = torch.Generator().manual_seed(0)

    def scores(run, results):
        noise = {name: 0.01 * torch.rand(40, generator=generator).double() for name in "abcd"}
        good = {
            "layer1/auc": 0.9 + noise["a"],
            "layer2/auc": 0.5 + noise["b"],
            "untrained layer1/auc": 0.5 + noise["c"],
        }
        good |= {"centre/auc": 0.95 + noise["d"], "chance/auc": torch.full((40,), 0.5).double()}
        return good | {"grad-cam layer1/auc": 0.7 + noise["b"]}

    monkeypatch.setattr("medattn.papers.lesion_scores.result_scores", scores)
    same = {"attention": "ppcr", "weight_map": "none", "shuffle_labels": False}
    table = beside_baselines(
        pd.DataFrame([{**same, "seed": seed, "run": f"r{seed}"} for seed in range(3)])
    )
    row = table.set_index("map").loc["layer1"]
    assert (row["method"], row["seeds"], row["n_images"]) == ("ppcr", 3, 40)
    assert (
        row["value"] == pytest.approx(0.905, abs=0.005)
        and row["low"] < row["value"] < row["high"] <= 1
    )
    assert row["chance"] == pytest.approx(0.405, abs=0.005) and row["grad-cam"] == pytest.approx(
        0.2, abs=0.01
    )
    assert table["shuffled"].isna().all()  # no such run is here
    assert (
        verdicts(table, "chance").loc["ppcr", "layer1"]
        == verdicts(table, "untrained").loc["ppcr", "layer1"]
        == "++"
    )
    assert verdicts(table, "centre").loc["ppcr", "layer1"] == "--"
    assert verdicts(table, "grad-cam").loc["ppcr", "layer2"] == ""  # nothing to compare with
