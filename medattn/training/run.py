"""A run's folder.

recipe.yaml         the recipe
history.csv         one row per epoch
resume.pt           while unfinished: everything that the next epoch needs
best.safetensors    the weights of the best validation epoch
predictions.csv     the test images: index, (file,) label, one probability per class
maps/000.safetensors, 001, ...   the weight map before training, and after each epoch that learns it
result.json         written last: test scores, device, versions, commit
failed.txt          the error that ended the last attempt
.lock               held by the process that trains the run
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from medattn.attention import WeightMapped
from medattn.datasets import OWN, Dataset, Split, load_dataset, resplit, shuffle_labels
from medattn.evaluation.metrics import Scores, score
from medattn.paths import Busy, locked, runs_folder, write_whole
from medattn.training.build import build_from
from medattn.training.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """The run of one recipe on disk."""

    recipe: Recipe
    folder: Path

    @classmethod
    def of(cls, recipe: Recipe, runs: str | Path | None = None) -> "Run":
        """Return the run of a recipe, whether it has begun or not."""
        return cls(recipe, Path(runs or runs_folder()) / recipe.run_id)

    @property
    def finished(self) -> bool:
        """Whether training and testing are complete."""
        return (self.folder / "result.json").exists()

    @property
    def state(self) -> str:
        """The state: "finished", "running", "failed", "interrupted" or "waiting"."""
        if self.finished:
            return "finished"
        if not self.folder.exists():
            return "waiting"
        try:
            with locked(self.folder, wait=False):
                pass
        except Busy:
            return "running"
        except OSError:  # nobody can train in a read-only folder
            pass
        return "failed" if self.failure else "interrupted" if self.seconds else "waiting"

    @property
    def failure(self) -> str | None:
        """The error that ended the last attempt, if one did."""
        path = self.folder / "failed.txt"
        return path.read_text() if path.exists() else None

    @property
    def seconds(self) -> list[float]:
        """The seconds of each finished epoch."""
        begun = (self.folder / "history.csv").exists()
        return self.history["seconds"].tolist() if begun else []

    @property
    def history(self) -> "pd.DataFrame":
        """One row per epoch: epoch, lr, then loss and accuracy on both splits, and seconds."""
        import pandas as pd

        with self._reading("history.csv") as path:
            return pd.read_csv(path)

    @cached_property
    def result(self) -> dict[str, Any]:
        """The scores of the test images, the best epoch, and the device, versions and commit."""
        with self._reading("result.json") as path:
            return json.loads(path.read_text())

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per test image: index, (file,) label, and probabilities p0, p1, ..."""
        import pandas as pd

        with self._reading("predictions.csv") as path:
            table = pd.read_csv(path)
            if self.finished and len(table) != self.result["n_test"]:
                raise ValueError(f"{len(table)} rows for {self.result['n_test']} test images")
            return table

    @property
    def scores(self) -> Scores:
        """The scores of the saved predictions of the test images."""
        table = self.predictions
        return score(table["label"].to_numpy(), _probabilities(table))

    @property
    def right(self) -> np.ndarray:
        """Whether each test image is classified correctly: (N,) bool, for `comparison`."""
        return answered_right(self.predictions)

    @property
    def maps(self) -> Tensor:
        """The weight map before training and after each epoch that learned it: (1 + E, H, W)."""
        self._require_map()
        self._existing("maps")
        return torch.stack([load_file(path)["map"] for path in map_files(self.folder)])

    @property
    def weight_map(self) -> Tensor:
        """The weight map of the tested epoch, (H, W)."""
        self._require_map()
        with self._reading("best.safetensors") as path:
            return load_file(path)["source.map"][0, 0]

    def network(self, device: str | torch.device = "cpu") -> nn.Module:
        """Build the network with the best epoch's weights, in evaluation mode, its map constant."""
        with self._reading("best.safetensors") as path:
            weights = load_file(path, device=str(device))
        n_classes, channels = self.result["n_classes"], self.result["channels"]
        network = build_from(self.recipe, n_classes, channels, weights_follow=True).to(device)
        network.load_state_dict(weights)
        return network.eval()

    def dataset(self) -> Dataset:
        """Load the data set of the recipe, with the recipe's splits."""
        data = load_dataset(self.recipe.dataset, self.recipe.size, **self.recipe.dataset_options)
        data = resplit(data, self.recipe.split)
        return shuffle_labels(data, self.recipe.seed) if self.recipe.shuffle_labels else data

    def check_data(self) -> None:
        """Raise ValueError if the user's own files differ from those of this finished run.

        It is no error if they are gone. Other data sets are known by their names.
        """
        if self.recipe.dataset.startswith(OWN) and "data" in self.result:
            with suppress(FileNotFoundError):
                self.check_fingerprint(self.dataset().fingerprint(), self.result["data"])

    def check_fingerprint(self, now: str, before: str) -> None:
        """Raise ValueError if the data set is not the one with which the run began."""
        if now != before:
            raise ValueError(
                f"the images or labels of {self.recipe.dataset} differ from those with which "
                f"{self.folder} began: restore them, or delete the folder to train the run again"
            )

    def _require_map(self) -> None:
        if self.recipe.weight_map == "none":
            raise ValueError(f"run {self.recipe.run_id} has weight_map='none': it learned no map")

    def _existing(self, name: str) -> Path:
        if (self.folder / name).exists():
            return self.folder / name
        state, advice = "not begun", "fit(recipe) trains it"
        if self.finished:
            state, advice = "finished", f"delete {self.folder}, and fit(recipe) trains it again"
        elif self.folder.exists():
            state = "not finished"
        raise FileNotFoundError(f"run {self.recipe.run_id} has no {name}: it is {state}; {advice}")

    def _reading(self, name: str) -> AbstractContextManager[Path]:
        return undamaged(self._existing(name))


