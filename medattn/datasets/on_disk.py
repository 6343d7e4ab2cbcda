"""Data sets that lie on the disk: any .npz in MedMNIST's form.

Its arrays are {train,val,test}_images, uint8 (N, H, W) grey or (N, H, W, 3) colour, and {train,val,test}_labels, whole
numbers (N,) or (N, 1) from 0; class_names (K,) may name the classes, other arrays are passed over. Without both arrays
of val a fifth of the training images validates, held out by seed. Nothing pickled is loaded.
"""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from medattn.datasets.dataset import Dataset, Split
from medattn.datasets.divide import train_val
from medattn.paths import data_folder

SPLITS = ("train", "val", "test")
KEYS = tuple(f"{split}_{what}" for split in SPLITS for what in ("images", "labels"))


def load_npz(path: str | Path, size: int, seed: int = 0) -> Dataset:
    """Load any .npz in MedMNIST's form; a relative path starts at the data folder.

    `seed` holds out a fifth of the training images where the file has no validation images. Raises FileNotFoundError
    where there is no such file, ValueError where it is not of this form or of another size.
    """
    file = data_folder() / Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no file {file}: give npz: and the path of a file, whole or from the data folder {data_folder()} "
            "(MEDATTN_DATA names another); 'phantoms' and 'digits' need no file"
        )
    return read_npz(file, f"npz:{path}", size, seed=seed)


def read_npz(file: Path, name: str, size: int, classes: tuple[str, ...] | None = None, seed: int = 0) -> Dataset:
    """Read and check an existing file; the classes are those given, else class_names, else the labels' numbers."""
    arrays = _read(file)
    splits = {
        split: Split(_images(arrays, split, file), _labels(arrays, split, file))
        for split in SPLITS
        if f"{split}_images" in arrays
    }
    for split, part in splits.items():
        if len(part) == 0:
            hint = "; leave out both arrays of val, and a fifth of train validates" if split == "val" else ""
            raise ValueError(f"{file}: {split}_images are none{hint}")
    sides = {split: tuple(part.images.shape[1:]) for split, part in splits.items()}
    if len(set(sides.values())) > 1:
        raise ValueError(f"{file}: the splits' images differ in channels or size: {sides}")
    _, height, width = sides["train"]
    if height != width:
        raise ValueError(f"{file}: its images are {height} x {width}; only square ones can be used: crop or pad them")
    if height != size:
        raise ValueError(f"size={size}, but the images of {file} are {height} x {width}: load it with size={height}")
    if classes is None:
        classes = _classes(arrays, torch.cat([split.labels for split in splits.values()]), file)
    if "val" not in splits:
        train, val = train_val(splits["train"].labels, classes, seed)
        splits |= {"train": splits["train"].take(train), "val": splits["train"].take(val)}
    return Dataset(name, size, classes, **splits)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            held_out = not any(key in archive for key in KEYS if key.startswith("val"))
            missing = [key for key in KEYS if key not in archive and not (held_out and key.startswith("val"))]
            arrays = {key: archive[key] for key in (*KEYS, "class_names") if key in archive}
    except (BadZipFile, EOFError, OSError, ValueError, TypeError, AttributeError, zlib.error) as error:
        raise ValueError(
            f"{file} cannot be read ({error}): it must be an .npz file of plain arrays {', '.join(KEYS)}, and may be "
            "truncated or of another form; nothing pickled is loaded"
        ) from error
    if missing:
        raise ValueError(f"{file} has no {', '.join(missing)}: an .npz in MedMNIST's form has {', '.join(KEYS)}")
    return arrays


def _images(arrays: dict[str, np.ndarray], split: str, file: Path) -> torch.Tensor:
    images = arrays[f"{split}_images"]
    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))):
        raise ValueError(
            f"{file}: {split}_images are {images.dtype} {images.shape}; they must be uint8 (N, H, W) or (N, H, W, 3)"
        )
    images = torch.from_numpy(images)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def _labels(arrays: dict[str, np.ndarray], split: str, file: Path) -> torch.Tensor:
    labels, n = arrays[f"{split}_labels"], len(arrays[f"{split}_images"])
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(f"{file}: {split}_labels are {labels.shape}: several labels an image are not supported")
    if labels.dtype.kind not in "iu" or labels.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"{file}: {split}_labels are {labels.dtype} {labels.shape}; they must be whole numbers ({n},) or ({n}, 1), "
            "one for each image"
        )
    return torch.from_numpy(labels.reshape(n).astype(np.int64))


def _classes(arrays: dict[str, np.ndarray], labels: torch.Tensor, file: Path) -> tuple[str, ...]:
    if "class_names" in arrays:
        names = np.atleast_1d(arrays["class_names"])
        return tuple(map(str, np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))
    found = labels.unique().tolist()
    if found != list(range(len(found))):
        raise ValueError(f"{file}: its labels are {found[:10]}; they must be 0, 1, 2, ... with none left out")
    return tuple(str(label) for label in found)
