"""A run's folder: recipe, history, per-image test predictions, best weights, and the state to go on from.

recipe.yaml         what was asked for
history.csv         one row an epoch
resume.pt           while unfinished: everything the next epoch needs
best.safetensors    the weights of the best validation epoch
predictions.csv     the test split: index, label, one probability a class
maps/000.safetensors, 001, ...   the weight map before training and after each epoch that it was learned in
result.json         written last, when all else is there: test scores, device, versions, commit
failed.txt          why the last attempt ended, where it ended with an error
.lock               held by the process that trains it
"""

import json
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medattn.attention import WEIGHT_MAPS, FixedMap, WeightMapped, insert_attention, set_prior
from medattn.datasets import Dataset, load_dataset, resplit, shuffle_labels
from medattn.datasets.augment import NORMALISE
from medattn.evaluation.metrics import Scores, score
from medattn.networks import build_network
from medattn.paths import ROOT, Busy, held, results_folder, runs_folder, write_whole
from medattn.training.recipe import Recipe

CHANGED = "+changes"  # behind a commit: the code was not the commit's


@dataclass(frozen=True)
class Run:
    """One recipe's run on disk. Recipes of one `run_id` share one folder; a finished run is never repeated."""

    recipe: Recipe
    folder: Path

    @classmethod
    def of(cls, recipe: Recipe, runs: Path | None = None) -> "Run":
        """Give the run of a recipe, whether it was begun or not."""
        return cls(recipe, (runs or runs_folder()) / recipe.run_id)

    @property
    def finished(self) -> bool:
        """Whether training and testing came to their end."""
        return (self.folder / "result.json").exists()

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: epoch, lr, train_loss, train_accuracy, val_loss, val_accuracy, val_auc, seconds."""
        return pd.read_csv(self._existing("history.csv"))

    @cached_property
    def result(self) -> dict[str, Any]:
        """What was measured, and where: scores of the test split, best epoch, device, versions, commit."""
        return json.loads(self._existing("result.json").read_text())

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a test image: index, label, p0, p1, ... (probabilities)."""
        return pd.read_csv(self._existing("predictions.csv"))

    @property
    def scores(self) -> Scores:
        """The test split's scores, from the saved predictions."""
        table = self.predictions
        return score(table["label"].to_numpy(), table.filter(regex=r"^p\d+$").to_numpy())

    @property
    def state(self) -> str:
        """One of "finished", "running" (in some process), "failed", "interrupted" and "waiting" (not begun)."""
        if self.finished:
            return "finished"
        if not self.folder.exists():
            return "waiting"
        try:
            with held(self.folder, wait=False):
                return "failed" if self.failure else "interrupted" if self.epochs_done else "waiting"
        except Busy:
            return "running"

    @property
    def failure(self) -> str | None:
        """Why the last attempt ended, where it ended with an error."""
        path = self.folder / "failed.txt"
        return path.read_text() if path.exists() else None

    @property
    def epochs_done(self) -> int:
        """How many epochs are finished."""
        return len(self._seconds)

    @property
    def seconds_an_epoch(self) -> float:
        """The median of the last ten epochs; nan where none is finished."""
        return float(self._seconds.tail(10).median())

    @property
    def _seconds(self) -> pd.Series:
        path = self.folder / "history.csv"
        return pd.read_csv(path)["seconds"] if path.exists() else pd.Series(dtype=float)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Keep the error that ends the block, for `failure`; forget that of an earlier attempt."""
        path = self.folder / "failed.txt"
        path.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:
            with write_whole(path) as part:
                part.write_text(f"{type(error).__name__}: {error}")
            raise

    def dataset(self) -> Dataset:
        """Load the data set of the recipe, divided as the recipe says."""
        data = load_dataset(self.recipe.dataset, self.recipe.size, **self.recipe.dataset_options)
        data = resplit(data, self.recipe.split)
        return shuffle_labels(data, self.recipe.seed) if self.recipe.shuffle_labels else data

    @property
    def maps(self) -> Tensor:
        """The weight map before training and after each epoch that it was learned in: (1 + epochs, H, W)."""
        self._existing("maps")
        return torch.stack([load_file(path)["map"] for path in map_files(self.folder)])

    @property
    def weight_map(self) -> Tensor:
        """The weight map of the tested epoch, (H, W)."""
        return load_file(self._existing("best.safetensors"))["source.map"][0, 0]

    def network(self, device: str | torch.device = "cpu") -> nn.Module:
        """Build the network with the best epoch's weights, in evaluation mode; a weight map is a constant."""
        weights = load_file(self._existing("best.safetensors"), device=str(device))
        n_classes, channels = self.result["n_classes"], self.result["channels"]
        network = build_from(self.recipe, n_classes, channels).to(device)
        network.load_state_dict(weights)
        return network.eval()

    def _existing(self, name: str) -> Path:
        if not (self.folder / name).exists():
            state = "finished" if self.finished else "not finished" if self.folder.exists() else "not begun"
            raise FileNotFoundError(f"run {self.recipe.run_id} has no {name}: it is {state}; fit(recipe) runs it")
        return self.folder / name


