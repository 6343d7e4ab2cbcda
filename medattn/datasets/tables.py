"""Tables of labels: CSV files as people keep them, and whether labels and images fit each other."""

import csv
from collections.abc import Iterable
from pathlib import Path

from medattn.datasets.problems import Problems


def read_table(file: Path, *columns: str) -> list[dict[str, str]]:
    """Read a CSV with a header, as rows by column; blanks around names and cells go, as do empty rows.

    Raises ValueError where it is no such file or has not these columns.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header, *lines = [[cell.strip() for cell in line] for line in csv.reader(opened)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file.name} cannot be read ({error})") from error
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(filter(None, header)) or "none"
        raise ValueError(f"{file.name} has no column {', '.join(missing)}; its columns are {found}")
    filled = [line + [""] * (len(header) - len(line)) for line in lines if any(line)]
    return [{column: cell for column, cell in zip(header, line, strict=False) if column} for line in filled]


def one_label_each(labels: Iterable[tuple[str, str]], images: Iterable[str], problems: Problems) -> dict[str, str]:
    """Give the labels by image; note images with two labels, with none, and labelled ones that are absent."""
    found: dict[str, str] = {}
    twice = set()
    for image, label in labels:
        if image in found:
            twice.add(image)
        found[image] = label
    problems.add("images with two labels", *sorted(twice))
    problems.add("labelled images that are absent", *sorted(found.keys() - set(images)))
    problems.add("images without a label", *sorted(set(images) - found.keys()))
    return found
