"""What an interrupted run goes on from: the best weights so far, the state after the last epoch, the epochs' list.

They are written in this order, each whole or not at all, and the state is what counts. Killed before it, the epoch is
run again, on a CPU to the same bits; an epoch that is listed never is.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim import Optimizer

from medattn.attention import WeightMapped
from medattn.paths import write_whole
from medattn.training.runs import Run, other_data, save_weights, undamaged


def resume(run: Run, network: nn.Module, optimizer: Optimizer, device: torch.device, data: str) -> dict[str, Any]:
    """Put network and optimiser where the run was left, and give the rest of its state; an empty one at the start.

    `data` is the data set's fingerprint. Raises ValueError where the run was begun with another.
    """
    path = run.folder / "resume.pt"
    if not path.exists():
        return {"history": [], "best": None, "best_epoch": None, "commits": [], "data": data}
    with undamaged(path):
        saved = torch.load(path, map_location=device, weights_only=True)
    if saved.setdefault("data", data) != data:
        raise ValueError(other_data(run))
    if "source.map" in saved["network"]:
        network.freeze(optimizer)
    network.load_state_dict(saved.pop("network"))
    optimizer.load_state_dict(saved.pop("optimizer"))
    _list_epochs(run, saved)  # the last one may be missing
    return {"commits": [], **saved}


def keep(run: Run, network: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Keep a run after an epoch, whose row is the last of the state's history: best weights, state, list of epochs."""
    row, select = state["history"][-1], run.recipe.select
    value = {"last": row["epoch"], "loss": -row["val_loss"]}.get(select, row.get(f"val_{select}"))
    best = state["best"]
    if best is None or np.isnan(best) or value > best:  # the earliest of equals; a nan is never better
        state["best"], state["best_epoch"] = value, row["epoch"]
        weights = network.frozen_state_dict() if isinstance(network, WeightMapped) else network.state_dict()
        save_weights(run.folder / "best.safetensors", weights)
    with write_whole(run.folder / "resume.pt") as part:
        torch.save({**state, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, part)
    _list_epochs(run, state)


def _list_epochs(run: Run, state: dict[str, Any]) -> None:
    with write_whole(run.folder / "history.csv") as part:
        pd.DataFrame(state["history"]).to_csv(part, index=False)
