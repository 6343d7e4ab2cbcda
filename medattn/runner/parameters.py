"""The parameters of a notebook: read from its cell tagged `parameters`, and given other values.

A line of the cell is `name: type = default  # meaning`. The type is int, float, str, bool, or a
list or tuple of these. Differs from papermill, which only warns of a wrong name and takes any type.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, get_args

import yaml

from medattn.paths import did_you_mean
from medattn.runner.notebook import Notebook, tags
from medattn.training.checks import check, parse

SCALARS = (int, float, str, bool)
TYPES: dict[str, Any] = {kind.__name__: kind for kind in SCALARS}
TYPES |= {f"list[{kind.__name__}]": GenericAlias(list, kind) for kind in SCALARS}
TYPES |= {f"tuple[{kind.__name__}, ...]": GenericAlias(tuple, (kind, ...)) for kind in SCALARS}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    type: str  # as written: a name in TYPES
    default: Any
    meaning: str

    def __str__(self) -> str:
        return f"{self.name}: {self.type} = {self.default!r}  # {self.meaning}"


def read_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name. Raises ValueError for a cell of another form."""
    cells = [cell for cell in notebook.read()["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells if "parameters" in tags(cell)]
    where = f"notebook {notebook.name}"
    if len(sources) != 1:
        raise ValueError(f"{where} has {len(sources)} code cells tagged `parameters`; it needs one")
    try:
        return parse_cell(sources[0])
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{where}, parameters cell: {error}") from error


def parse_cell(source: str) -> dict[str, Parameter]:
    """Return the parameters of a cell by name. Raises ValueError naming a line of another form."""
    parameters: dict[str, Parameter] = {}
    lines = [line.encode() for line in source.splitlines()]  # ast counts columns in bytes
    for statement in ast.parse(source).body:
        last = lines[(statement.end_lineno or statement.lineno) - 1]
        meaning = last[statement.end_col_offset :].decode().partition("#")[2].strip()
        try:
            parameter = _parameter(statement, meaning)
            if parameter.name in parameters:
                raise ValueError(f"names {parameter.name} a second time")
        except ValueError as error:
            line = lines[statement.lineno - 1].decode().strip()
            raise ValueError(f"line {statement.lineno}, `{line}`, {error}") from error
        parameters[parameter.name] = parameter
    return parameters


def _parameter(statement: ast.stmt, meaning: str) -> Parameter:
    match statement:
        case ast.AnnAssign(ast.Name(name), annotation, ast.expr() as value) if meaning:
            kind = ast.unparse(annotation)
        case _:
            raise ValueError("is not of the form `name: type = default  # meaning`")
    if kind not in TYPES:
        raise ValueError(f"has the type {kind}; allowed are {', '.join(TYPES)}")
    try:
        default = ast.literal_eval(value)
    except ValueError as error:
        raise ValueError("has a default that is computed; write a plain value") from error
    if repr(check(name, TYPES[kind], default)) != repr(default):  # 1 is no float here
        raise ValueError(f"has a default that is not of type {kind}")
    return Parameter(name, kind, default, meaning)


def settings(notebook: Notebook, given: Mapping[str, str], paper: bool = False) -> dict[str, Any]:
    """Return the values of a run that differ from the defaults.

    given: text by name (`-p`). paper: begin with the notebook's paper settings.
    Raises ValueError for an unknown name, a wrong type, or paper settings that do not exist.
    """
    parameters, values = read_parameters(notebook), {}
    if paper:
        where = str(notebook.paper_settings.relative_to(notebook.root))
        if not notebook.paper_settings.is_file():
            raise ValueError(f"notebook {notebook.name} has no paper settings: there is no {where}")
        try:
            listed = dict(yaml.safe_load(notebook.paper_settings.read_text(encoding="utf-8")))
        except (yaml.YAMLError, TypeError) as error:
            raise ValueError(f"{where} has no YAML lines `name: value`: {error}") from error
        values = choose(parameters, listed, where)
    return values | choose(parameters, given, f"notebook {notebook.name}")


def choose(parameters: dict[str, Parameter], given: Mapping[str, Any], where: str) -> dict:
    """Return the given text or YAML values, by name, in the types of their parameters.

    where: their origin, for messages. Raises ValueError for an unknown name or a wrong type.
    """
    values = {}
    for name, value in given.items():
        try:
            if name not in parameters:
                raise ValueError(f"there is no parameter {name!r}{did_you_mean(name, parameters)}")
            annotation = TYPES[parameters[name].type]
            values[name] = check(name, annotation, _parsed(annotation, value))
        except ValueError as error:
            lines = "".join(f"\n  {parameter}" for parameter in parameters.values()) or " none"
            raise ValueError(f"{where}: {error}; its parameters are{lines}") from error
    return values


def _parsed(annotation: Any, value: Any) -> Any:
    if isinstance(value, list | tuple) and get_args(annotation):
        return [_parsed(get_args(annotation)[0], item) for item in value]
    return parse(annotation, value) if isinstance(value, str) else value  # YAML: 1e-3 is text
