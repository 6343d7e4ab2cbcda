"""Any .npz file in MedMNIST's form.

Its arrays are {train,val,test}_images, uint8 (N, H, W) grey or (N, H, W, 3) colour,
{train,val,test}_labels, whole numbers (N,) or (N, 1) from 0, and optionally class_names (K,).
Without both arrays of val, a fifth of train is held out by seed. Nothing pickled is loaded.
"""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from medattn.datasets.dataset import SPLITS, Dataset, Split
from medattn.datasets.files import HINT
from medattn.datasets.splits import train_val
from medattn.paths import data_folder

_KEYS = tuple(f"{split}_{what}" for split in SPLITS for what in ("images", "labels"))
_BROKEN = (BadZipFile, EOFError, OSError, ValueError, TypeError, AttributeError, zlib.error)


def load_npz(path: str | Path, size: int, seed: int = 0) -> Dataset:
    """Load any .npz in MedMNIST's form; a relative path starts at the data folder."""
    file = data_folder() / Path(path).expanduser()
    if not file.is_file():
        start = f"npz: takes a whole path, or one from the data folder {data_folder()}"
        raise FileNotFoundError(f"there is no file {file}: {start} {HINT}")
    return read_npz(file, f"npz:{path}", size, seed=seed)


def read_npz(
    file: Path, name: str, size: int, classes: tuple[str, ...] | None = None, seed: int = 0
) -> Dataset:
    """Read and check a file; its classes are those given, else class_names, else the numbers."""
    arrays = _read(file)
    splits = {key: _split(arrays, key, file) for key in SPLITS if f"{key}_images" in arrays}
    forms = {key: tuple(split.images.shape[1:]) for key, split in splits.items()}
    if len(set(forms.values())) > 1:
        raise ValueError(f"{file}: the splits' images differ in channels or size: {forms}")
    _, height, width = forms["train"]
    if (height, width) != (size, size):
        form = f"the images of {file} are {height} x {width}"
        fit = f"load it with size={height}" if height == width else "crop or pad them to a square"
        raise ValueError(f"size={size}, but {form}: {fit}")
    if classes is None:
        classes = _classes(arrays, torch.cat([split.labels for split in splits.values()]), file)
    if "val" not in splits:
        pool = splits["train"]
        train, val = train_val(pool.labels, classes, seed)
        splits |= {"train": pool.take(train), "val": pool.take(val)}
    return Dataset(name, size, classes, splits["train"], splits["val"], splits["test"])


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in (*_KEYS, "class_names") if key in archive}
    except _BROKEN as error:
        form = f"it must be an .npz file of plain arrays {', '.join(_KEYS)}"
        hint = "it may be truncated; nothing pickled is loaded"
        raise ValueError(f"{file} cannot be read ({error}): {form}; {hint}") from error
    has_val = "val_images" in arrays or "val_labels" in arrays
    needed = [key for key in _KEYS if has_val or not key.startswith("val")]
    missing = ", ".join(key for key in needed if key not in arrays)
    if missing:
        raise ValueError(f"{file} has no {missing}: MedMNIST's form has {', '.join(_KEYS)}")
    return arrays


def _split(arrays: dict[str, np.ndarray], name: str, file: Path) -> Split:
    """Return a checked split. Shape: images (N, C, H, W), labels (N,)."""
    pixels, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
    form, n = pixels.shape, len(pixels)
    if pixels.dtype != np.uint8 or not (len(form) == 3 or (len(form) == 4 and form[3] in (1, 3))):
        allowed = "they must be uint8 (N, H, W) or (N, H, W, 3)"
        raise ValueError(f"{file}: {name}_images are {pixels.dtype} {form}; {allowed}")
    what = f"{file}: {name}_labels are {labels.dtype} {labels.shape}"
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(f"{what}: several labels per image are not supported")
    if labels.dtype.kind not in "iu" or labels.shape not in ((n,), (n, 1)):
        raise ValueError(f"{what}; they must be whole numbers ({n},) or ({n}, 1), one per image")
    if n == 0:
        hint = "; without both arrays of val, a fifth of train is held out" if name == "val" else ""
        raise ValueError(f"{file}: {name}_images are empty{hint}")
    images = torch.from_numpy(pixels)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.from_numpy(labels.reshape(n).astype(np.int64)))


def _classes(arrays: dict[str, np.ndarray], labels: torch.Tensor, file: Path) -> tuple[str, ...]:
    if "class_names" in arrays:
        names = np.atleast_1d(arrays["class_names"])
        return tuple(map(str, np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))
    numbers = labels.unique().tolist()
    if numbers != list(range(len(numbers))):
        raise ValueError(f"{file}: its labels are {numbers[:10]}, not 0, 1, 2, ... without gaps")
    return tuple(map(str, numbers))
