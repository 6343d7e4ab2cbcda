"""Settings of the static site (`make site`): the notebooks as committed, the README and the recorded results.

Plain Sphinx with MyST-NB. The source folder is the checkout itself, so that links between its files hold as they stand.
"""

import sys
from pathlib import Path

import ziamath

sys.path.insert(0, str(Path(__file__).parent))
import recorded

project = "medattn"
extensions = ["myst_nb", "pages"]
root_doc = "README"
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "docs/results.md", "docs/solutions.md", "data/results/README.md"),
    *("notebooks/[0-9][0-9]_*.ipynb", "notebooks/solutions/[0-9][0-9]_*.ipynb"),
]
exclude_patterns = [".*", "out", "build", "medattn*", "tests", "data/cache", "data/runs", "data/results/runs"]

nb_execution_mode = "off"  # the outputs are those that were committed
nb_render_markdown_format = "myst"  # of outputs too: their links lead to pages
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 4
myst_heading_slug_func = "pages.anchor"
myst_substitutions = {"recorded_runs": recorded.tables()}
smartquotes = False
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "medattn"
html_static_path = ["site.css", str(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf")]
html_css_files = ["site.css"]
html_copy_source = html_use_index = html_show_copyright = False
