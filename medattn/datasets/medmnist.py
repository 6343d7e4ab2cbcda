"""The two-dimensional sets of MedMNIST at 28, 64, 128 and 224 px, as the official files with their checksums.

Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10, 41; names, addresses and checksums are those of the
`medmnist` package. Files lie in the data folder under medmnist/, named as MedMNIST names them.
"""

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from medmnist import INFO
from tqdm import tqdm

from medattn.datasets.busi_masks import with_masks
from medattn.datasets.dataset import Dataset
from medattn.datasets.on_disk import read_npz
from medattn.paths import data_folder, write_whole

NAMES = tuple(name for name in INFO if not name.endswith("3d"))
SIZES = (28, 64, 128, 224)
_BLOCK = 1 << 20  # bytes read at a time
_seen: dict[tuple[Path, int, int], str] = {}  # checksums, by path, length and time of the last change


def medmnist_file(name: str, size: int = 28) -> Path:
    """Say where the file of a set lies, or would lie."""
    if name not in NAMES:
        raise ValueError(f"name={name!r} is no two-dimensional set of MedMNIST: {', '.join(NAMES)}")
    if size not in SIZES:
        raise ValueError(f"size={size!r} is not one of {', '.join(map(str, SIZES))}, the sizes {name} comes in")
    return data_folder() / "medmnist" / f"{name}{_suffix(size)}.npz"


def is_supported(name: str) -> bool:
    """Say whether a set has one label an image, which is what this project trains on."""
    return "multi-label" not in INFO[name]["task"]


def load_medmnist(name: str, size: int = 28) -> Dataset:
    """Load a set after its checksum was found right; BreastMNIST with lesion masks where they are (`busi_masks`).

    Raises FileNotFoundError for a file that is not there, ValueError for one that is not the official file (truncated,
    altered) and for a set with several labels an image; each says what was expected and how to get it.
    """
    file = _supported_file(name, size)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}. {_how_to_get(name, size)}")
    found, expected = _checksum(file), INFO[name][f"MD5{_suffix(size)}"]
    if found != expected:
        raise ValueError(
            f"{file} is truncated or altered: its MD5 is {found}, not {expected}. Delete it first. "
            f"{_how_to_get(name, size)}"
        )
    labels = INFO[name]["label"]
    data = read_npz(file, name, size, tuple(labels[str(k)] for k in range(len(labels))))
    return with_masks(data) if name == "breastmnist" else data


def download(name: str, size: int = 28) -> Path:
    """Get the official file of a set, whole or not at all, and give its place; nothing is done when it is there.

    Raises ConnectionError when it cannot be fetched, ValueError when what came has another checksum.
    """
    file = _supported_file(name, size)
    url, expected = (INFO[name][f"{key}{_suffix(size)}"] for key in ("url", "MD5"))
    if file.is_file() and _checksum(file) == expected:
        return file
    try:
        with urlopen(url, timeout=60) as answer, write_whole(file) as part, part.open("wb") as out:
            length = int(answer.headers.get("Content-Length") or 0) or None
            digest = hashlib.md5(usedforsecurity=False)
            with tqdm(total=length, desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
                while block := answer.read(_BLOCK):
                    out.write(block)
                    digest.update(block)
                    bar.update(len(block))
            if digest.hexdigest() != expected:
                raise ValueError(
                    f"what came from {url} has the MD5 {digest.hexdigest()}, not {expected}, and was not kept: try "
                    f"again, or fetch the file elsewhere and put it at {file}"
                )
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{url} could not be fetched ({error}): is there a connection? Or fetch it elsewhere (MD5 {expected}) and "
            f"put it at {file}; 'phantoms' and 'digits' need no download"
        ) from error
    return file


def _supported_file(name: str, size: int) -> Path:
    file = medmnist_file(name, size)
    if not is_supported(name):
        raise ValueError(
            f"name={name!r} has several labels an image (multi-label), which is not supported: choose another set"
        )
    return file


def _suffix(size: int) -> str:
    return "" if size == 28 else f"_{size}"


def _checksum(file: Path) -> str:
    state = file.stat()
    key = (file.resolve(), state.st_size, state.st_mtime_ns)
    if key not in _seen:
        with file.open("rb") as opened:
            _seen[key] = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return _seen[key]


def _how_to_get(name: str, size: int) -> str:
    url, expected = (INFO[name][f"{key}{_suffix(size)}"] for key in ("url", "MD5"))
    command = f"medattn data --download {name}" + (f" --size {size}" if size != 28 else "")
    return (
        f"Run `{command}`, or fetch {url} (MD5 {expected}) and put it at {medmnist_file(name, size)} "
        "(MEDATTN_DATA names another data folder). "
        "'phantoms' and 'digits' need no download."
    )
