"""Image files as arrays, eight bits a channel; what cannot be read is collected, not passed over."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from medattn.datasets.problems import Problems

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # Pillow's, of at most 8 bits a channel
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def is_picture(file: Path) -> bool:
    """Say whether a file's name is an image's; hidden files are none."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def read_picture(file: Path, mode: str) -> np.ndarray:
    """Read an image as "RGB" (H, W, 3) or grey, "L" (H, W), uint8; palettes are resolved, transparency is dropped.

    Raises ValueError with the reason where it cannot be read or has more than eight bits a channel.
    """
    try:
        with Image.open(file) as image:
            if image.mode not in _MODES:
                raise ValueError(f"its pixels are {image.mode}, not 8 bits a channel")
            return np.asarray(image.convert(mode))
    except UnidentifiedImageError as error:
        raise ValueError("it is no image") from error
    except _BROKEN as error:
        raise ValueError(f"{error}") from error


def read_or_note(file: Path, mode: str, problems: Problems) -> np.ndarray | None:
    """Read an image as `read_picture` does; where it cannot be read, note that and give None."""
    try:
        return read_picture(file, mode)
    except ValueError as error:
        problems.add("images that cannot be read", f"{file.relative_to(problems.folder)} ({error})")
        return None


def read_pictures(files: Iterable[Path], mode: str, problems: Problems) -> Iterator[tuple[Path, np.ndarray]]:
    """Give the images one by one with their files.

    Raises ValueError after the last, with all `problems`, where one could not be read.
    """
    all_read = True
    for file in files:
        image = read_or_note(file, mode, problems)
        if image is None:
            all_read = False
        else:
            yield file, image
    if not all_read:
        problems.raise_any()
