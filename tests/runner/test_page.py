"""The page of an executed notebook: it needs no network and no other file."""

import re

import nbformat
import pytest

pytest.importorskip("nbconvert")
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from medattn.runner.page import NO_KERNEL, WIDGET_VIEW, mathml, write_page

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PIXEL += "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def page(tmp_path):
    home, out = tmp_path / "notebooks", tmp_path / "out"
    out.mkdir()
    (out / "01_next.html").touch()
    (tmp_path / "docs").mkdir()
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><title>A box</title></svg>'
    (tmp_path / "docs" / "box.svg").write_text(drawing, encoding="utf-8")
    home.mkdir()
    text = (
        "The gate $G = \\sigma(z)$ and $$\\mathcal{L} = 1$$ but `a $5 $` is code.\n\n"
        "[next](01_next.ipynb#There) [later](02_later.ipynb) [site](https://arxiv.org/abs/1)\n\n"
        "![a box](../docs/box.svg)"
    )
    metadata = {"image/png": {"alt": "A dot & a line", "width": 900}}
    outputs = [
        new_output("display_data", {"image/png": PIXEL}, metadata=metadata),
        new_output("display_data", {WIDGET_VIEW: {"model_id": "1"}, "text/plain": "IntSlider()"}),
    ]
    folded = new_code_cell("secret = 1", metadata={"jupyter": {"source_hidden": True}})
    cells = [new_markdown_cell(text), folded, new_code_cell("draw()", outputs=outputs)]
    nbformat.write(new_notebook(cells=cells), out / "00_now.ipynb")
    write_page(out / "00_now.ipynb", out / "00_now.html", home)
    return (out / "00_now.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(page):
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', page) == [
        'href="https://arxiv.org/abs/1"'
    ]
    assert re.search(r'<img alt="a box"[^>]* src="data:image/svg', page)


def test_formulas_are_mathml_and_code_stays(page):
    assert page.count("<math") == 2
    assert "a $5 $" in page and "\\sigma" not in re.sub(r"<annotation.*?</annotation>", "", page)
    assert "&#x02112;" in mathml(r"\mathcal{L}", "inline")


def test_pictures_have_their_text_and_widgets_a_line(page):
    assert 'alt="A dot &amp; a line"' in page
    assert page.count(NO_KERNEL) == 1 and "IntSlider" not in page


def test_links_lead_somewhere(page):
    assert 'href="01_next.html#There"' in page
    assert 'href="../notebooks/02_later.ipynb"' in page


def test_folded_code_can_be_opened(page):
    assert re.search(r"<details><summary>Code</summary>.*?secret", page, re.DOTALL)
    assert page.count("<details>") == 1
