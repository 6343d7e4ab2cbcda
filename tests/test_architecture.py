"""The house as docs/architecture.md draws it: the rooms, their order, and their size."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "medattn"
MAP = (ROOT / "docs" / "architecture.md").read_text()
ORDER = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", MAP, re.MULTILINE)
FILES = sorted(PACKAGE.rglob("*.py"))
BESIDE = {("datasets", "evaluation"), ("evaluation", "datasets")}


def module_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imports(file, top_level_only=False):
    """Return the modules of the package that a file imports."""
    tree = ast.parse(file.read_text())
    inner = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.If)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if top_level_only and node in inner:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medattn"):
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                found.add(deeper if deeper in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("medattn")}
    return found


def room(module):
    return module.split(".")[1] if "." in module else ""


def test_the_map_names_every_room():
    rooms = {room(module) for module in MODULES} - {""}
    assert set(ORDER) == rooms


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_room_imports_upwards(file):
    here = room(module_of(file))
    if not here:  # the face names rooms above it, lazily
        return
    for module in imports(file):
        there = room(module)
        if there and there != here:
            assert ORDER.index(there) < ORDER.index(here), f"{here} imports {module}"
            assert (here, there) not in BESIDE, f"{here} imports {module}"


def test_imports_have_no_circle():
    arrows = {name: imports(file, top_level_only=True) - {name} for name, file in MODULES.items()}
    done, path = set(), []

    def walk(name):
        assert name not in path, " -> ".join([*path, name])
        if name in done:
            return
        path.append(name)
        for target in arrows.get(name, ()):
            if target in MODULES and MODULES[target].name != "__init__.py":
                walk(target)
        path.pop()
        done.add(name)

    for name in MODULES:
        walk(name)


def test_the_house_stays_small():
    lengths = {file: len(file.read_text().splitlines()) for file in FILES}
    assert sum(lengths.values()) <= 10_500
    assert {str(file): n for file, n in lengths.items() if n > 330} == {}
    entries = [entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= 14


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("import medattn", "torch numpy pandas importlib.metadata"),
        ("from medattn import PPCR, insert_attention, record", "pandas sklearn timm matplotlib"),
        ("from medattn import Recipe, fit", "sklearn scipy pandas matplotlib torchvision medmnist"),
        ("from medattn.training.checks import check", "torch"),
    ],
)
def test_imports_are_cheap(line, absent):
    """What a line imports is held here; how long that takes is a benchmark."""
    first = (
        "import sys" if "torch" in absent.split() else "import sys, torch"
    )  # torch's own are its affair
    ours = f"{first}\n"
    ours += f"before = set(sys.modules)\n{line}\n"
    ours += f"print(*[name for name in {absent.split()} if name in set(sys.modules) - before])"
    done = subprocess.run([sys.executable, "-c", ours], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
