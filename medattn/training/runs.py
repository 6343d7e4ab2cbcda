"""A run's folder: recipe, history, per-image test predictions, best weights, and the state to go on from.

recipe.yaml         what was asked for
history.csv         one row an epoch
resume.pt           while unfinished: everything the next epoch needs
best.safetensors    the weights of the best validation epoch
predictions.csv     the test split: index, label, one probability a class; of a folder of images, each one's file
maps/000.safetensors, 001, ...   the weight map before training and after each epoch that it was learned in
result.json         written last, when all else is there: test scores, device, versions, commit
failed.txt          why the last attempt ended, where it ended with an error
.lock               held by the process that trains it
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medattn.attention import WEIGHT_MAPS, FixedMap, WeightMapped, insert_attention, set_prior
from medattn.attention.global_map import map_options_of
from medattn.datasets import OWN, Dataset, Split, load_dataset, resplit, shuffle_labels
from medattn.datasets.augment import NORMALISE
from medattn.evaluation.metrics import Scores, score
from medattn.networks import build_network
from medattn.paths import Busy, held, results_folder, runs_folder, write_whole
from medattn.training.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """One recipe's run on disk. Recipes of one `run_id` share one folder; a finished run is never repeated."""

    recipe: Recipe
    folder: Path

    @classmethod
    def of(cls, recipe: Recipe, runs: Path | None = None) -> "Run":
        """Give the run of a recipe, whether it was begun or not."""
        return cls(recipe, Path(runs or runs_folder()) / recipe.run_id)

    @property
    def finished(self) -> bool:
        """Whether training and testing came to their end."""
        return (self.folder / "result.json").exists()

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: epoch, lr, train_loss, train_accuracy, val_loss, val_accuracy, val_auc, seconds."""
        with self._reading("history.csv") as path:
            return pd.read_csv(path)

    @cached_property
    def result(self) -> dict[str, Any]:
        """What was measured, and where: scores of the test split, best epoch, device, versions, commit."""
        with self._reading("result.json") as path:
            return json.loads(path.read_text())

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a test image: index, label, p0, p1, ... (probabilities); and its file, in a folder of images."""
        with self._reading("predictions.csv") as path:
            table = pd.read_csv(path)
            if self.finished and len(table) != self.result["n_test"]:
                raise ValueError(f"{len(table)} rows for {self.result['n_test']} test images")
            return table

    @property
    def scores(self) -> Scores:
        """The test split's scores, from the saved predictions."""
        table = self.predictions
        return score(table["label"].to_numpy(), table.filter(regex=r"^p\d+$").to_numpy())

    @property
    def right(self) -> np.ndarray:
        """Which test images are classified correctly: (N,) bool, in their order, for `evaluation.comparison`."""
        return answered_right(self.predictions)

    @property
    def state(self) -> str:
        """One of "finished", "running" (in some process), "failed", "interrupted" and "waiting" (not begun)."""
        if self.finished:
            return "finished"
        if not self.folder.exists():
            return "waiting"
        try:
            with held(self.folder, wait=False):
                pass
        except Busy:
            return "running"
        except OSError:  # where nothing can be written, nobody trains
            pass
        return "failed" if self.failure else "interrupted" if self.epochs_done else "waiting"

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
        return self.history["seconds"] if (self.folder / "history.csv").exists() else pd.Series(dtype=float)

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

    def check_data(self) -> None:
        """Raise ValueError where the user's own file or folder holds other images than this finished run was made of.

        One that is gone says nothing; the other data sets are known by their names.
        """
        if self.recipe.dataset.startswith(OWN) and "data" in self.result:
            try:
                data = self.dataset().fingerprint()
            except FileNotFoundError:
                return
            if data != self.result["data"]:
                raise ValueError(other_data(self))

    def dataset(self) -> Dataset:
        """Load the data set of the recipe, divided as the recipe says."""
        data = load_dataset(self.recipe.dataset, self.recipe.size, **self.recipe.dataset_options)
        data = resplit(data, self.recipe.split)
        return shuffle_labels(data, self.recipe.seed) if self.recipe.shuffle_labels else data

    @property
    def maps(self) -> Tensor:
        """The weight map before training and after each epoch that it was learned in: (1 + epochs, H, W)."""
        self._learned_a_map()
        self._existing("maps")
        return torch.stack([load_file(path)["map"] for path in map_files(self.folder)])

    @property
    def weight_map(self) -> Tensor:
        """The weight map of the tested epoch, (H, W)."""
        self._learned_a_map()
        with self._reading("best.safetensors") as path:
            return load_file(path)["source.map"][0, 0]

    def network(self, device: str | torch.device = "cpu") -> nn.Module:
        """Build the network with the best epoch's weights, in evaluation mode; a weight map is a constant."""
        with self._reading("best.safetensors") as path:
            weights = load_file(path, device=str(device))
        n_classes, channels = self.result["n_classes"], self.result["channels"]
        network = build_from(self.recipe, n_classes, channels, weights_follow=True).to(device)
        network.load_state_dict(weights)
        return network.eval()

    def _learned_a_map(self) -> None:
        if self.recipe.weight_map == "none":
            raise ValueError(f"run {self.recipe.run_id} has weight_map='none': it learned no map")

    def _existing(self, name: str) -> Path:
        if not (self.folder / name).exists():
            state = "finished" if self.finished else "not finished" if self.folder.exists() else "not begun"
            then = f"delete {self.folder}, and fit(recipe) trains it anew" if self.finished else "fit(recipe) runs it"
            raise FileNotFoundError(f"run {self.recipe.run_id} has no {name}: it is {state}; {then}")
        return self.folder / name

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        path = self._existing(name)
        with undamaged(path):
            yield path


