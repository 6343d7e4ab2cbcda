"""What the site needs beyond Sphinx and MyST-NB: figures with captions, equations without scripts, a front page."""

import json
import re
import shutil
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from docutils import nodes
from docutils.utils.math.mathalphabet2unichar import mathbf, mathcal
from latex2mathml.converter import convert
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

HAT = "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}"
LETTERS = {"script": mathcal, "bold": mathbf}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it with Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("doctree-read", unescape_anchors)
    app.connect("doctree-resolved", caption_figures)
    app.connect("build-finished", copy_front_page)
    app.add_html_math_renderer("mathml", inline_renderers=(write_formula, None), block_renderers=(write_equation, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the navigation at the end of the README, which GitHub shows without it."""
    if name == app.config.root_doc:
        source[0] += Path(app.confdir, "contents.md").read_text(encoding="utf-8")


def caption_figures(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Make a figure of a picture and the caption printed under it; MyST-NB drops the alternative text."""
    path = app.env.doc2path(name)
    texts = alternative_texts(path) if path.suffix == ".ipynb" else {}
    for k, image in enumerate(list(doctree.findall(nodes.image)), start=1):
        text = texts.get(Path(image["uri"]).stem)
        if not text:
            continue
        printed = image.next_node(descend=False, siblings=True)
        image["alt"] = text
        figure = nodes.figure("", image.deepcopy(), nodes.caption("", text), ids=[f"picture-{k}"])
        image.replace_self(figure)
        if isinstance(printed, nodes.literal_block) and printed.astext().startswith(text):
            rest = printed.astext().removeprefix(text).strip("\n")
            if rest:
                printed.rawsource, printed.children = rest, []
                printed += nodes.Text(rest)
            else:
                printed.parent.remove(printed)


def alternative_texts(path: Path) -> dict[str, str]:
    """Give the alternative texts of a notebook's pictures by the SHA-256 that MyST-NB names their files after."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    pictures = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    return {
        sha256(b64decode("".join(picture["data"]["image/png"]))).hexdigest(): picture["metadata"]["image/png"]["alt"]
        for picture in pictures
        if picture["metadata"].get("image/png", {}).get("alt")
    }


def anchor(heading: str) -> str:
    """Give the name by which JupyterLab, and so a notebook's link, knows a heading."""
    return heading.replace(" ", "-")


def unescape_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Read `#Table-2%2C-as-printed` as the heading it names; MyST compares the letters."""
    for link in doctree.findall(pending_xref):
        if link.get("reftargetid"):
            link["reftargetid"] = unquote(link["reftargetid"])


def write_formula(writer, node: nodes.math) -> None:
    """Write LaTeX within a line as MathML, which browsers show without a script."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def write_equation(writer, node: nodes.math_block) -> None:
    """Write LaTeX on lines of its own as MathML."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def mathml(latex: str, display: str) -> str:
    """Give LaTeX as MathML, with characters where browsers ignore an attribute (`mathvariant`) or stretch a hat."""
    written = convert(latex, display=display).replace("<mo>&#x0005E;</mo>", f"<mo>{HAT}</mo>")
    variant = r'<mi mathvariant="(script|bold)">(\w)</mi>'
    return re.sub(variant, lambda m: f"<mi>{LETTERS[m[1]].get(m[2], m[2])}</mi>", written)


def copy_front_page(app: Sphinx, error: Exception | None) -> None:
    """Let the site open at index.html too."""
    if error is None:
        shutil.copyfile(Path(app.outdir, f"{app.config.root_doc}.html"), Path(app.outdir, "index.html"))
