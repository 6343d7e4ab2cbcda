"""The site beyond Sphinx and MyST-NB: figures with captions, MathML, a front page."""

import json
import shutil
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

from medattn.runner.page import mathml


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the functions below with Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("doctree-read", unescape_anchors)
    app.connect("doctree-resolved", caption_figures)
    app.connect("build-finished", copy_front_page)
    app.add_html_math_renderer(
        "mathml", inline_renderers=(write_formula, None), block_renderers=(write_equation, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the navigation to the README, which GitHub shows without it."""
    if name == app.config.root_doc:
        source[0] += Path(app.confdir, "contents.md").read_text(encoding="utf-8")


def caption_figures(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Make a figure of a picture and the caption below it; restore its alternative text."""
    path = app.env.doc2path(name)
    texts = alternative_texts(path) if path.suffix == ".ipynb" else {}
    for k, image in enumerate(list(doctree.findall(nodes.image)), start=1):
        text = texts.get(Path(image["uri"]).stem)
        if not text:
            continue
        below = image.next_node(descend=False, siblings=True)
        if isinstance(below, nodes.raw) and below.astext().startswith("<figcaption>"):
            below.parent.remove(below)
        image["alt"] = text
        figure = nodes.figure("", image.deepcopy(), nodes.caption("", text), ids=[f"picture-{k}"])
        image.replace_self(figure)


def alternative_texts(path: Path) -> dict[str, str]:
    """Return the alternative texts of a notebook's pictures by their SHA-256.

    MyST-NB names the pictures' files after it, and drops the texts.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = {}
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        text = output.get("metadata", {}).get("image/png", {}).get("alt")
        if text:
            picture = b64decode("".join(output["data"]["image/png"]))
            texts[sha256(picture).hexdigest()] = text
    return texts


def anchor(heading: str) -> str:
    """Return the name of a heading in a link, as JupyterLab has it."""
    return heading.replace(" ", "-")


def unescape_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Decode `#Table-2%2C-as-printed`, which MyST compares with headings as it is."""
    for link in doctree.findall(pending_xref):
        if link.get("reftargetid"):
            link["reftargetid"] = unquote(link["reftargetid"])


def write_formula(writer, node: nodes.math) -> None:
    """Write LaTeX inside a line as MathML, which browsers show without a script."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def write_equation(writer, node: nodes.math_block) -> None:
    """Write LaTeX that stands alone as MathML."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def copy_front_page(app: Sphinx, error: Exception | None) -> None:
    """Copy the README's page to index.html, and the playground to the place its links name."""
    if error is None:
        out = Path(app.outdir)
        shutil.copyfile(out / f"{app.config.root_doc}.html", out / "index.html")
        source, target = Path(app.confdir, "playground"), out / "docs" / "playground"
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