def other_data(run: Run) -> str:
    """Say that a run's data set is not the one that it was begun with."""
    return (
        f"the images or labels of {run.recipe.dataset} are not those with which {run.folder} was begun: put those "
        "back, or delete the folder to train the run anew"
    )


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Say of a run's file that cannot be read which it is, and what to do: ValueError."""
    try:
        yield
    except (ValueError, KeyError, EOFError, RuntimeError, SafetensorError, UnpicklingError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is damaged ({why}): delete {path.parent} to train the run anew") from error


def map_files(folder: Path) -> list[Path]:
    """Give the files of a run's weight maps, by epoch; none where there are none yet."""
    return sorted((folder / "maps").glob("*.safetensors"), key=lambda path: int(path.stem))


def build_from(
    recipe: Recipe,
    n_classes: int,
    channels: int,
    images: Tensor | None = None,
    runs: Path | None = None,
    weights_follow: bool = False,
) -> nn.Module:
    """Build the untrained network of a recipe, attention inserted, behind a weight map where it has one.

    The map is learned from `images`, all training images, uint8 (N, C, H, W); without them it is a constant to load.
    So is a prior's map, which training takes from the run that the recipe names (`prior_map`). `weights_follow`: all
    weights are to be loaded, and ImageNet's are not.
    """
    network = build_network(
        recipe.network, n_classes, channels, recipe.size, recipe.pretrained, recipe.stem, weights_follow
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
    try:
        return WEIGHT_MAPS[recipe.weight_map](network, images, **options)
    except TypeError as error:  # an option that it has not
        raise ValueError(
            f"weight_map={recipe.weight_map!r} does not take map_options {recipe.map_options}; its options are "
            f"{map_options_of(recipe.weight_map) or 'none'}"
        ) from error


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


def answered_right(predictions: pd.DataFrame) -> np.ndarray:
    """Say which rows of a run's predictions are right: (N,) bool."""
    return predictions.filter(regex=r"^p\d+$").to_numpy().argmax(1) == predictions["label"].to_numpy()


def save_predictions(path: Path, test: Split, probabilities: Tensor) -> None:
    """Write one row a test image: index, its file where it is one of a folder, label, p0, p1, ... to six decimals."""
    files = {"file": list(test.names)} if test.names else {}
    table = pd.DataFrame({"index": np.arange(len(test)), **files, "label": test.labels.cpu().numpy()})
    for k in range(probabilities.shape[1]):
        table[f"p{k}"] = probabilities[:, k].numpy()
    with write_whole(path) as part:
        table.to_csv(part, index=False, float_format="%.6f")
