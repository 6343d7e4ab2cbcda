"""The reference pages: one page per room of the package, made from its docstrings by autodoc.

A docstring is plain text: paragraphs, `code`, `- ` items, code indented by four spaces, and columns
set apart by three.
"""

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from sphinx.application import Sphinx

FOLDER = "docs/api/"
CODE = re.compile(r" {4}|.*\S {3}")  # indented, or in columns
LABEL = re.compile(r"(Shape|Papers?|Sources?|Columns|Differs from the papers?):")
UNMARKED = re.compile(r"(`[^`]+`|https?://\S+)")  # what has no character to escape


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the pages and their docstrings with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("source-read", add_modules)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", rewrite_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_modules(app: Sphinx, name: str, source: list[str]) -> None:
    """Append its modules to the page of a room: `docs/api/attention` shows `medattn.attention`."""
    room = name.removeprefix(FOLDER)
    if room != name and room != "index":
        source[0] += "".join(section(module) for module in modules(f"medattn.{room}"))


def modules(room: str) -> list[ModuleType]:
    """Return a room and its modules, folders included, in the order of their names."""
    package = import_module(room)
    found = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{room}.")
    return [package, *(import_module(module.name) for module in found)]


def section(module: ModuleType) -> str:
    """Return a module's part of a page; a room's first part lists the names that it exports."""
    name = module.__name__
    directive = f".. automodule:: {name}\n   :members:\n   :ignore-module-all:"
    entries = f"\n```{{eval-rst}}\n{directive}\n```\n"
    if name.count(".") > 1:
        return f"\n## {name}\n{entries}" if module.__doc__ else ""
    names = ", ".join(link(module, exported) for exported in exports(module))
    return f"{entries}\n`from {name} import` {names}\n" if names else entries


def exports(module: ModuleType) -> list[str]:
    """Return the names that a room exports; a module on its own exports none."""
    if not hasattr(module, "__path__"):
        return []
    public = [n for n, value in vars(module).items() if n[0] != "_" and not inspect.ismodule(value)]
    return list(getattr(module, "__all__", public))


def link(module: ModuleType, name: str) -> str:
    """Return a link to the entry of an exported class or function, or the name of a constant."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{{py:obj}}`{name} <{value.__module__}.{value.__qualname__}>`"
    return f"`{name}`"


def skip_member(app, what, name, value, skip, options) -> bool | None:
    """Leave out the fields of named tuples, whose docstrings are only numbers."""
    return True if type(value).__name__ == "_tuplegetter" else None


def rewrite_docstring(app, what, name, value, options, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText, in place."""
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):  # a module, or a class of C
        names = []
    argument = re.compile(rf"((?:{'|'.join(names)})(?:, \w+)*):" if names else "(?!)")
    lines[:] = [line for block in blocks(lines, argument) for line in [*block.split("\n"), ""]]


def shorten_signature(app, what, name, value, options, signature, returned):
    """Show `Annotated[int, at_least(1)]` as `int`, and the factory of a default as an ellipsis."""
    if signature:
        signature = re.sub(r"Annotated\[([^,]+(?:\[.*?\])?), [^\]]*\]", r"\1", signature)
        return signature.replace("<factory>", "..."), returned


def blocks(lines: list[str], argument: re.Pattern) -> Iterator[str]:
    """Yield the paragraphs, list items and code blocks of a docstring as reStructuredText."""
    block: list[str] = []
    for line in [*lines, ""]:
        code, was_code = bool(CODE.match(line)), bool(block and CODE.match(block[0]))
        starts = line.startswith("- ") or LABEL.match(line) or argument.match(line)
        if block and (not line or starts or code != was_code):
            yield as_rst(block, argument)
            block = []
        if line:
            block.append(line)


def as_rst(block: list[str], argument: re.Pattern) -> str:
    """Return one block as reStructuredText in which only `code` and a label are marked up."""
    if CODE.match(block[0]):
        language = "python" if block[0][0] == " " else "text"
        return "\n".join([f".. code-block:: {language}", "", *(f"    {line}" for line in block)])
    text = " ".join(line.strip() for line in block)
    if text.startswith("- "):
        return f"- {escaped(text[2:])}"
    if found := LABEL.match(text):
        return f"**{found[0]}**{escaped(text[found.end() :])}"
    if found := argument.match(text):
        return f"- ``{found[1]}``:{escaped(text[found.end() :])}"
    return escaped(text)


def escaped(text: str) -> str:
    """Return text whose characters stand for themselves; `code` becomes a literal."""
    parts = UNMARKED.split(text)
    parts[::2] = [re.sub(r"([\\*_|<`])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{part[1:-1]}``\ " if part[0] == "`" else part for part in parts[1::2]]
    return "\\ " + "".join(parts)  # nothing at the start is taken for a list or a title
