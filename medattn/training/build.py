"""From a recipe to its untrained network, and to the groups of its parameters."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medattn.attention import (
    WEIGHT_MAPS,
    FixedMap,
    WeightMapped,
    attention_sites,
    insert_attention,
    set_prior,
    step_groups,
)
from medattn.attention.global_map import map_options_of
from medattn.paths import results_folder, runs_folder
from medattn.preprocess import NORMALISE
from medattn.training.recipe import Recipe


def build_from(
    recipe: Recipe,
    n_classes: int,
    channels: int,
    images: Tensor | None = None,
    runs: Path | None = None,
    weights_follow: bool = False,
) -> nn.Module:
    """Build the untrained network of a recipe, with its attention and its weight map.

    The map is learned from `images`, all training images, uint8 (N, C, H, W). Without them, the map
    and a prior are constants of 1, for weights to be loaded. A prior comes from a run in `runs`.
    `weights_follow`: all weights will be loaded, so ImageNet's weights are not downloaded.
    """
    from medattn.networks import build_network  # torchvision takes a second to import

    r = recipe
    network = build_network(
        r.network, n_classes, channels, r.size, r.pretrained, r.stem, weights_follow
    )
    if r.attention != "none":
        where = list(r.attention_where) if r.attention_where else None
        options = {"where": where, "in_channels": channels, **r.attention_options}
        insert_attention(network, r.attention, r.size, **options)
    if r.prior:
        ones = torch.ones(r.size, r.size)
        set_prior(network, ones if images is None else prior_map(r.prior, runs), r.prior_use)
    if r.weight_map == "none":
        return network
    if images is None:
        return WeightMapped(network, FixedMap(torch.ones(1, 1, r.size, r.size)))
    mean, std = (v if channels == 3 else (sum(v) / 3,) for v in NORMALISE[r.normalise])
    options = {"hidden": r.map_hidden, "mean": mean, "std": std, **r.map_options}
    try:
        return WEIGHT_MAPS[r.weight_map](network, images, **options)
    except TypeError as error:  # an unknown option
        raise ValueError(
            f"weight_map={r.weight_map!r} does not take map_options {r.map_options}; "
            f"its options are {map_options_of(r.weight_map) or 'none'}"
        ) from error


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return image CNN, attention with a rate or decay of its own, and map; "scale" times lr."""
    image_cnn, r = network.image_cnn if isinstance(network, WeightMapped) else network, recipe
    own = {} if r.attention_decay is None else {"weight_decay": r.attention_decay}
    own |= {"scale": r.attention_lr} if r.attention_lr != 1 else {}
    gates = [p for site in attention_sites(image_cnn) if own for p in site.module.parameters()]
    rest = [p for p in image_cnn.parameters() if all(p is not gate for gate in gates)]
    groups: list[dict[str, Any]] = [{"params": rest}, *([{"params": gates, **own}] if own else [])]
    if isinstance(network, WeightMapped):
        steps: list[dict[str, Any]] = [{"params": list(network.source.parameters()), "lr": r.lr}]
        steps = step_groups(network.source, r.map_step, r.optimizer) if r.map_step else steps
        groups += [{"params": s["params"], "scale": s["lr"] / r.lr} for s in steps]
    return groups


def prior_map(run: str, runs: Path | None = None) -> Tensor:
    """Return the weight map (H, W) of a finished run, or else of a committed result, by run id.

    It is rounded to half precision, as committed maps are, so that both give the same bits.
    Raises ValueError if neither exists.
    """
    folder = (runs or runs_folder()) / run
    committed = results_folder() / "runs" / run / "map.safetensors"
    if (folder / "result.json").exists():
        weights = load_file(folder / "best.safetensors")
        if "source.map" not in weights:
            raise ValueError(f"prior={run!r} is a run without a weight map: use one that learns it")
        return weights["source.map"][0, 0].half().float()
    if committed.exists():
        return load_file(committed)["after"].float()
    missing = f"there is no finished run in {folder}, and no committed map {committed}"
    raise ValueError(f"prior={run!r}: {missing}; train that run first")