def map_files(folder: Path) -> list[Path]:
    """Give the files of a run's weight maps, by epoch; none where there are none yet."""
    return sorted((folder / "maps").glob("*.safetensors"), key=lambda path: int(path.stem))


def build_from(
    recipe: Recipe, n_classes: int, channels: int, images: Tensor | None = None, runs: Path | None = None
) -> nn.Module:
    """Build the untrained network of a recipe, attention inserted, behind a weight map where it has one.

    The map is learned from `images`, all training images, uint8 (N, C, H, W); without them it is a constant to load.
    So is a prior's map, which training takes from the run that the recipe names (`prior_map`).
    """
    network = build_network(
        recipe.network, n_classes, channels, recipe.size, pretrained=recipe.pretrained, stem=recipe.stem
    )
    if recipe.attention != "none":
        where = list(recipe.attention_where) if recipe.attention_where else None
        insert_attention(
            network,
            recipe.attention,
            recipe.size,
            where=where,
            in_channels=channels,
            **recipe.attention_options,
        )
    if recipe.prior:
        known = torch.ones(recipe.size, recipe.size) if images is None else prior_map(recipe.prior, runs)
        set_prior(network, known, recipe.prior_use)
    if recipe.weight_map == "none":
        return network
    if images is None:
        return WeightMapped(network, FixedMap(torch.ones(1, 1, recipe.size, recipe.size)))
    mean, std = (values if channels == 3 else (sum(values) / 3,) for values in NORMALISE[recipe.normalise])
    options = {"hidden": recipe.map_hidden, "mean": mean, "std": std, **recipe.map_options}
    return WEIGHT_MAPS[recipe.weight_map](network, images, **options)


def prior_map(run: str, runs: Path | None = None) -> Tensor:
    """Give the weight map (H, W) that a run learned, by its name: of a finished run, or else of a recorded one.

    It is rounded to half precision, as recorded maps are, so that both give a prior of the same bits.
    Raises ValueError where neither has it.
    """
    here, kept = (runs or runs_folder()) / run, results_folder() / "runs" / run / "map.safetensors"
    if (here / "result.json").exists():
        weights = load_file(here / "best.safetensors")
        if "source.map" not in weights:
            raise ValueError(f"prior={run!r} is a run without a weight map: name one that learned a map")
        return weights["source.map"][0, 0].half().float()
    if kept.exists():
        return load_file(kept)["after"].float()
    raise ValueError(
        f"prior={run!r}: there is no finished run in {here}, and no recorded map {kept}; train that run first"
    )


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights as safetensors, whole or not at all."""
    with write_whole(path) as part:
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, part)


def save_map(folder: Path, epoch: int, weight_map: Tensor) -> None:
    """Keep the weight map (1, 1, H, W) as it was after an epoch; 0 is before training."""
    save_weights(folder / "maps" / f"{epoch:03d}.safetensors", {"map": weight_map[0, 0].float()})


def save_predictions(path: Path, labels: Tensor, probabilities: Tensor) -> None:
    """Write one row a test image: index, label, p0, p1, ... to six decimals."""
    table = pd.DataFrame({"index": np.arange(len(labels)), "label": labels.numpy()})
    for k in range(probabilities.shape[1]):
        table[f"p{k}"] = probabilities[:, k].numpy()
    with write_whole(path) as part:
        table.to_csv(part, index=False, float_format="%.6f")


def provenance(device: torch.device) -> dict[str, Any]:
    """Say where a run was made: device, versions, and the commit of the code with a mark if it was changed."""

    def git(*words: str) -> str:
        try:
            answer = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        except OSError:  # there is no git
            return ""
        return answer.stdout.strip() if answer.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD")
    changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", "medattn"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit + (CHANGED if changed else "") if commit else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
