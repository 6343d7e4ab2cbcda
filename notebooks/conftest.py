"""Numbers of one run are not compared with the stored ones; they must lie in their bands.

`tests/notebooks/bands.yaml` holds, for each notebook, Python expressions and their lowest and
highest value. nbval evaluates them in the notebook's kernel after its last cell.
"""

from collections import defaultdict
from itertools import groupby
from pathlib import Path

import nbformat
import yaml
from nbval.plugin import IPyNbCell

BANDS = Path(__file__).parent.parent / "tests" / "notebooks" / "bands.yaml"
CHECK = """
_value = float({expression})
assert {low} <= _value <= {high}, f"{{_value:.4g}} is not between {low} and {high}"
"""


def pytest_collection_modifyitems(items):
    """Append the checks of its bands to each notebook's cells."""
    bands = yaml.safe_load(BANDS.read_text(encoding="utf-8"))
    with_checks = []
    for notebook, cells in groupby(list(items), key=lambda item: item.parent):
        with_checks += cells
        number = with_checks[-1].cell_num
        name = notebook.path.relative_to(Path(__file__).parent).as_posix()
        for expression, (low, high) in bands.get(name.removesuffix(".ipynb"), {}).items():
            number += 1
            source = CHECK.format(expression=expression, low=low, high=high)
            cell = nbformat.v4.new_code_cell(source)
            options = defaultdict(bool, check=True)
            settings = {"cell_num": number, "cell": cell, "options": options}
            with_checks.append(IPyNbCell.from_parent(notebook, name=expression, **settings))
    items[:] = with_checks
