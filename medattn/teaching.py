"""What every notebook needs: a figure with its caption, a check with its band, the device in use."""

from matplotlib.figure import Figure

from medattn.figures import png


def show(figure: Figure, caption: str) -> None:
    """Show a figure and, under it, a sentence that says what it shows; the sentence is its alternative text too."""
    from IPython.display import Image, display  # training and the command line need no Jupyter

    display(Image(png(figure), alt=caption))
    print(caption)


def within(name: str, value: float, expected: float, tolerance: float) -> None:
    """Print one fixed line where `value` lies within `expected` ± `tolerance`; raise AssertionError where not."""
    if not abs(value - expected) <= tolerance:  # a nan fails too
        raise AssertionError(f"{name} is {value:.4g}, not within {expected:g} ± {tolerance:g}")
    print(f"{name} is within {expected:g} ± {tolerance:g}")
