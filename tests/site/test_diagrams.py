"""Diagrams: drawn by code, small, and used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medattn.paths import ROOT

FOLDER = ROOT / "docs" / "diagrams"
DIAGRAMS = sorted(FOLDER.glob("*.svg"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagrams")
    subprocess.run([sys.executable, FOLDER / "draw.py", folder], check=True)
    return folder


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda path: path.stem)
def test_a_stored_diagram_is_what_the_code_draws(drawn, diagram):
    stored, new = (path.read_text(encoding="utf-8") for path in (diagram, drawn / diagram.name))
    assert re.findall(r"<!-- (.*?) -->", stored) == re.findall(r"<!-- (.*?) -->", new)  # its words
    assert len(re.findall(r"<path", stored)) == len(re.findall(r"<path", new))
    assert re.findall(r'viewBox="0 0 648 [\d.]+"', stored)  # 9 inches
    assert diagram.stat().st_size < 120_000


def test_a_drawing_has_the_same_bytes_again(drawn, tmp_path):
    subprocess.run([sys.executable, FOLDER / "draw.py", tmp_path], check=True)
    for path in drawn.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_every_drawing_is_stored(drawn):
    assert {path.name for path in drawn.iterdir()} == {path.name for path in DIAGRAMS}


def test_every_diagram_is_used():
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    text = "".join(path.read_text(encoding="utf-8") for path in [*notebooks, *ROOT.glob("*.md")])
    pictures = {path.name for path in FOLDER.iterdir() if path.suffix in (".svg", ".png")}
    assert {name for name in pictures if f"docs/diagrams/{name}" not in text} == set()


def test_the_picture_of_the_readme_is_drawn(tmp_path):
    file = tmp_path / "hero.png"
    subprocess.run([sys.executable, FOLDER / "hero.py", file], check=True)
    assert file.read_bytes().startswith(b"\x89PNG") and 20_000 < file.stat().st_size < 250_000
    assert Path(FOLDER / "hero.png").exists()
