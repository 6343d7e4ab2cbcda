"""Where files lie, how they are written and locked, and hints for misspelt names."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import mkdtemp

_CHECKOUT = Path(__file__).resolve().parents[1]
ROOT = _CHECKOUT if (_CHECKOUT / "notebooks").is_dir() else Path.cwd()


def data_folder() -> Path:
    """Return the folder of the data sets: `MEDATTN_DATA`, or data/cache of the checkout."""
    return Path(os.environ.get("MEDATTN_DATA") or ROOT / "data" / "cache")


def cache_folder() -> Path:
    """Return the folder of decoded images: `MEDATTN_CACHE`, or data/cache/decoded."""
    return Path(os.environ.get("MEDATTN_CACHE") or ROOT / "data" / "cache" / "decoded")


def runs_folder() -> Path:
    """Return the folder of the training runs: `MEDATTN_RUNS`, or data/runs of the checkout."""
    return Path(os.environ.get("MEDATTN_RUNS") or ROOT / "data" / "runs")


def results_folder() -> Path:
    """Return the folder of the committed results."""
    return ROOT / "data" / "results"


def papers_folder() -> Path:
    """Return the folder of the papers' printed tables."""
    return ROOT / "data" / "papers"


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` if the block ends without an error."""
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
    """Another process has locked the folder."""


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Lock a folder for this process. If another process has it, wait, or raise Busy.

    The system unlocks what a killed process held. A network drive must support `flock`.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=-1 if wait else 0):
            yield
    except Timeout:
        raise Busy(f"{folder} is locked by another process") from None


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return " (did you mean 'ppcr'?)" for a misspelt name, or "" if no name is similar."""
    matches = get_close_matches(str(name), names, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