@contextmanager
def undamaged(path: Path) -> Iterator[Path]:
    """Turn an error while reading a run's file into a ValueError that names file and remedy."""
    errors = (ValueError, KeyError, EOFError, RuntimeError, SafetensorError, UnpicklingError)
    try:
        yield path
    except errors as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        advice = f"delete {path.parent} to train the run again"
        raise ValueError(f"{path} is damaged ({cause}): {advice}") from error


def read_run(path: Path) -> Run:
    """Return the run of a recipe.yaml. Raises ValueError naming the file and a remedy."""
    try:
        return Run(Recipe.from_yaml(path), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; move its folder away, or correct the recipe") from error


def every_run(runs: str | Path | None = None) -> list[Run]:
    """Return all runs of a folder, as `read_run` does."""
    return [read_run(path) for path in sorted(Path(runs or runs_folder()).glob("*/recipe.yaml"))]


def answered_right(predictions: "pd.DataFrame") -> np.ndarray:
    """Return which rows of a run's predictions are right: (N,) bool."""
    return _probabilities(predictions).argmax(1) == predictions["label"].to_numpy()


def map_files(folder: Path) -> list[Path]:
    """Return the files of a run's weight maps, in the order of epochs."""
    return sorted((folder / "maps").glob("*.safetensors"), key=lambda path: int(path.stem))


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights as safetensors, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with write_whole(path) as part:
        save_file(tensors, part)


def save_map(folder: Path, epoch: int, weight_map: Tensor) -> None:
    """Write the weight map (1, 1, H, W) after an epoch; epoch 0 is before training."""
    save_weights(folder / "maps" / f"{epoch:03d}.safetensors", {"map": weight_map[0, 0].float()})


def save_predictions(path: Path, test: Split, probabilities: Tensor) -> None:
    """Write predictions.csv, with probabilities (N, K) to six decimals."""
    import pandas as pd

    files = {"file": list(test.names)} if test.names else {}
    columns = {"index": np.arange(len(test)), **files, "label": test.labels.cpu().numpy()}
    columns |= {f"p{k}": p.numpy() for k, p in enumerate(probabilities.unbind(1))}
    with write_whole(path) as part:
        pd.DataFrame(columns).to_csv(part, index=False, float_format="%.6f")


def _probabilities(predictions: "pd.DataFrame") -> np.ndarray:
    return predictions.filter(regex=r"^p\d+$").to_numpy()


def resume(
    run: Run, network: nn.Module, optimizer: Optimizer, device: torch.device, data: str
) -> dict[str, Any]:
    """Load network and optimiser from a run's last epoch; return the rest of its state.

    The state of a new run is empty. `data` is the data set's fingerprint. Raises ValueError if the
    run began with other data.
    """
    path = run.folder / "resume.pt"
    if not path.exists():
        return {"history": [], "best": None, "best_epoch": None, "commits": [], "data": data}
    with undamaged(path):
        state = torch.load(path, map_location=device, weights_only=True)
    run.check_fingerprint(data, state.setdefault("data", data))
    weights = state.pop("network")
    if isinstance(network, WeightMapped) and "source.map" in weights:
        network.freeze(optimizer)
    network.load_state_dict(weights)
    optimizer.load_state_dict(state.pop("optimizer"))
    _write_history(run, state["history"])  # its last epoch may be missing
    return {"commits": [], **state}


def keep(run: Run, network: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Write a run after an epoch, the last of its history: best weights, state, history.

    Each is whole or absent. If the process is killed before it wrote the state, the epoch is
    trained again: on a CPU to the same bits.
    """
    row, select, best = state["history"][-1], run.recipe.select, state["best"]
    value = {"last": row["epoch"], "loss": -row["val_loss"]}.get(select, row.get(f"val_{select}"))
    if best is None or np.isnan(best) or value > best:  # the earliest of equals, and never a nan
        state["best"], state["best_epoch"] = value, row["epoch"]
        weights = network.state_dict()
        if isinstance(network, WeightMapped):
            weights = network.frozen_state_dict()
        save_weights(run.folder / "best.safetensors", weights)
    tensors = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    with write_whole(run.folder / "resume.pt") as part:
        torch.save({**state, **tensors}, part)
    _write_history(run, state["history"])


def _write_history(run: Run, history: list[dict[str, float]]) -> None:
    import pandas as pd

    with write_whole(run.folder / "history.csv") as part:
        pd.DataFrame(history).to_csv(part, index=False)
