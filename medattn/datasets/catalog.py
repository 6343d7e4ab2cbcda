"""The data sets by name."""

import hashlib

import numpy as np
import torch
from medmnist import INFO

from medattn.datasets.dataset import Dataset, Split
from medattn.paths import data_folder


def load_dataset(name: str, size: int = 28) -> Dataset:
    """Load a MedMNIST 2D set from its file, checked against its MD5."""
    info, suffix = INFO[name], "" if size == 28 else f"_{size}"
    path = data_folder() / "medmnist" / f"{name}{suffix}.npz"
    if hashlib.md5(path.read_bytes()).hexdigest() != info[f"MD5{suffix}"]:
        raise ValueError(f"{path} is not the official file: its MD5 differs from {info[f'MD5{suffix}']}")
    with np.load(path, allow_pickle=False) as arrays:
        splits = []
        for split in ("train", "val", "test"):
            images = torch.from_numpy(arrays[f"{split}_images"])
            images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
            splits.append(Split(images, torch.from_numpy(arrays[f"{split}_labels"][:, 0].astype(np.int64))))
    return Dataset(name, size, tuple(info["label"].values()), *splits)
