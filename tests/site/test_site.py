"""The static site (`make site`): complete, without dead links, readable without the network."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from medattn.paths import ROOT, results_folder
from medattn.runner import all_notebooks

NOTEBOOKS = all_notebooks()
LIBRARY = ("attention", "networks", "datasets", "training", "evaluation", "figures")
ROOMS = (*LIBRARY, "preprocess", "paths", "papers", "runner", "widgets")
CAPTION = r'<figcaption>\s*<p><span class="caption-text">(.*?)</span>'
FIGURE = r'<img alt="([^"]+)"[^>]*>\s*(?:</a>\s*)?' + CAPTION + r".*?</figure>\s*(?=(.{0,200}))"


@dataclass
class Page(HTMLParser):
    """The anchors, pictures, formulas and links of a page."""

    ids: set = field(default_factory=set)
    links: list = field(default_factory=list)  # what a reader may follow
    loads: list = field(default_factory=list)  # what a browser needs: scripts, styles, pictures
    pictures: list = field(default_factory=list)  # their alternative texts
    formulas: list = field(default_factory=list)
    tag: str = ""

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attributes):
        attributes, self.tag = dict(attributes), tag
        self.ids.add(attributes.get("id"))
        if tag == "a":
            self.links.append(attributes.get("href"))
        elif tag == "link":
            self.loads.append(attributes["href"])
        elif "src" in attributes:
            self.loads.append(attributes["src"])
        if tag == "img":
            self.pictures.append(attributes.get("alt"))

    def handle_data(self, data):
        if self.tag in ("mi", "mo", "mn", "mtext"):
            self.formulas.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "-c", "docs", "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, ".", folder / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    read = {}
    for path in site.rglob("*.html"):
        read[path] = Page()
        read[path].feed(path.read_text(encoding="utf-8"))
    return read


def pictures(notebook):
    """Return the alternative texts of a notebook's pictures, in order."""
    outputs = [output for cell in notebook.read()["cells"] for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    return [" ".join(output["metadata"]["image/png"]["alt"].split()) for output in shown]


def test_notebooks_have_pages_with_their_pictures(site, pages):
    for notebook in NOTEBOOKS:
        page, own = pages[site / "notebooks" / f"{notebook.full_name}.html"], pictures(notebook)
        shown = [" ".join(text.split()) for text in page.pictures]  # diagrams, too
        assert [text for text in shown if text in own] == own, notebook.name


def test_captions_stand_under_figures_only(site):
    for notebook in NOTEBOOKS:
        path = site / "notebooks" / f"{notebook.full_name}.html"
        figures = re.findall(FIGURE, path.read_text(encoding="utf-8"), re.DOTALL)
        assert len(figures) == len(pictures(notebook)), path.name
        for text, caption, after in figures:
            assert " ".join(unescape(caption).split()) == " ".join(unescape(text).split())
            assert caption[:40] not in after, f"{path.name}: {caption}"


def test_pictures_have_alternative_texts(pages):
    assert sum(len(page.pictures) for page in pages.values()) > 50
    assert all(text and text.strip() for page in pages.values() for text in page.pictures)


def test_front_page_leads_to_every_notebook(site, pages):
    reached = {
        (site / link).resolve()
        for link in pages[site / "index.html"].links
        if link and "#" not in link
    }
    assert {
        site / "notebooks" / f"{n.full_name}.html" for n in NOTEBOOKS if "/" not in n.name
    } <= reached
    guides = ("results", "solutions", "architecture", "api/index")
    assert {site / "docs" / f"{name}.html" for name in guides} <= reached


def test_no_link_is_dead(pages):
    dead = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link or "")
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing = not target.is_file() or target.name.endswith((".md", ".ipynb"))
            if missing or (
                parts.fragment and unquote(parts.fragment) not in pages[target].ids | {""}
            ):
                dead.append(f"{path.name}: {link}")
    assert not dead, "\n".join(dead)


def test_nothing_is_loaded_from_the_network(site, pages):
    assert not [
        link for page in pages.values() for link in page.loads if re.match("(https?:)?//", link)
    ]
    for style in site.rglob("*.css"):
        assert not re.search(
            r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")
        ), style


def test_no_path_of_a_machine_is_in_it(site):
    for path in site.rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".txt", ".inv"):
            content = path.read_bytes()
            assert str(ROOT).encode() not in content and str(site.parent).encode() not in content, (
                path
            )
            assert str(Path.home()).encode() not in content, path


def test_equations_hold_no_latex(site, pages):
    page = pages[site / "notebooks" / "01_pyramid_pooling_and_pixel_norm.html"]
    assert {"T", "σ", "√", "∑"} & set(page.formulas)
    assert not [text for page in pages.values() for text in page.formulas if "\\" in text]


def test_search_finds_the_notebooks(site):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", text, re.DOTALL)[1])
    found = [index[where].get("scorecard", []) for where in ("terms", "titleterms")]
    names = {
        index["docnames"][k]
        for numbers in found
        for k in (numbers if isinstance(numbers, list) else [numbers])
    }
    assert "notebooks/17_scorecard" in names
    assert {f"notebooks/{notebook.full_name}" for notebook in NOTEBOOKS} <= set(index["docnames"])


def test_every_run_of_the_results_has_its_row(site):
    runs = pd.read_csv(results_folder() / "runs.csv")
    page = (site / "docs" / "results.html").read_text(encoding="utf-8")
    for name in ("recipe.yaml", "history.csv", "predictions.csv"):
        assert len(set(re.findall(rf'href="([^"]*/{name})"', page))) == len(runs)
    assert all(
        f"<td><p>{row.n_correct} / {row.n_test}</p></td>" in page for row in runs.itertuples()
    )


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_have_their_entries(site, pages, room):
    module = import_module(f"medattn.{room}")
    entries = pages[site / "docs" / "api" / f"{room}.html"].ids
    assert f"module-medattn.{room}" in entries
    values = [getattr(module, name) for name in getattr(module, "__all__", vars(module))]
    public = [v for v in values if inspect.isfunction(v) or inspect.isclass(v)]
    own = [v for v in public if v.__module__.startswith(module.__name__) and v.__name__[0] != "_"]
    missing = {f"{value.__module__}.{value.__qualname__}" for value in own} - entries
    assert not missing
    assert own or room == "papers"  # whose modules are imported by their names


def test_reference_marks_up_code_and_nothing_else(site):
    for path in (site / "docs" / "api").glob("*.html"):
        article = re.search(r"<article.*?</article>", path.read_text(encoding="utf-8"), re.DOTALL)
        assert "`" not in re.sub(r"<[^>]+>", "", article[0]), path.name


def test_docstrings_become_restructured_text():
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)

    lines = ["Fit *args and `x_`.", "Shape: (N, C) -> (N,)", "n, m: sizes_"]
    lines += ["- an item", "  of two"]
    lines += ["    network(x)", "    done", "The end.", "a.txt     a file"]
    reference.rewrite_docstring(None, "function", "f", lambda n, m: n, None, lines)
    assert [line for line in lines if line] == [
        r"\ Fit \*args and \ ``x_``\ .",
        r"**Shape:**\  (N, C) -> (N,)",
        r"- ``n, m``:\  sizes\_",
        r"- \ an item of two",
        ".. code-block:: python",
        "        network(x)",
        "        done",
        r"\ The end.",
        ".. code-block:: text",
        "    a.txt     a file",
    ]
