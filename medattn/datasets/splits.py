"""Splits: parts held out by seed, folds of a cross-validation, and labels in random order.

Paper: global spatial attention, section 4.6: five-fold cross-validation on the training images, and
training on all of them. Each part holds the classes in the proportions of the whole.
Differs from the paper: nothing; it does not say whether its folds are stratified.
"""

import re
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from medattn.datasets.dataset import Dataset, Split, check_whole

SHARE = 1 / 5  # section 4.6: random 80/20


def train_val(
    labels: Tensor, classes: tuple[str, ...], seed: int = 0, val: float = SHARE
) -> tuple[Tensor, Tensor]:
    """Return the sorted indices of labels (N,) to train and to validate on.

    The share `val` of each class is held out. Raises ValueError if a class has too few images.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    check_whole("seed", seed, 0, 2**32 - 1)
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=val, random_state=seed)
    try:
        parts = next(splitter.split(np.zeros(len(labels)), labels.cpu().numpy()))
    except ValueError as error:
        numbers = torch.bincount(labels, minlength=len(classes)).tolist()
        counts = ", ".join(f"{name} {n}" for name, n in zip(classes, numbers, strict=True))
        few = f"too few images to hold out 1 of {round(1 / val)} ({error})"
        raise ValueError(f"{few}: the classes have {counts}") from error
    train, held_out = (torch.from_numpy(np.sort(part)) for part in parts)
    return train, held_out


def train_val_test(
    labels: Tensor, classes: tuple[str, ...], seed: int, val: float = SHARE, test: float = SHARE
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of labels (N,) to train, validate and test on: 64, 16 and 20 %.

    `test` is a share of all images, `val` of those that are left. Raises as `train_val`.
    """
    pool, test_part = train_val(labels, classes, seed, test)
    train, val_part = train_val(labels[pool], classes, seed, val)
    return pool[train], pool[val_part], test_part


def fold_of(split: str) -> tuple[int, int] | None:
    """Return (k, n) for 'k/n', and None for 'own' or 'all'; raise ValueError for anything else."""
    if split in ("own", "all"):
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", split)
    k, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= k <= n or n < 2:
        raise ValueError(f"split={split!r}: there are 'own', 'all', or fold k of n as 'k/n'")
    return k, n


def resplit(data: Dataset, split: str) -> Dataset:
    """Return the data set with training and validation images divided anew; test images stay.

    'own' changes nothing, 'all' trains on both and validates on nothing, and 'k/n' validates on the
    k-th of n parts. Raises ValueError for other splits, and for a class with fewer than n images.
    """
    fold = fold_of(split)
    if split == "own":
        return data
    first, second = data.train, data.val
    masks = None
    if first.masks is not None and second.masks is not None:
        masks = torch.cat([first.masks, second.masks])
    images = torch.cat([first.images, second.images])
    labels = torch.cat([first.labels, second.labels])
    pool = Split(images, labels, masks, first.names + second.names)
    if fold is None:
        return replace(data, train=pool, val=pool.take(torch.arange(0)))
    from sklearn.model_selection import StratifiedKFold

    k, n = fold
    numbers = labels.cpu().numpy()
    fewest = int(np.bincount(numbers, minlength=data.n_classes).min())
    if fewest < n:
        few = f"a class of {data.name} has {fewest} images, too few for {n} parts"
        raise ValueError(f"split={split!r}: {few}")
    folds = StratifiedKFold(n, shuffle=True, random_state=0).split(numbers, numbers)
    train, val = (torch.from_numpy(index) for index in list(folds)[k - 1])
    return replace(data, train=pool.take(train), val=pool.take(val))


def shuffle_labels(data: Dataset, seed: int) -> Dataset:
    """Return the data set with shuffled training labels and shuffled validation labels: a control.

    Images then say nothing about their labels. The class counts and the test split stay.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = []
    for split in (data.train, data.val):
        order = torch.randperm(len(split), generator=generator).to(split.labels.device)
        shuffled.append(replace(split, labels=split.labels[order]))
    return replace(data, train=shuffled[0], val=shuffled[1])
