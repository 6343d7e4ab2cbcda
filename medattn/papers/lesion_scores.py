"""Scores of a network's maps against outlined lesions: notebook 14.

Maps have names: "layer1" is the attention of a stage's last block, "grad-cam layer1" is Grad-CAM at
the end of that stage, and "global" is a global map. They are compared with the attention before
training ("untrained layer1"), a Gaussian in the middle ("centre") and noise ("chance").
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medattn.attention import WeightMapped, attention_sites, last_of_each_stage, record_images
from medattn.attention.methods import ATTENTION_MAPS
from medattn.attention.places import residual_norms, stages
from medattn.evaluation import deletion_insertion, grad_cam
from medattn.evaluation.map_scores import centred_gaussian, chance, localisation
from medattn.evaluation.statistics import contrast, holm
from medattn.papers.results import add_rows, result_file
from medattn.paths import results_folder
from medattn.training.build import build_from
from medattn.training.epoch import seeded
from medattn.training.recipe import method_name
from medattn.training.run import Run, save_weights

Tensors = dict[str, Tensor]  # maps or scores by name
Scores = dict[str, np.ndarray]  # by map, (N,) each

BASELINES = ("chance", "centre", "grad-cam", "untrained", "shuffled")
SCORES_FILE = "lesions.safetensors"  # in a run's folder: "map/score" -> (N,), half precision


def attention_maps(network: nn.Module, images: Tensor, normalise: str = "half") -> Tensors:
    """Return the attention map of each stage's last block, (N, H, W); empty without attention."""
    if not any(site.attention in ATTENTION_MAPS for site in attention_sites(network)):
        return {}
    seen = last_of_each_stage(record_images(network, images, normalise, contexts=False))
    size = images.shape[2], images.shape[3]
    return {stage: recorded.map(size) for stage, recorded in seen.items()}


def all_maps(network: nn.Module, images: Tensor, normalise: str = "half") -> Tensors:
    """Return every map of a trained network by name, (N, H, W) each."""
    maps = attention_maps(network, images, normalise)
    prefix = ""
    if isinstance(network, WeightMapped):
        maps["global"] = network.weight_map().detach()[0].expand(len(images), -1, -1).float().cpu()
        prefix = "image_cnn."
    for stage in dict.fromkeys(stages(network, residual_norms(network)).values()):
        maps[f"grad-cam {stage}"] = grad_cam(network, images, prefix + stage, normalise)
    return maps


def score_run(run: Run, images: Tensor, masks: Tensor, n_perturbed: int = 24) -> Tensors:
    """Score every map of a finished run: "map/score" -> (N,).

    Shape: images (N, C, H, W), masks of their lesions (N, H, W). The scores are those of
    `localisation`, and the areas under the curves of deletion and insertion. The areas are of the
    first `n_perturbed` images, and nan for the others. In the untrained network, a weight map or a
    prior is replaced by ones.
    """
    recipe, result, n = run.recipe, run.result, len(images)
    with seeded(recipe.seed, 0, torch.device("cpu")):
        start = build_from(recipe, result["n_classes"], result["channels"])
    untrained = attention_maps(start, images, recipe.normalise)
    network = run.network()
    maps = all_maps(network, images, recipe.normalise)
    maps |= {f"untrained {stage}": values for stage, values in untrained.items()}
    maps["centre"] = centred_gaussian((images.shape[2], images.shape[3])).expand(n, -1, -1)
    scores = {f"chance/{name}": values for name, values in chance(masks).items()}
    for which, values in maps.items():
        scores |= {f"{which}/{name}": score for name, score in localisation(values, masks).items()}
        if n_perturbed and not which.startswith("untrained"):
            few = images[:n_perturbed], values[:n_perturbed]
            curves = deletion_insertion(network, *few, normalise=recipe.normalise)
            for name, curve in zip(("deletion", "insertion"), curves, strict=True):
                areas = scores[f"{which}/{name}"] = torch.full((n,), torch.nan)
                areas[:n_perturbed] = curve.mean(1)
    return scores


def add_scores(run: Run, scores: Tensors, results: Path | None = None) -> None:
    """Add the scores of a run to the results: each image's, and a table of their means.

    Raises ValueError if the run itself is not in the results.
    """
    folder = (results or results_folder()) / "runs" / run.recipe.run_id
    if not (folder / "recipe.yaml").exists():
        raise ValueError(f"run {run.recipe.run_id} is not in the results; call add_result(run)")
    save_weights(folder / SCORES_FILE, {name: values.half() for name, values in scores.items()})
    rows: dict[str, dict[str, object]] = {}
    for name, values in scores.items():
        which, _, score = name.rpartition("/")
        row = rows.setdefault(which, {"map": which, "n_images": len(values)})
        row[score] = float(values.nanmean())
    add_rows("lesion_scores", run, pd.DataFrame([*rows.values()]), results)


