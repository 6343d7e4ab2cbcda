"""Check a value by its annotation: the fields of a recipe, the parameters of a notebook.

`check("epochs", Annotated[int, at_least(1)], 3)` returns 3, and raises ValueError for 0 or "3".
An annotation is int, float, str, bool, a `list[...]` or `tuple[..., ...]` of one of these, or
`Mapping[str, Any]`. It may stand in `... | None`, and in `Annotated` with constraints.
Text, such as a value on the command line, goes through `parse` first. Torch is not imported here.
"""

import ast
import math
from collections.abc import Callable, Collection, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

Constraint = tuple[Callable[[Any], bool], str]  # a condition, and the message for a value without
WORDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}


def at_least(bound: float) -> Constraint:
    """Require a number that is `bound` or more."""
    return lambda value: value >= bound, f"must be {bound} or more"


def above(bound: float) -> Constraint:
    """Require a number above `bound`."""
    return lambda value: value > bound, f"must be above {bound}"


def one_of(choices: Collection[str]) -> Constraint:
    """Require one of `choices`, such as the keys of a registry."""
    return lambda value: value in choices, f"is unknown; there are {', '.join(choices)}"


def check(name: str, annotation: Any, value: Any) -> Any:
    """Return the value in its annotated type: an int as a float, a list as a tuple.

    Raises ValueError naming the field, the value and what is allowed.
    """
    try:
        return _typed(annotation, value)
    except ValueError as error:
        raise ValueError(f"{name}={value!r} {error}") from None


def parse(annotation: Any, text: str) -> Any:
    """Return the value that a text writes, or the text if it does not fit, for `check` to refuse.

    A list is written `1,2` or `[1, 2]`. A comma inside an item needs brackets and quotes.
    """
    kind = annotation
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) in (list, tuple):
        return [parse(get_args(kind)[0], item) for item in _split(text.strip())]
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        return text


def _typed(kind: Any, value: Any) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        value = _typed(parts[0], value)
        for holds, message in parts[1:]:
            if not holds(value):
                raise ValueError(message)
        return value
    if origin in (Union, UnionType):
        [inner] = [part for part in parts if part is not NoneType]
        try:
            return None if value is None else _typed(inner, value)
        except ValueError as error:
            raise ValueError(f"{error}, or None") from None
    if origin in (list, tuple):
        try:
            if isinstance(value, list | tuple):
                return origin(_typed(parts[0], item) for item in value)
        except ValueError:
            pass
        raise ValueError(f"must be a list, and each of its items {WORDS[parts[0]]}")
    if origin is Mapping:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: _plain(value[key]) for key in sorted(value)}
        raise ValueError("must be a mapping from names to values")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ValueError(f"must be {WORDS[kind]}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or type(value) in WORDS:
        return value
    raise ValueError(f"has the value {value!r}; allowed are numbers, text, true, false, and lists")


def _split(text: str) -> list[str]:
    if text[:1] + text[-1:] in ("[]", "()"):
        try:
            return [str(item) for item in ast.literal_eval(text)]
        except (ValueError, SyntaxError, TypeError):  # its items are not quoted
            text = text[1:-1].strip()
    return [item.strip() for item in text.removesuffix(",").split(",")] if text else []
