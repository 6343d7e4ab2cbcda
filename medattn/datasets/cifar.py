"""CIFAR-10 and CIFAR-100: photographs of 32 x 32 pixels in 10 and 100 classes, by torchvision.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". The arrays are
pickled; torchvision downloads them, and checks their MD5 before it unpickles them.
Paper: Zhang et al., "PPCR", 2023, section 4.4 and Table 6: 50,000 images to train and 10,000 to
test, padded with four zeros and cropped at random ("crop" of `augment`).
Differs from the paper: it does not say which images chose its best epoch, and CIFAR has no
validation images. Here `seed` holds out a stratified tenth of the 50,000.
"""

from pathlib import Path
from typing import Any

import torch

from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.files import HINT, fetching
from medattn.datasets.splits import train_val
from medattn.paths import data_folder

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
SIZE = 32  # px
VAL_SHARE = 1 / 10  # 45,000 / 5,000, as in He et al. 2016, section 4.2


def load_cifar(name: str, size: int = SIZE, seed: int = 0) -> Dataset:
    """Load a set, RGB; `seed` divides the 50,000 into 45,000 to train and 5,000 to validate."""
    if size != SIZE:
        raise ValueError(f"size={size!r}, but images of {name} are 32 x 32: load it with size=32")
    official, get, folder = torchvision_class(name), _how_to_get(name), data_folder() / name
    files = folder / FOLDERS[name]
    if not files.is_dir():
        raise FileNotFoundError(f"there is no folder {files}. {get} {HINT}")
    try:
        parts = [official(folder, train=train) for train in (True, False)]
    except RuntimeError as error:
        altered = f"the files in {files} are incomplete or altered"
        raise ValueError(f"{altered}: delete that folder first. {get}") from error
    images = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in parts]
    labels = [torch.tensor(part.targets) for part in parts]
    pool, test = map(Split, images, labels)
    classes = tuple(parts[0].classes)
    train, val = train_val(pool.labels, classes, seed, VAL_SHARE)
    return Dataset(name, SIZE, classes, pool.take(train), pool.take(val), test)


def download(name: str, size: int | None = None) -> Path:
    """Fetch a set by torchvision, unless it is there, and return its folder.

    An archive that is there is unpacked. Raises as `download` of the catalog does.
    """
    if size not in (None, SIZE):
        raise ValueError(f"{name} has one size; leave --size out, or size=None")
    official, folder = torchvision_class(name), data_folder() / name
    with fetching(official.url, _how_to_get(name)):
        official(folder, download=True)
    return folder / FOLDERS[name]


def torchvision_class(name: str) -> Any:
    """Return torchvision's class of a set."""
    from torchvision import datasets

    return getattr(datasets, name.upper())


def _how_to_get(name: str) -> str:
    official = torchvision_class(name)
    place = data_folder() / name / official.filename
    fetch = f"fetch {official.url} (MD5 {official.tgz_md5}), put it at {place} and run that"
    return f"Run `medattn data --download {name}`; or {fetch}, which unpacks it."
