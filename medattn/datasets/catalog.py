"""Data sets by name: load, download and list them; catalog.yaml has an entry for each."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from medattn.datasets.dataset import Dataset
from medattn.datasets.entry import DATASETS
from medattn.datasets.folder import load_folder
from medattn.datasets.npz import load_npz
from medattn.paths import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

# the user's own images, which may change under the same name
_LOADERS: dict[str, Callable[..., Dataset]] = {"npz:": load_npz, "folder:": load_folder}
OWN = tuple(_LOADERS)


def is_known(name: str) -> bool:
    """Return whether `load_dataset` knows a name; its files may still be missing."""
    return name in DATASETS or name.startswith(OWN)


def load_dataset(name: str, size: int = 28, **options) -> Dataset:
    """Load a data set by its name in DATASETS, any .npz by `npz:PATH`, any folder by `folder:PATH`.

    `size` is the side of its images in pixels. The options are those of the set's own function.
    Raises ValueError for an unknown name, option or size, and for all problems of the set's files;
    FileNotFoundError if files are missing, with the way to get them.
    """
    prefix, colon, path = name.partition(":")
    if prefix + colon in OWN:
        load: Callable[..., Dataset] = partial(_LOADERS[prefix + colon], path)
    elif name in DATASETS:
        load = DATASETS[name].function("load")
    else:
        known = f"{', '.join(DATASETS)}, npz:PATH or folder:PATH"
        raise ValueError(f"name={name!r}{did_you_mean(name, DATASETS)} is not one of {known}")
    allowed = list(inspect.signature(load).parameters)[1:]  # after the size
    for option, value in options.items():
        if option not in allowed:
            has = f"which has {', '.join(allowed) or 'none'}"
            raise ValueError(f"{option}={value!r} is no option of {name}, {has}")
    return load(size, **options)


def download(name: str, size: int | None = None) -> Path:
    """Download a data set, unless it is there, and return its path.

    Raises ConnectionError, and ValueError for a name or size without a download and for a file that
    is not the official one.
    """
    if name not in DATASETS:
        names = [name for name, entry in DATASETS.items() if entry.download]
        hint = f"{did_you_mean(name.lower(), names)}; there are {', '.join(names)}"
        raise ValueError(f"name={name!r} cannot be downloaded{hint}")
    if not DATASETS[name].download:
        raise ValueError(f"name={name!r} cannot be downloaded: {DATASETS[name].get}")
    return DATASETS[name].function("download")(size)


def catalog() -> "pd.DataFrame":
    """Return one row per data set: name, classes, sizes, images, licence, citation, here, get.

    Sizes are in pixels, and images are train / val / test. `here` names the sizes whose files are
    in the data folder, or says whether the set's folder is there; files are not checked.
    """
    import pandas as pd

    columns = ["name", "classes", "sizes", "images", "licence", "citation", "here", "get"]
    rows = []
    for entry in DATASETS.values():
        classes = len(entry.classes) if isinstance(entry.classes, list | dict) else entry.classes
        rows.append(vars(entry) | {"classes": classes, "here": entry.here()})
    own = {"classes": "any", "images": "any", "here": "yours"}
    own |= dict.fromkeys(["licence", "citation"], "its own")
    npz, folder = "arrays as in MedMNIST's files", "a folder for each class, or a table"
    rows.append(own | {"name": "npz:PATH", "sizes": "any", "get": npz})
    rows.append(own | {"name": "folder:PATH", "sizes": "8 to 1024", "get": folder})
    return pd.DataFrame(rows, columns=columns)


def images_with_lesions(name: str, size: int, **options) -> tuple[Tensor, Tensor]:
    """Return images with known lesions that are no training or validation images.

    They are test images, or those of the entry's `lesions`. Raises ValueError for a set without
    masks. Shape: images (N, C, H, W) uint8, masks (N, H, W) bool, each with at least one pixel.
    """
    if name in DATASETS and DATASETS[name].lesions:
        images, masks = DATASETS[name].function("lesions")(size)
    else:
        test = load_dataset(name, size, **options).test
        if test.masks is None:
            have = "phantoms, breastmnist (after `busi_folder`) and idrid have some"
            raise ValueError(f"{name} has no lesion masks here; {have}")
        images, masks = test.images, test.masks
    chosen = masks.any((1, 2))
    return images[chosen], masks[chosen]


def relevant_region(data: Dataset) -> Tensor | None:
    """Return the region (H, W) that matters for the class, if it is known of the data set."""
    if data.region is None and data.name in DATASETS and DATASETS[data.name].region:
        return DATASETS[data.name].function("region")(data.size)
    return data.region
