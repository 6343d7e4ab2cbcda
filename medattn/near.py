"""What a misspelt name may have been meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: object, names: Iterable[str]) -> str:
    """Give " (did you mean 'ppcr'?)", to go behind the misspelt name; nothing where no name is like it."""
    found = get_close_matches(str(name), names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
