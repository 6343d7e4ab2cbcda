"""Other splits of a data set than its own: a part held out by seed, the folds of a cross-validation, all of it.

Paper: global spatial attention, section 4.6: five-fold cross-validation on the training images, and training on all.
Every part holds the classes in the proportions of the whole. Differs from the paper: nothing; it does not say whether
its folds are stratified.
"""

import re
from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from torch import Tensor

from medattn.datasets.dataset import Dataset, Split

FORM = "'own', 'all', or fold k of n as 'k/n', such as '1/5'"


def held_out(labels: Tensor, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Give the sorted indices (kept, held out) of labels (N,): `share` of every class is held out, by seed."""
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    kept, out = next(splitter.split(np.zeros(len(labels)), labels.cpu().numpy()))
    return torch.from_numpy(np.sort(kept)), torch.from_numpy(np.sort(out))


def fold_of(split: str) -> tuple[int, int] | None:
    """Read 'k/n' as (k, n), and 'own' or 'all' as None; anything else raises ValueError."""
    if split in ("own", "all"):
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", split)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) or int(found[2]) < 2:
        raise ValueError(f"split={split!r} is unknown; there are {FORM}")
    return int(found[1]), int(found[2])


def resplit(data: Dataset, split: str) -> Dataset:
    """Give the data set with its training and validation images divided anew; the test images stay.

    'own' leaves it as it is; 'all' trains on both and validates on nothing; 'k/n' validates on the k-th of n parts.
    Raises ValueError for another split, and for a class with fewer images than parts.
    """
    fold = fold_of(split)
    if split == "own":
        return data
    pool = _joined(data.train, data.val)
    if fold is None:
        return replace(data, train=pool, val=pool.take(torch.arange(0)))
    k, n = fold
    labels = pool.labels.cpu().numpy()
    fewest = int(np.bincount(labels, minlength=data.n_classes).min())
    if fewest < n:
        raise ValueError(f"split={split!r}: a class of {data.name} has {fewest} images, too few for {n} parts")
    folds = StratifiedKFold(n, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels)
    train, val = [torch.from_numpy(indices) for indices in list(folds)[k - 1]]
    return replace(data, train=pool.take(train), val=pool.take(val))


def shuffle_labels(data: Dataset, seed: int) -> Dataset:
    """Give the data set with its training and validation labels in random order, each among its own; a control.

    Nothing about an image tells its label any more; the class counts stay, and so do test images and labels.
    """
    generator = torch.Generator().manual_seed(seed)
    mixed = {}
    for name in ("train", "val"):
        split = getattr(data, name)
        order = torch.randperm(len(split), generator=generator).to(split.labels.device)
        mixed[name] = replace(split, labels=split.labels[order])
    return replace(data, **mixed)


def _joined(first: Split, second: Split) -> Split:
    masks = None if first.masks is None else torch.cat([first.masks, second.masks])
    images, labels = (torch.cat([getattr(split, what) for split in (first, second)]) for what in ("images", "labels"))
    return Split(images, labels, masks, first.names + second.names)
