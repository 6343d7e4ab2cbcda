"""The cache of decoded sets: arrays as memory-mapped .npy files, remade when their files change.

A set's folder in the cache is named by the set, its folder, and a fingerprint of its files. It has
one .npy per array, and contents.json with the fingerprint and every checksum. It is renamed to its
place as the last step, so that a killed run leaves nothing that is read.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from medattn.paths import cache_folder

_VERSION = 1  # rises when other arrays are made of the same files
_CONTENTS = "contents.json"
_ELSEWHERE = "MEDATTN_CACHE names another folder"

Row = dict[str, np.ndarray]


def decoded(
    name: str, root: Path, files: Sequence[Path], n: int, rows: Callable[[], Iterator[Row]]
) -> Row:
    """Return a set's arrays by name, from the cache or made now.

    They are remade when names, lengths or times of `files`, within `root`, change. `rows` yields
    `n` rows, one per image. Raises OSError if the cache cannot be written, and what `rows` raises.
    Shape: (n, *shape in a row), memory-mapped; changes to the arrays stay in memory.
    """
    stats = [(file.relative_to(root).as_posix(), file.stat()) for file in sorted(files)]
    states = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    fingerprint = _digest(json.dumps([_VERSION, *states]))
    series = f"{name}-{_digest(str(root.resolve()))[:8]}-"
    folder = cache_folder() / (series + fingerprint[:16])
    arrays = _open(folder, fingerprint)
    if arrays is None:
        _build(folder, fingerprint, n, rows)
        for other in folder.parent.iterdir():
            if other.name.startswith(series) and other != folder:  # made before the files changed
                shutil.rmtree(other, ignore_errors=True)
        arrays = _open(folder, fingerprint)
    if arrays is None:
        raise OSError(f"{folder} was written and cannot be read: check the disk. {_ELSEWHERE}")
    return arrays


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _open(folder: Path, fingerprint: str) -> Row | None:
    """Return the arrays, or None if they are missing, damaged or made of other files."""
    try:
        contents = json.loads((folder / _CONTENTS).read_text())
        files = {folder / f"{key}.npy": value for key, value in contents["sha256"].items()}
        if contents["fingerprint"] != fingerprint:
            return None
        if any(_checksum(file) != checksum for file, checksum in files.items()):
            return None
        # "c", copy on write: torch warns of read-only memory
        return {file.stem: np.load(file, mmap_mode="c", allow_pickle=False) for file in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _build(folder: Path, fingerprint: str, n: int, rows: Callable[[], Iterator[Row]]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        hidden = f".{folder.name}."
        with TemporaryDirectory("", hidden, folder.parent, ignore_cleanup_errors=True) as temporary:
            part = Path(temporary) / folder.name
            part.mkdir()
            keys = _write(part, tqdm(rows(), f"decode {folder.name}", n, disable=None), n)
            checksums = {key: _checksum(part / f"{key}.npy") for key in keys}
            contents = {"fingerprint": fingerprint, "sha256": checksums}
            (part / _CONTENTS).write_text(json.dumps(contents, indent=1) + "\n")
            try:
                part.rename(folder)
            except OSError:  # it exists: another process was faster, or it is damaged
                if _open(folder, fingerprint) is None:
                    shutil.rmtree(folder, ignore_errors=True)
                    part.rename(folder)
    except OSError as error:
        kept = f"the decoded images cannot be kept in {folder.parent} ({error})"
        raise OSError(f"{kept}: {_ELSEWHERE}") from error


def _write(folder: Path, rows: Iterator[Row], n: int) -> list[str]:
    """Write the rows one by one into memory-mapped files; return the names of the arrays."""
    arrays: dict[str, np.memmap] = {}
    for i, row in enumerate(rows):
        for key, values in row.items():
            if key not in arrays:
                if shutil.disk_usage(folder).free < n * values.nbytes:  # a later write would crash
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file, shape = folder / f"{key}.npy", (n, *values.shape)
                arrays[key] = np.lib.format.open_memmap(file, "w+", values.dtype, shape)
            arrays[key][i] = values
    for array in arrays.values():
        array.flush()  # on disk before the folder has its name
    return list(arrays)