def result_scores(run: str, results: Path | None = None) -> Tensors:
    """Return the scores of a run in the results: "map/score" -> (N,)."""
    scores = load_file(result_file(run, SCORES_FILE, results))
    return {name: values.double() for name, values in scores.items()}


def beside_baselines(
    runs: pd.DataFrame, score: str = "auc", results: Path | None = None
) -> pd.DataFrame:
    """Compare every map of one data set's runs with baselines: one row per method and map.

    `runs` are rows of `result_runs` with lesion scores. They may differ in method, seed and
    shuffled labels only. Baselines are compared image by image and seed by seed: noise, the centre,
    Grad-CAM of the same networks and stage, the same networks before training, and networks
    trained on shuffled labels.

    Columns: method, map, stage, seeds, n_images, value with its 95 % interval (low, high). For each
    of `BASELINES`: the difference, its `p_`, and `holm_`: p corrected for the whole table.
    """
    scores = _scores_by_method(runs, score, results)
    rows = []
    for (method, shuffled), by_seed in scores.items():
        if shuffled:
            continue
        control = scores.get((method, True), {})
        first = next(iter(by_seed.values()))
        maps = {which: np.stack([maps[which] for maps in by_seed.values()]) for which in first}
        for which, values in maps.items():  # (seeds, images)
            if which in ("chance", "centre") or which.startswith("untrained"):
                continue
            others = {"chance": "chance", "centre": "centre", "grad-cam": f"grad-cam {which}"}
            others["untrained"] = f"untrained {which}"
            against = {name: values - maps[key] for name, key in others.items() if key in maps}
            if shared := [seed for seed in by_seed if seed in control]:
                pairs = [by_seed[seed][which] - control[seed][which] for seed in shared]
                against["shuffled"] = np.stack(pairs)
            mean, n_images = contrast(values), int(np.isfinite(values).all(0).sum())
            row: dict[str, object] = {"method": method, "map": which}
            row |= {"stage": which.removeprefix("grad-cam "), "seeds": mean.n, "n_images": n_images}
            low, high = max(mean.low, 0.0), min(mean.high, 1.0)
            row |= {"value": mean.difference, "low": low, "high": high}
            for name, difference in against.items():
                pair = contrast(difference)
                row |= {name: pair.difference, f"p_{name}": pair.p}
            rows.append(row)
    if not rows:
        raise ValueError("all runs are on shuffled labels: there is nothing to compare them with")
    p_names = [f"p_{name}" for name in BASELINES]
    table = pd.DataFrame(rows)
    table = table.reindex(columns=list(dict.fromkeys([*table, *BASELINES, *p_names])))
    p = table[p_names].to_numpy(float, copy=True)
    p[np.isfinite(p)] = holm(p[np.isfinite(p)])
    table[[f"holm_{name}" for name in BASELINES]] = p
    return table


def _scores_by_method(
    runs: pd.DataFrame, score: str, results: Path | None
) -> dict[tuple[str, bool], dict[int, Scores]]:
    """Return one score: (method, shuffled labels) -> seed -> map -> (N,)."""
    scores: dict[tuple[str, bool], dict[int, Scores]] = {}
    for run in runs.sort_values("seed").itertuples():
        method = method_name(run.weight_map, run.attention), run.shuffle_labels
        by_seed = scores.setdefault(method, {})
        if run.seed in by_seed:
            raise ValueError(f"run {run.run} repeats a seed of its method: pass one run per seed")
        found, end = result_scores(run.run, results), f"/{score}"
        ours = {name: values.numpy() for name, values in found.items() if name.endswith(end)}
        by_seed[run.seed] = {name.removesuffix(end): values for name, values in ours.items()}
    return scores


def verdicts(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Mark by method and stage where maps score more (+) or less (-) than a baseline.

    `table` is from `beside_baselines`. One sign: the 95 % interval of the difference excludes 0.
    Two signs: it does after Holm's correction, too. A dot: neither. "" means not compared.
    """
    sign = np.where(table[baseline] > 0, "+", "-")
    twice = np.where(table[f"holm_{baseline}"] < 0.05, np.char.multiply(sign, 2), sign)
    marks = np.where(table[f"p_{baseline}"] < 0.05, twice, ".")
    is_grad_cam = table["map"] != table["stage"]
    marked = table.assign(
        mark=np.where(table[baseline].isna(), "", marks),
        method=table["method"].mask(is_grad_cam, "Grad-CAM of " + table["method"]),
    )
    wide = marked.pivot(index="method", columns="stage", values="mark").fillna("")
    return wide.rename_axis(index=None, columns=None)
