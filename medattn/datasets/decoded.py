"""Decoded once: a set's arrays, kept as .npy files that are opened memory-mapped, and rebuilt when its files change.

A set's folder in the cache is named by the set, the folder it comes from and a fingerprint of its files. It holds one
.npy for each array and contents.json, with the fingerprint and every file's checksum. It is written beside its place,
row by row, and takes its name as the last step: a run that is killed leaves nothing that a later one would read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from tqdm import tqdm

from medattn.paths import cache_folder

_FORM = 1  # rises when other arrays are made of the same files
_CONTENTS = "contents.json"

Row = dict[str, np.ndarray]


def decoded(name: str, root: Path, files: Sequence[Path], n: int, rows: Callable[[], Iterator[Row]]) -> Row:
    """Give a set's arrays by name, from the cache or made now.

    `files` are those the arrays are made of, within `root`; what they are called, how long they are and when they
    changed is compared. `rows` makes the `n` rows, one image each: arrays by name, of the same shapes in every row.
    Shape: (n, *shape of a row); memory-mapped, and changes to them stay in memory.
    Raises OSError where the cache cannot be written, and what `rows` raises; then nothing is kept.
    """
    fingerprint = _fingerprint(root, files)
    series = f"{name}-{_digest(str(root.resolve()))[:8]}-"
    folder = cache_folder() / (series + fingerprint[:16])
    arrays = _open(folder, fingerprint)
    if arrays is None:
        _build(folder, fingerprint, n, rows)
        for other in folder.parent.iterdir():
            if other.name.startswith(series) and other != folder:  # of the same files, before they changed
                shutil.rmtree(other, ignore_errors=True)
        arrays = _open(folder, fingerprint)
    if arrays is None:
        raise OSError(f"{folder} was written and cannot be read: is the disk sound? MEDATTN_CACHE names another folder")
    return arrays


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fingerprint(root: Path, files: Sequence[Path]) -> str:
    states = [(file.relative_to(root).as_posix(), file.stat()) for file in sorted(files)]
    return _digest(json.dumps([_FORM, *((name, state.st_size, state.st_mtime_ns) for name, state in states)]))


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _open(folder: Path, fingerprint: str) -> Row | None:
    """Give the arrays, or None where there are none, or not the right ones, or damaged ones."""
    try:
        contents = json.loads((folder / _CONTENTS).read_text())
        checksums = contents["sha256"]
        if contents["fingerprint"] != fingerprint:
            return None
        if any(_checksum(folder / f"{key}.npy") != checksum for key, checksum in checksums.items()):
            return None
        # "c": copied on writing, so that torch has no read-only memory to warn of
        return {key: np.load(folder / f"{key}.npy", mmap_mode="c", allow_pickle=False) for key in checksums}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _build(folder: Path, fingerprint: str, n: int, rows: Callable[[], Iterator[Row]]) -> None:
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        part = temporary / folder.name
        part.mkdir()
        checksums = {key: _checksum(part / f"{key}.npy") for key in _write(part, n, rows())}
        (part / _CONTENTS).write_text(json.dumps({"fingerprint": fingerprint, "sha256": checksums}, indent=1) + "\n")
        _put(part, folder, fingerprint)
    except OSError as error:
        raise OSError(
            f"the decoded images cannot be kept in {folder.parent} ({error}): MEDATTN_CACHE names another folder"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _put(part: Path, folder: Path, fingerprint: str) -> None:
    try:
        part.rename(folder)
    except OSError:  # there is one already: another process was faster, or it is broken
        if _open(folder, fingerprint) is None:
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)


def _write(part: Path, n: int, rows: Iterator[Row]) -> list[str]:
    """Write the rows one after the other, so that one lies in memory; give the arrays' names."""
    files = {}
    with ExitStack() as opened:
        for row in tqdm(rows, desc=f"decode {part.name}", total=n, disable=None):
            for key, array in row.items():
                if key not in files:
                    files[key] = opened.enter_context((part / f"{key}.npy").open("wb"))
                    described = np.lib.format.dtype_to_descr(array.dtype)
                    header = {"descr": described, "fortran_order": False, "shape": (n, *array.shape)}
                    np.lib.format.write_array_header_1_0(files[key], header)
                files[key].write(array.tobytes())
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())  # on disk before the folder has its name
    return list(files)
