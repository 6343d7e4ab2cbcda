"""CIFAR-10 and CIFAR-100: photographs of 32 x 32 pixels in 10 and 100 classes, by way of torchvision.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". The archive holds pickled arrays:
torchvision downloads, checks (MD5, before anything is unpickled) and reads it; this project opens none of its files.
Paper: Zhang et al., "PPCR", 2023, section 4.4 and Table 6: 50,000 images to train and 10,000 to test, padded with four
zeros and cropped at random: "crop" of `augment` ("crop_flip" also mirrors, which the text does not say).
Differs from the paper: it does not say on which images its best epoch was chosen, and CIFAR has no validation images.
Here `seed` holds out a tenth of the 50,000 for that, as many of each class, and the test images choose nothing.
"""

from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.divide import train_val
from medattn.paths import data_folder

SETS = {"cifar10": CIFAR10, "cifar100": CIFAR100}
SIZE = 32  # px
VAL_SHARE = 1 / 10  # 45,000 / 5,000, as in He et al. 2016, section 4.2


def cifar_folder(name: str) -> Path:
    """Say where a set's files lie, or would lie: torchvision's root."""
    return data_folder() / name


def is_here(name: str) -> bool:
    """Say whether a set is unpacked in the data folder."""
    return (cifar_folder(name) / SETS[name].base_folder).is_dir()


def load_cifar(name: str, size: int = SIZE, seed: int = 0) -> Dataset:
    """Load a set, RGB; `seed` divides the 50,000 into 45,000 to train and 5,000 to validate.

    Raises FileNotFoundError for a set that is not there, ValueError for one whose files are not the official ones
    (truncated, altered) and for another size than 32; each says what to do.
    """
    if size != SIZE:
        raise ValueError(f"size={size!r}, but the images of {name} are {SIZE} x {SIZE}: load it with size={SIZE}")
    if not is_here(name):
        raise FileNotFoundError(
            f"there is no {SETS[name].base_folder} in {cifar_folder(name)}. {_how_to_get(name)} "
            "'phantoms' and 'digits' need no download."
        )
    try:
        official = [SETS[name](cifar_folder(name), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(
            f"the files in {cifar_folder(name) / SETS[name].base_folder} are incomplete or altered: their MD5 are not "
            f"those torchvision knows. Delete that folder first. {_how_to_get(name)}"
        ) from error
    pool, test = (_split(part.data, part.targets) for part in official)
    classes = tuple(official[0].classes)
    train, val = train_val(pool.labels, classes, seed, VAL_SHARE)
    return Dataset(name, SIZE, classes, pool.take(train), pool.take(val), test)


def download(name: str) -> Path:
    """Get a set as torchvision does, and give its folder; nothing is done when it is there, whole.

    An archive that lies there already is unpacked. Raises ConnectionError when it cannot be fetched, ValueError when
    what came has another checksum.
    """
    source = SETS[name]
    try:
        source(cifar_folder(name), download=True)
    except RuntimeError as error:
        raise ValueError(
            f"{name} did not come whole from {source.url}: an MD5 is not the one torchvision knows. Delete "
            f"{cifar_folder(name)} first. {_how_to_get(name)}"
        ) from error
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{source.url} could not be fetched ({error}): is there a connection? {_how_to_get(name)} 'phantoms' and "
            "'digits' need no download."
        ) from error
    return cifar_folder(name) / source.base_folder


def _split(images: np.ndarray, labels: list[int]) -> Split:
    return Split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))


def _how_to_get(name: str) -> str:
    source = SETS[name]
    return (
        f"Run `medattn data --download {name}`; or fetch {source.url} (MD5 {source.tgz_md5}), put it at "
        f"{cifar_folder(name) / source.filename} and run that, which unpacks it "
        "(MEDATTN_DATA names another data folder)."
    )
