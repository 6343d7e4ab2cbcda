"""What is wrong with a data set's files, collected by kind and said at once: nobody mends a folder file by file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHOWN = 10  # names of a kind


class Problems:
    """The problems found with the set in `folder`; `advice` says what is right, and ends the message."""

    def __init__(self, folder: Path, advice: str):
        self.folder = folder
        self.advice = advice
        self.found: dict[str, list[str]] = {}

    def add(self, kind: str, *names: str) -> None:
        """Note names under a kind of problem, such as "images without a label"."""
        if names:
            self.found.setdefault(kind, []).extend(names)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Go on after an error within that the problems explain: `raise_any` tells them, with those yet to find."""
        try:
            yield
        except ValueError:
            if not self.found:
                raise

    def raise_any(self) -> None:
        """Raise ValueError with every kind, the first ten of its names and how many more there are, if there is any."""
        if not self.found:
            return
        kinds = [f"  {len(names)} {kind}: {_listed(names)}" for kind, names in self.found.items()]
        raise ValueError("\n".join([f"{self.folder} cannot be used as it is:", *kinds, self.advice]))


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
