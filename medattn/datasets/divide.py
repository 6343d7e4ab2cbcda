"""Sets that come without validation or test images are divided by seed, each part with the whole's class shares."""

import torch
from torch import Tensor

from medattn.datasets.splits import held_out

TEST_SHARE = 1 / 5  # the global attention paper's random 80/20 (section 4.6)
VAL_SHARE = 1 / 5  # of the images that are not for the test


def train_val(labels: Tensor, classes: tuple[str, ...], seed: int = 0, val: float = VAL_SHARE) -> tuple[Tensor, Tensor]:
    """Give the indices of labels (N,) to train and to validate on, 4 to 1 or as `val` says.

    Raises as `train_val_test`.
    """
    return _hold_out(labels, classes, val, seed)


def train_val_test(
    labels: Tensor, classes: tuple[str, ...], seed: int = 0, val: float = VAL_SHARE, test: float = TEST_SHARE
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the indices of labels (N,) to train, validate and test on: 64, 16 and 20 %, or other shares.

    `test` is a share of all, `val` of those that are not for the test. Raises ValueError where a class has too few
    images to be in every part, and for a seed that is none.
    """
    pool, tested = _hold_out(labels, classes, test, seed)
    train, validated = _hold_out(labels[pool], classes, val, seed)
    return pool[train], pool[validated], tested


def _hold_out(labels: Tensor, classes: tuple[str, ...], share: float, seed: int) -> tuple[Tensor, Tensor]:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r} must be a whole number from 0")
    try:
        return held_out(labels, share, seed)
    except ValueError as error:
        numbers = torch.bincount(labels, minlength=len(classes)).tolist()
        counts = ", ".join(f"{name} {n}" for name, n in zip(classes, numbers, strict=True))
        raise ValueError(
            f"too few images to hold out 1 of {round(1 / share)} ({error}): the classes have {counts}"
        ) from error
