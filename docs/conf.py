"""The settings of the static site (`make site`): notebooks as committed, guides and results.

The site is plain Sphinx with MyST-NB. Its source folder is the checkout, so that links between
files hold as they are.
"""

import sys
from pathlib import Path

import ziamath

sys.path.insert(0, str(Path(__file__).parent))
import result_tables

project = "medattn"
extensions = ["myst_nb", "pages", "reference"]
root_doc = "README"
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/api/*.md", "data/results/README.md"),
    *("notebooks/[0-9][0-9]_*.ipynb", "notebooks/solutions/[0-9][0-9]_*.ipynb"),
]
exclude_patterns = [
    *(".*", "out", "build", "medattn*", "tests", "docs/contents.md"),
    *("data/cache", "data/runs", "data/results/runs"),
]

nb_execution_mode = "off"  # the outputs are those that were committed
nb_render_markdown_format = "myst"  # of outputs too: their links lead to pages
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 4
myst_heading_slug_func = "pages.anchor"
myst_substitutions = {"result_runs": result_tables.markdown(), "claims": result_tables.claims()}
smartquotes = False

add_module_names = False
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # a forward of ours would show that of torch
autodoc_preserve_defaults = True
maximum_signature_line_length = 140  # with full names of modules
toc_object_entries_show_parents = "hide"

html_math_renderer = "mathml"

html_theme = "furo"
html_title = "medattn"
html_static_path = [
    "site.css",
    str(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"),
]
html_css_files = ["site.css"]
html_copy_source = html_use_index = html_domain_indices = html_show_copyright = False
