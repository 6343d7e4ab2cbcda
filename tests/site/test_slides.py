"""Slides: what a notebook shows, without its code."""

import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbconvert")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
import slides

FIGURE = {"output_type": "display_data", "data": {"image/png": "UE5H"}, "metadata": {}}
CAPTION = {
    "output_type": "display_data",
    "data": {"text/html": "<figcaption><em>Look at the dot.</em></figcaption>"},
    "metadata": {},
}
PRINTED = {"output_type": "stream", "name": "stdout", "text": "secret console text"}


def cell(kind, source, outputs=()):
    return {"cell_type": kind, "source": source, "outputs": list(outputs)}


CELLS = [
    cell("markdown", "# 05 · Maps\n\n**Question.** Why?\n\n**In short.** Because."),
    cell("code", "import torch"),
    cell("markdown", "## The maps\n\nText.\n\n**Predict first.** Which one is higher?"),
    cell("code", "show(figure, 'Look at the dot.')", [PRINTED, FIGURE, CAPTION]),
    cell("code", "print('secret console text')", [PRINTED]),
]


def test_a_deck_has_the_question_the_prompts_and_the_captioned_figures():
    deck = slides.slides(CELLS)
    sources = [one.source for one in deck]
    assert sources[0] == "# 05 · Maps\n\n**Question.** Why?\n\n"
    assert sources[1:] == [
        "## The maps\n\n**Predict first.** Which one is higher?",
        "## The maps",
        "",
    ]
    assert [one.metadata.get("slideshow", {}).get("slide_type") for one in deck[:3]] == [
        "slide"
    ] * 3
    assert [output["data"] for output in deck[3].outputs] == [FIGURE["data"], CAPTION["data"]]


def test_the_page_shows_no_code(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    path = folder / "05_maps.ipynb"
    notebook = nbformat.v4.new_notebook()
    for one in CELLS:
        if one["cell_type"] == "markdown":
            notebook.cells.append(nbformat.v4.new_markdown_cell(one["source"]))
        else:
            outputs = [nbformat.from_dict(output) for output in one["outputs"]]
            notebook.cells.append(nbformat.v4.new_code_cell(one["source"], outputs=outputs))
    nbformat.write(notebook, path)
    page = slides.write_slides(slides.Notebook(path, tmp_path), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert page.name == "05_maps.slides.html"
    assert "Look at the dot." in text and "Which one is higher?" in text
    assert "secret console text" not in text and "import torch" not in text
