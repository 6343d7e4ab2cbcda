"""The parameters of a notebook: read from its cell tagged `parameters`, and given values of these types.

The cell is a list of `name: type = default  # meaning`: int, float, str, bool, or a list or tuple of these.
Differs from papermill, whose types are loose (`-p flag false` is true, an unknown name only warns): a value
is parsed by the type of its parameter, and what does not fit is refused with the parameters there are.
"""

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medattn.near import near
from medattn.notebooks.folder import Notebook

FORM = "`name: type = default  # meaning`"
SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
WANTED = {
    "int": "a whole number",
    "float": "a number",
    "str": "text (in YAML: in quotes)",
    "bool": "true or false",
}
LISTS = {f"list[{kind}]": (list, kind) for kind in SCALARS} | {f"tuple[{kind}, ...]": (tuple, kind) for kind in SCALARS}
ALLOWED = "int, float, str, bool, list[...] or tuple[..., ...] of one of these"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    type: str  # as written: "int", "list[str]", "tuple[int, ...]"
    default: Any
    meaning: str

    def __str__(self) -> str:
        return f"{self.name}: {self.type} = {self.default!r}  # {self.meaning}"


def read_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """Read the parameters of a notebook by name. Raises ValueError where its cell has another form."""
    cells = notebook.read()["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", []) and c["cell_type"] == "code"]
    if len(tagged) != 1:
        raise ValueError(f"notebook {notebook.name} has {len(tagged)} code cells tagged `parameters`; it needs one")
    try:
        return parse_cell("".join(tagged[0]["source"]))
    except ValueError as error:
        raise ValueError(f"notebook {notebook.name}, parameters cell: {error}") from error


def parse_cell(source: str) -> dict[str, Parameter]:
    """Read the lines of a parameters cell. Raises ValueError naming the line that has another form."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno} is not Python: {error.msg}") from error
    parameters: dict[str, Parameter] = {}
    lines = source.splitlines()
    for statement in statements:
        place = f"line {statement.lineno}, `{lines[statement.lineno - 1].strip()}`,"
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise ValueError(f"{place} is not of the form {FORM}")
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        if kind not in SCALARS and kind not in LISTS:
            raise ValueError(f"{place} has the type {kind}; allowed are {ALLOWED}")
        if name in parameters:
            raise ValueError(f"{place} names {name} a second time")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError as error:
            raise ValueError(f"{place} has a default that is computed; a plain value is needed") from error
        if not _is(default, kind):
            raise ValueError(f"{place} has a default that is no {kind}")
        rest = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode().strip()
        meaning = rest.removeprefix("#").strip()
        if not rest.startswith("#") or not meaning:
            raise ValueError(f"{place} does not say what it means; the form is {FORM}")
        parameters[name] = Parameter(name, kind, default, meaning)
    return parameters


def choose(parameters: Mapping[str, Parameter], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Give the values for a run: those given, each of its parameter's type.

    given: text (`-p`) or YAML values by name; text is parsed by the parameter's type, so "1e-3" is a float.
    where: who asked, for the message. Raises ValueError on an unknown name or a wrong type, and lists all.
    """
    values = {}
    for name, value in given.items():
        if name not in parameters:
            hint = near(name, parameters)
            raise ValueError(f"{where}: there is no parameter {name!r}{hint}; {_listed(parameters)}")
        try:
            values[name] = convert(value, parameters[name].type)
        except ValueError as error:
            raise ValueError(f"{where}: {name}={value!r} {error}; {_listed(parameters)}") from error
    return values


def convert(value: Any, kind: str) -> Any:
    """Give a value of the type `kind`, from text or a YAML value, or raise ValueError saying what is due."""
    if kind in SCALARS:
        return _scalar(value, kind)
    outer, inner = LISTS[kind]
    items = _split(value) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("is not a list: write 1,2,3 or [1,2,3]")
    return outer(_scalar(item, inner) for item in items)


def _scalar(value: Any, kind: str) -> Any:
    parsed = _parsed(value.strip(), kind) if isinstance(value, str) and kind != "str" else value
    if kind == "float" and type(parsed) is int:
        parsed = float(parsed)
    if type(parsed) is not SCALARS[kind] or (kind == "float" and not math.isfinite(parsed)):
        raise ValueError(f"is not {WANTED[kind]}")
    return parsed


def _parsed(text: str, kind: str) -> Any:
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower())
    try:
        return SCALARS[kind](text)
    except ValueError:
        return None


def _split(text: str) -> list[str]:
    """Split `0,1,2`, `[0, 1, 2]`, `a,b`, `["a", "b,c"]`; a comma inside a text needs brackets and quotes."""
    text = text.strip()
    if text[:1] + text[-1:] in ("[]", "()"):
        try:
            items = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            items = None
        if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
            return list(items)
        text = text[1:-1].strip()
    items = [item.strip() for item in text.split(",")] if text else []
    return items[:-1] if items and not items[-1] else items  # a trailing comma ends the list


def _is(value: Any, kind: str) -> bool:
    if kind in SCALARS:
        return type(value) is SCALARS[kind]
    outer, inner = LISTS[kind]
    return type(value) is outer and all(type(item) is SCALARS[inner] for item in value)


def _listed(parameters: Mapping[str, Parameter]) -> str:
    if not parameters:
        return "it has no parameters"
    return "its parameters are\n" + "\n".join(f"  {parameter}" for parameter in parameters.values())
