"""What every notebook imports: a figure or a table with its caption below it."""

from html import escape

import pandas as pd
from matplotlib.figure import Figure

from medattn.figures import png
from medattn.figures.style import SHOWN, WIDTH


def show(shown: Figure | pd.DataFrame, caption: str, decimals: int = 2) -> None:
    """Show a figure or a table with its caption below it.

    A figure's caption is also its alternative text. Numbers of a table have `decimals` decimals,
    and nan is an empty cell. The index of a table is shown if it has a name.
    """
    from IPython.display import (
        HTML,
        Image,
        display,
    )  # training and the command line need no Jupyter

    if isinstance(shown, Figure):
        width = round(SHOWN * shown.get_figwidth() / WIDTH)
        display(Image(png(shown), alt=caption, width=width))
    else:
        named = any(name is not None for name in shown.index.names)
        style = {"index": named, "na_rep": "", "float_format": f"{{:.{decimals}f}}".format}
        display(HTML(shown.to_html(border=0, justify="left", **style)))
    display(HTML(f"<figcaption><em>{escape(caption, quote=False)}</em></figcaption>"))


def within(name: str, value: float, expected: float, tolerance: float) -> None:
    """Print one fixed line if `value` is within `expected` ± `tolerance`, else AssertionError."""
    if not abs(value - expected) <= tolerance:  # a nan fails too
        raise AssertionError(f"{name} is {value:.4g}, not within {expected:g} ± {tolerance:g}")
    print(f"{name} is within {expected:g} ± {tolerance:g}")
