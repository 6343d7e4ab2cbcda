"""Turn the figures and captions of notebooks into slides: `make slides`, or `make slides N=05`.

A slide shows a figure or table with its caption, under the section it belongs to. The first slide
has the title and the question, and every prompt to predict something is a slide of its own. The
pages need a network, because they load reveal.js.
"""

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import SlidesExporter

from medattn.paths import ROOT, write_whole
from medattn.runner import all_notebooks, find_notebook
from medattn.runner.notebook import Notebook

CAPTION = "<figcaption>"


def write_slides(notebook: Notebook, folder: Path) -> Path:
    """Write the slides of a notebook to `folder` and return the path of the page."""
    deck = nbformat.v4.new_notebook(cells=slides(notebook.read()["cells"]))
    deck.metadata["title"] = notebook.path.stem
    exporter = SlidesExporter(exclude_input=True, exclude_output_prompt=True, embed_images=True)
    resources = {"metadata": {"name": notebook.path.stem, "path": str(notebook.path.parent)}}
    page, _ = exporter.from_notebook_node(deck, resources)
    path = folder / f"{notebook.path.stem}.slides.html"
    with write_whole(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def slides(cells: list[dict[str, Any]]) -> list[Any]:
    """Return the cells of a slide deck: the title, prompts, and outputs that have a caption."""
    title = re.split(r"^\*\*In short", "".join(cells[0]["source"]), flags=re.MULTILINE)[0]
    deck, heading = [_text(title)], ""
    for cell in cells[1:]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
            heading = headings[-1] if headings else heading
            prompts = re.findall(r"^\*\*Predict first\.\*\*.+$", text, re.MULTILINE)
            deck += [_text(f"## {heading}\n\n{prompt}") for prompt in prompts]
        else:
            deck += _captioned(cell["outputs"], heading)
    return deck


def _text(source: str) -> Any:
    slide = nbformat.v4.new_markdown_cell(source)
    slide.metadata["slideshow"] = {"slide_type": "slide"}
    return slide


def _captioned(outputs: list[dict[str, Any]], heading: str) -> list[Any]:
    """Return a heading and an output cell for each output that is followed by a caption."""
    deck: list[Any] = []
    for shown, caption in pairwise(outputs):
        if CAPTION in "".join(caption.get("data", {}).get("text/html", [])):
            pair = [nbformat.from_dict(output) for output in (shown, caption)]
            deck += [_text(f"## {heading}"), nbformat.v4.new_code_cell(outputs=pair)]
    return deck


if __name__ == "__main__":
    chosen = [find_notebook(name) for name in sys.argv[1:]]
    lessons = [notebook for notebook in all_notebooks() if "/" not in notebook.name]
    for lesson in chosen or lessons:
        print(write_slides(lesson, ROOT / "out" / "slides").relative_to(ROOT))
