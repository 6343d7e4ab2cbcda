"""Where things lie, and how a file is written: whole, or not at all, and by one process at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

_checkout = Path(__file__).resolve().parents[1]
ROOT = _checkout if (_checkout / "notebooks").is_dir() else Path.cwd()


def data_folder() -> Path:
    """Give the folder of the data sets: `MEDATTN_DATA`, or `data/cache` of the checkout."""
    return Path(os.environ.get("MEDATTN_DATA") or ROOT / "data" / "cache")


def cache_folder() -> Path:
    """Give the folder of decoded data sets: `MEDATTN_CACHE`, or `data/cache/decoded` of the checkout."""
    return Path(os.environ.get("MEDATTN_CACHE") or ROOT / "data" / "cache" / "decoded")


def runs_folder() -> Path:
    """Give the folder of the training runs: `MEDATTN_RUNS`, or `data/runs` of the checkout."""
    return Path(os.environ.get("MEDATTN_RUNS") or ROOT / "data" / "runs")


def results_folder() -> Path:
    """Give the folder of the recorded results, which are committed."""
    return ROOT / "data" / "results"


def papers_folder() -> Path:
    """Give the folder of the papers' printed tables, which are committed."""
    return ROOT / "data" / "papers"


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the place of `path` when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    part = folder / path.name
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())  # on disk before the name points to it
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        folder.rmdir()


class Busy(Exception):
    """Another process holds what was asked for."""


@contextmanager
def held(folder: Path, wait: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a folder for this process; another that wants it waits, or gets Busy. `waiting` is called before a wait.

    The operating system lets go of what a killed process held. On a network drive the drive must know `flock`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise Busy(f"{folder} is held by another process") from None
        if waiting:
            waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
