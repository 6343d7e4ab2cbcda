"""Every map of a trained network against the outlined lesions: what notebook 14 measures, and what is kept of it.

The maps are those of the attention at the last block of each stage ("layer1", ...), Grad-CAM at the end of the same
stages ("grad-cam layer1", ...), a global map ("global"), and what they are compared with: the attention of the network
before its training, from the same random start ("untrained layer1", ...), a bet on the middle of the image ("centre")
and noise ("chance").
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medattn.attention import WeightMapped, attention_sites
from medattn.attention.insert import residual_norms
from medattn.attention.methods import ATTENTION_MAPS
from medattn.evaluation import centred_gaussian, chance, contrast, deletion_insertion, grad_cam, holm, localisation
from medattn.paths import results_folder
from medattn.recording import last_of_each_stage, record_images, stages
from medattn.training.fit import seeded
from medattn.training.recipe import weighing
from medattn.training.recorded import record_rows
from medattn.training.runs import Run, build_from, save_weights

BASELINES = ("chance", "centre", "grad-cam", "untrained", "shuffled")
FILE = "lesions.safetensors"  # of a recorded run: "map/score" -> (N,), half precision


def attention_maps(network: nn.Module, images: Tensor, normalise: str = "half") -> dict[str, Tensor]:
    """Give the attention map of each stage's last block, by stage, (N, H, W); none for a network without them."""
    if not any(site.attention in ATTENTION_MAPS for site in attention_sites(network)):
        return {}
    seen = last_of_each_stage(record_images(network, images, normalise, contexts=False))
    return {stage: site.map(tuple(images.shape[2:])) for stage, site in seen.items()}


def all_maps(network: nn.Module, images: Tensor, normalise: str = "half") -> dict[str, Tensor]:
    """Give every map of a network by name: attention and Grad-CAM of each stage, and the global map; (N, H, W) each."""
    maps = attention_maps(network, images, normalise)
    prefix = ""
    if isinstance(network, WeightMapped):
        maps["global"] = network.weight_map().detach()[0].expand(len(images), -1, -1).float().cpu()
        prefix = "image_cnn."
    for stage in dict.fromkeys(stages(network, residual_norms(network)).values()):
        maps[f"grad-cam {stage}"] = grad_cam(network, images, prefix + stage, normalise)
    return maps


def untrained_maps(run: Run, images: Tensor) -> dict[str, Tensor]:
    """Give the attention maps of a run's network as `fit` began to train it, by stage, (N, H, W).

    But for a map in front of it, or as its prior: that is 1 everywhere here.
    """
    with seeded(run.recipe.seed, 0, torch.device("cpu")):
        network = build_from(run.recipe, run.result["n_classes"], run.result["channels"])
    return attention_maps(network, images, run.recipe.normalise)


def score_run(run: Run, images: Tensor, masks: Tensor, n_perturbed: int = 24) -> dict[str, Tensor]:
    """Score every map of a finished run on images (N, C, H, W) with outlined lesions (N, H, W): "map/score" -> (N,).

    The scores are those of `localisation`, and the areas of deletion and insertion, for the first `n_perturbed` images
    only (the others are nan).
    """
    network, recipe, n = run.network(), run.recipe, len(images)
    maps = all_maps(network, images, recipe.normalise)
    untrained = {f"untrained {stage}": values for stage, values in untrained_maps(run, images).items()}
    centre = centred_gaussian(tuple(images.shape[2:])).expand(n, -1, -1)
    scores = {f"chance/{name}": values for name, values in chance(masks).items()}
    for name, values in {**maps, **untrained, "centre": centre}.items():
        scores |= {f"{name}/{score}": each for score, each in localisation(values, masks).items()}
        if name not in untrained and n_perturbed:
            curves = deletion_insertion(network, images[:n_perturbed], values[:n_perturbed], normalise=recipe.normalise)
            for score, curve in zip(("deletion", "insertion"), curves, strict=True):
                scores[f"{name}/{score}"] = torch.full((n,), torch.nan)
                scores[f"{name}/{score}"][:n_perturbed] = curve.mean(1)
    return scores


def record_scores(run: Run, scores: dict[str, Tensor], results: Path | None = None) -> None:
    """Keep what `score_run` gave of a recorded run: each image's scores, and a table of their means."""
    folder = (results or results_folder()) / "runs" / run.recipe.run_id
    if not (folder / "recipe.yaml").exists():
        raise ValueError(f"run {run.recipe.run_id} is not recorded; record_run(run) comes first")
    save_weights(folder / FILE, {name: values.half() for name, values in scores.items()})
    rows: dict[str, dict[str, float]] = {}
    for name, values in scores.items():
        which, _, score = name.rpartition("/")
        rows.setdefault(which, {})[score] = float(values.nanmean())
    table = pd.DataFrame([{"map": which, "n_images": len(values), **means} for which, means in rows.items()])
    record_rows("lesion_scores", run, table, results)


