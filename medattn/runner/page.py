"""An executed notebook as one HTML page that needs no network and no other file."""

import logging
import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

HAT = "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}"
CODE_OR_FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL
)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NO_KERNEL = "<p><em>This control works in JupyterLab: make lab.</em></p>"


def write_page(executed: Path, page: Path, home: Path) -> None:
    """Write an executed notebook, whose source lies in the folder `home`, as an HTML page.

    Formulas become MathML, and nothing is loaded from elsewhere. A link to another notebook leads
    to its page if there is one beside this page, and otherwise to the notebook.
    """
    from nbconvert import HTMLExporter
    from nbformat import read

    content = read(executed, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = CODE_OR_FORMULA.sub(_with_mathml, cell.source)
        for output in cell.get("outputs", []):
            if WIDGET_VIEW in output.get("data", {}):
                output.data = {"text/html": NO_KERNEL}
    log = logging.getLogger("medattn.nbconvert")
    log.setLevel(logging.ERROR)  # it warns of pictures without a text, which get it below
    exporter = HTMLExporter(log=log)
    body, _ = exporter.from_notebook_node(content, {"metadata": {"name": executed.stem}})
    page.write_text(_alone(body, content.cells, page.parent, home), encoding="utf-8")


def _alone(body: str, cells: list[Any], folder: Path, home: Path) -> str:
    """Return a page without scripts, with texts for its pictures, and with links from `folder`."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(body, "html.parser")
    for script in soup.find_all("script"):
        script.decompose()
    hidden = [cell.id for cell in cells if cell.metadata.get("jupyter", {}).get("source_hidden")]
    for name in hidden:
        [code] = soup.select(f'[id="cell-id={name}"] .jp-Cell-inputWrapper')
        code.wrap(soup.new_tag("details")).insert(0, soup.new_tag("summary", string="Code"))
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    pictures = soup.select('img[src^="data:image/png"]')
    for picture, output in zip(pictures, shown, strict=False):
        picture["alt"] = output.metadata.get("image/png", {}).get("alt", "")
    for drawing in soup.select('img[src$=".svg"], img[src$=".png"]'):
        file = home / str(drawing["src"])
        if file.exists():
            kind = "svg+xml" if file.suffix == ".svg" else "png"
            drawing["src"] = f"data:image/{kind};base64,{b64encode(file.read_bytes()).decode()}"
    for link in soup.select('a[href]:not([href*="://"], [href^="#"], [href^="mailto:"])'):
        target, mark, place = str(link["href"]).partition("#")
        sibling = target.removesuffix(".ipynb") + ".html"
        if not (target.endswith(".ipynb") and (folder / sibling).exists()):
            sibling = os.path.relpath(home / target, folder)
        link["href"] = sibling + mark + place
    return str(soup)


def _with_mathml(found: re.Match) -> str:
    if found["code"]:
        return found["code"]
    return mathml(found["block"] or found["inline"], "block" if found["block"] else "inline")


def mathml(latex: str, display: str) -> str:
    """Return LaTeX as MathML, which browsers show without a script; `display`: inline or block.

    Letters replace the attribute `mathvariant`, which browsers ignore, and a hat that they stretch.
    """
    from docutils.utils.math.mathalphabet2unichar import mathbf, mathcal
    from latex2mathml.converter import convert

    letters = {"script": mathcal, "bold": mathbf}
    written = convert(latex, display=display).replace("<mo>&#x0005E;</mo>", f"<mo>{HAT}</mo>")
    variant = r'<mi mathvariant="(script|bold)">(\w)</mi>'
    return re.sub(variant, lambda m: f"<mi>{letters[m[1]].get(m[2], m[2])}</mi>", written)
