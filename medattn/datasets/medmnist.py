"""The two-dimensional sets of MedMNIST at 28, 64, 128 and 224 px, as the official files.

Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10, 41. Addresses and checksums are those
of the `medmnist` package. Files lie in the data folder under medmnist/, under their own names.

BreastMNIST has lesion masks if the data folder has breastmnist_224_masks.npz, which `busi_folder`
makes from BUSI: {train,val,test}_masks (N, 224, 224) of 0 and 1, empty for images without a lesion.
A pixel of a smaller image belongs to the lesion if half of it does.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from medattn.datasets.area import area_mean
from medattn.datasets.dataset import Dataset
from medattn.datasets.files import HINT, fetching
from medattn.datasets.npz import read_npz
from medattn.paths import data_folder, write_whole

SIZES = (28, 64, 128, 224)
MASKS_FILE = "breastmnist_224_masks.npz"
_MULTI_LABEL = "chestmnist"  # several labels per image, which this project does not support


def sizes_here(name: str) -> str:
    """Return the sizes of a set whose files are in the data folder."""
    if name == _MULTI_LABEL:
        return "not supported: several labels per image"
    return ", ".join(str(size) for size in SIZES if _path(name, size).is_file()) or "missing"


def official_file(name: str, size: int = 28) -> tuple[Path, str, str, str]:
    """Return the path of a set's file, its address and MD5, and a sentence on how to get it."""
    from medmnist import INFO

    if name == _MULTI_LABEL:
        raise ValueError(f"name={name!r} has several labels per image (multi-label): not supported")
    if size not in SIZES:
        raise ValueError(f"size={size!r} is not one of {', '.join(map(str, SIZES))} of {name}")
    path = _path(name, size)
    suffix = path.stem.removeprefix(name)
    url, md5 = INFO[name][f"url{suffix}"], INFO[name][f"MD5{suffix}"]
    command = f"medattn data --download {name}" + (f" --size {size}" if suffix else "")
    return path, url, md5, f"Run `{command}`, or fetch {url} (MD5 {md5}) and put it at {path}."


def load_medmnist(name: str, size: int = 28) -> Dataset:
    """Load a set after checking its checksum; BreastMNIST with lesion masks if they are there."""
    from medmnist import INFO

    path, _, md5, get = official_file(name, size)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. {get} {HINT}")
    if _md5(path) != md5:
        altered = f"{path} is truncated or altered: its MD5 is {_md5(path)}, not {md5}"
        raise ValueError(f"{altered}. Delete it first. {get} {HINT}")
    labels = INFO[name]["label"]
    data = read_npz(path, name, size, tuple(labels[str(k)] for k in range(len(labels))))
    return with_masks(data) if name == "breastmnist" else data


def download(name: str, size: int | None = None) -> Path:
    """Fetch the official file of a set, unless it is there, and return its path.

    Raises as `download` of the catalog does.
    """
    from torchvision.datasets.utils import download_url

    path, url, md5, get = official_file(name, size or 28)
    if not path.is_file() or _md5(path) != md5:
        with fetching(url, get), write_whole(path) as part:
            download_url(url, part.parent, part.name, md5)
    return path


def with_masks(data: Dataset) -> Dataset:
    """Return BreastMNIST with its lesion masks if their file is there, else as it is."""
    file = data_folder() / MASKS_FILE
    if not file.is_file():
        return data
    splits = []
    with np.load(file, allow_pickle=False) as arrays:
        for name, split in data.splits.items():
            key, n = f"{name}_masks", len(split)
            masks: np.ndarray = arrays[key] if key in arrays else np.empty(0)
            if masks.ndim != 3 or len(masks) != n or masks.max(initial=0) > 1:
                allowed = f"it must be 0 and 1, ({n}, H, W), a mask for each image"
                raise ValueError(f"{file}: {key} is {masks.dtype} {masks.shape}; {allowed}")
            small = np.stack([area_mean(mask, data.size) >= 0.5 for mask in masks])
            splits.append(replace(split, masks=torch.from_numpy(small)))
    return replace(data, train=splits[0], val=splits[1], test=splits[2])


def _path(name: str, size: int) -> Path:
    suffix = "" if size == 28 else f"_{size}"
    return data_folder() / "medmnist" / f"{name}{suffix}.npz"


def _md5(file: Path) -> str:
    state = file.stat()
    return _md5_of(file.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache  # a file is read once, until its length or its time changes
def _md5_of(file: Path, size: int, mtime_ns: int) -> str:
    from torchvision.datasets.utils import calculate_md5

    return calculate_md5(file)
