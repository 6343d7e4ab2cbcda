"""A data set's folder: its images and tables are read, and all problems are reported at once."""

import csv
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import numpy as np

from medattn.datasets.decoded import Row, decoded

HINT = "(MEDATTN_DATA names another data folder; 'phantoms' and 'digits' need no download.)"
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # Pillow's, up to 8 bits

MakeRow = Callable[[Path, np.ndarray], Row]


@dataclass
class Folder:
    """A data set's folder and the problems found in it; `layout` says how it must look."""

    path: Path
    layout: str
    problems: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, *names: str) -> None:
        """Note names under a kind of problem, such as "images without a label"."""
        if names:
            self.problems.setdefault(kind, []).extend(names)

    def raise_problems(self) -> None:
        """Raise ValueError with every kind of problem, its number and its first ten names."""
        if self.problems:
            lines = [f"{self.path} cannot be used as it is:"]
            for kind, names in self.problems.items():
                lines.append(f"  {len(names)} {kind}: {listed(names)}")
            raise ValueError("\n".join([*lines, self.layout]))

    def read_picture(self, file: Path, mode: str) -> np.ndarray | None:
        """Return an image as `read_picture` does; note one that cannot be read, and return None."""
        try:
            return read_picture(file, mode)
        except ValueError as error:
            self.note("images that cannot be read", f"{file.relative_to(self.path)} ({error})")
            return None

    def decode(self, name: str, files: Iterable[Path], make_row: MakeRow, mode: str = "RGB") -> Row:
        """Return the arrays that `make_row` makes of each image, from the cache or decoded now.

        Raises ValueError with all problems if there are no images, or if some cannot be read.
        """
        files = list(files)

        def rows() -> Iterator[Row]:
            all_read = True
            for file in files:
                image = self.read_picture(file, mode)
                all_read &= image is not None
                if image is not None:
                    yield make_row(file, image)
            if not all_read:
                self.raise_problems()

        if not files:
            self.problems.setdefault("folders without images", [self.path.name])
            self.raise_problems()
        return decoded(name, self.path, files, len(files), rows)

    def read_table(self, file: Path, columns: Iterable[str]) -> list[dict[str, str]]:
        """Return the rows of a CSV with a header, without blanks around cells or empty rows.

        A file that cannot be read or lacks one of the columns is noted, and gives no rows.
        """
        kind = "tables that cannot be used"
        try:
            with file.open(newline="", encoding="utf-8-sig") as opened:
                lines = [[cell.strip() for cell in line] for line in csv.reader(opened)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self.note(kind, f"{file.name} cannot be read ({error})")
            return []
        header = lines[0] if lines else []
        missing = ", ".join(column for column in columns if column not in header)
        if missing:
            present = ", ".join(filter(None, header)) or "none"
            self.note(kind, f"{file.name} has no column {missing}; its columns are {present}")
            return []
        rows = [line + [""] * (len(header) - len(line)) for line in lines[1:] if any(line)]
        return [{key: cell for key, cell in zip(header, row, strict=False) if key} for row in rows]

    def match_labels(self, labels: list[tuple[str, str]], images: Iterable[str]) -> dict[str, str]:
        """Return labels by image; note images with two labels or none, and absent ones."""
        by_image, times = dict(labels), Counter(image for image, _ in labels)
        self.note("images with two labels", *sorted(i for i, n in times.items() if n > 1))
        self.note("labelled images that are absent", *sorted(by_image.keys() - set(images)))
        self.note("images without a label", *sorted(set(images) - by_image.keys()))
        return by_image


def listed(names: list[str], most: int = 10) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def is_picture(file: Path) -> bool:
    """Return whether a file has an image's suffix and is not hidden."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def read_picture(file: Path, mode: str) -> np.ndarray:
    """Read an image as "RGB" (H, W, 3) or grey "L" (H, W), uint8; transparency is dropped.

    Raises ValueError for a file that cannot be read or has more than eight bits per channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode not in _MODES:
                raise ValueError(f"its pixels are {image.mode}, not 8 bits per channel")
            return np.asarray(image.convert(mode))
    except UnidentifiedImageError as error:
        raise ValueError("it is no image") from error
    except (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{error}") from error


@contextmanager
def fetching(url: str, remedy: str) -> Iterator[None]:
    """Turn errors of torchvision's downloads into ValueError or ConnectionError with a remedy."""
    try:
        yield
    except RuntimeError as error:
        altered = f"what came from {url} does not have the published MD5"
        raise ValueError(f"{altered} and is not used. {remedy}") from error
    except (OSError, HTTPException) as error:
        failed = f"{url} could not be fetched ({error}): is there a connection?"
        raise ConnectionError(f"{failed} {remedy} {HINT}") from error