def recorded_scores(run: str, results: Path | None = None) -> dict[str, Tensor]:
    """Give the scores of a recorded run, "map/score" -> (N,)."""
    path = (results or results_folder()) / "runs" / run / FILE
    if not path.exists():
        raise ValueError(f"run {run!r} has no recorded lesion scores; recorded_rows('lesion_scores') names those")
    return {name: values.double() for name, values in load_file(path).items()}


def beside_baselines(runs: pd.DataFrame, score: str = "auc", results: Path | None = None) -> pd.DataFrame:
    """Compare every map of one data set's recorded runs with what says nothing of it; a row a method and map.

    `runs` are rows of `recorded_runs` with recorded lesion scores, alike but for method, seed and shuffled labels.
    A map of a stage is compared, image by image and seed by seed, with noise ("chance"), a bet on the middle
    ("centre"), Grad-CAM of the same networks and stage, the networks before training ("untrained"), and the same map
    of networks trained on shuffled labels ("shuffled"), of the seeds that both have. Columns: method, map, stage,
    seeds, n_images, value with its 95 % interval (low, high); by baseline the difference, its `p_`, and its `holm_`: p
    corrected for all comparisons of the table.
    """
    scores: dict[tuple[str, bool], dict[int, dict[str, Tensor]]] = {}
    for row in runs.sort_values("seed").itertuples():
        by_seed = scores.setdefault((weighing(row.weight_map, row.attention), row.shuffle_labels), {})
        if row.seed in by_seed:
            raise ValueError(f"run {row.run} has the seed of another run of its method: choose one of each seed")
        by_seed[row.seed] = recorded_scores(row.run, results)
    rows = []
    for (method, shuffled), by_seed in scores.items():
        if shuffled:
            continue
        names = [name for name in next(iter(by_seed.values())) if name.endswith(f"/{score}")]
        stack = {name: np.stack([one[name].numpy() for one in by_seed.values()]) for name in names}
        control = scores.get((method, True), {})
        shared = [seed for seed in by_seed if seed in control]
        for name, values in stack.items():
            which = name.removesuffix(f"/{score}")
            if which.startswith("untrained") or which in ("chance", "centre"):
                continue
            stage = which.removeprefix("grad-cam ")
            against = {
                "chance": stack.get(f"chance/{score}"),
                "centre": stack[f"centre/{score}"],
                "grad-cam": stack.get(f"grad-cam {which}/{score}"),  # of an attention map: at its stage
                "untrained": stack.get(f"untrained {which}/{score}"),
            }
            mean = contrast(values)
            n_images = int(np.isfinite(values).all(0).sum())
            row = {"method": method, "map": which, "stage": stage, "seeds": mean.n, "n_images": n_images}
            row |= {"value": mean.difference, "low": max(mean.low, 0.0), "high": min(mean.high, 1.0)}
            more = {baseline: values - other for baseline, other in against.items() if other is not None}
            if shared:
                more["shuffled"] = np.stack([(by_seed[seed][name] - control[seed][name]).numpy() for seed in shared])
            for baseline, difference in more.items():
                pair = contrast(difference)
                row |= {baseline: pair.difference, f"p_{baseline}": pair.p}
            rows.append(row)
    if not rows:
        raise ValueError("these runs are all on shuffled labels: there is nothing to compare with them")
    table = pd.DataFrame(rows)
    for baseline in BASELINES:
        for column in (baseline, f"p_{baseline}"):
            if column not in table:
                table[column] = np.nan
    places = [f"p_{baseline}" for baseline in BASELINES]
    flat = table[places].to_numpy().ravel()
    flat[np.isfinite(flat)] = holm(flat[np.isfinite(flat)])
    table[[f"holm_{baseline}" for baseline in BASELINES]] = flat.reshape(-1, len(BASELINES))
    return table


def verdicts(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Say of `beside_baselines` where a map scores more (+), less (-) or no other (.) than a baseline, by stage.

    More is better of every score but "deletion". One sign: the 95 % interval of this difference leaves 0 out; two: it
    does after Holm's correction, too.
    """
    sign = np.where(table[baseline] > 0, "+", "-")
    sure = np.where(table[f"holm_{baseline}"] < 0.05, np.char.multiply(sign, 2), sign)
    said = np.where(table[f"p_{baseline}"] < 0.05, sure, ".")
    said = np.where(table[baseline].isna(), "", said)
    named = table.assign(
        said=said, method=table["method"].where(table["map"] == table["stage"], "Grad-CAM of " + table["method"])
    )
    return named.pivot(index="method", columns="stage", values="said").fillna("").rename_axis(index=None, columns=None)
